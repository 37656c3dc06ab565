"""A line of text as our table keeps it, `immich_indexer.photo.lines`: a JSON array with an object for each line."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Any

from indexer.models.ocr import Line
from indexer.photos.photo import Crop
from indexer.text.normalise import clean


@dataclass(frozen=True)
class StoredLine:
    """A line of text in a picture.

    `box`: its corners x1, y1, .. x4, y4, clockwise from its top left, as shares (0..1) of the picture without edits.
    Scores: how sure the engine is of the box and of the text, 0 to 1. `visible`: whether no edit has cut it away.
    """

    text: str
    box: tuple[float, ...]
    box_score: float
    text_score: float
    visible: bool = True

    @classmethod
    def of(cls, line: Line) -> "StoredLine":
        """What is to be kept of a line that was just read."""
        box = tuple(round(corner, 5) for corner in line.corners)
        return cls(clean(line.text), box, round(line.box_score, 4), round(line.text_score, 4))

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> "StoredLine":
        """From its object in the table."""
        return cls(line["text"], tuple(line["box"]), line["boxScore"], line["textScore"], line["visible"])

    def to_json(self) -> dict[str, Any]:
        """Its object in the table, which sql/queries/results.sql reads."""
        return {
            "text": self.text,
            "box": list(self.box),
            "boxScore": self.box_score,
            "textScore": self.text_score,
            "visible": self.visible,
        }

    @property
    def height(self) -> float:
        """The shorter side of its box: the size of its characters."""
        (x1, y1), (x2, y2), (x3, y3), (x4, y4) = zip(self.box[0::2], self.box[1::2], strict=True)
        wide = hypot(x2 - x1, y2 - y1) + hypot(x3 - x4, y3 - y4)
        high = hypot(x4 - x1, y4 - y1) + hypot(x3 - x2, y3 - y2)
        return min(wide, high) / 2

    def cut(self, crop: Crop | None) -> "StoredLine":
        """The same, visible or not as that edit of the photo demands."""
        return replace(self, visible=crop is None or crop.keeps(self.box))


def parse_lines(stored: str | None) -> list[StoredLine]:
    """The lines in a value of the column; none where nothing was read."""
    return [StoredLine.from_json(line) for line in json.loads(stored or "[]")]


def dump_lines(lines: Iterable[StoredLine]) -> str:
    """A value of the column."""
    return json.dumps([line.to_json() for line in lines], ensure_ascii=False)


def visible_text(lines: Sequence[StoredLine]) -> str:
    """The visible lines' texts, one a line."""
    return "\n".join(line.text for line in lines if line.visible)
