"""A line of text as our table stores it: `immich_indexer.photo.lines` is a JSON array with an object for each line."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Any
from uuid import UUID

import numpy as np

from indexer.models.results import Line
from indexer.photos.photo import Crop
from indexer.text.normalise import clean


@dataclass(frozen=True)
class StoredLine:
    """A line of text in a picture.

    `box`: its corners x1, y1, .. x4, y4, clockwise from its top left, as fractions (0..1) of the unedited picture's
    width and height. Scores: how sure the engine is of the box and of the text, 0 to 1. `visible`: not cropped away.
    """

    text: str
    box: tuple[float, ...]
    box_score: float
    text_score: float
    visible: bool = True

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> "StoredLine":
        """From its object in the table."""
        return cls(line["text"], tuple(line["box"]), line["boxScore"], line["textScore"], line["visible"])

    def to_json(self) -> dict[str, Any]:
        """Its object in the table. `their_lines` in sql/queries/rows.sql makes the same of Immich's lines."""
        return {
            "text": self.text,
            "box": list(self.box),
            "boxScore": self.box_score,
            "textScore": self.text_score,
            "visible": self.visible,
        }

    @property
    def columns(self) -> tuple[str | bool | float, ...]:
        """Its values in Immich's table, in the order that `write` in sql/queries/rows.sql names."""
        return (self.text, self.visible, *self.box, self.box_score, self.text_score)

    @property
    def height(self) -> float:
        """The shorter side of its box, which is about the size of its characters."""
        x1, y1, x2, y2, x3, y3, x4, y4 = self.box
        wide = hypot(x2 - x1, y2 - y1) + hypot(x3 - x4, y3 - y4)
        high = hypot(x4 - x1, y4 - y1) + hypot(x3 - x2, y3 - y2)
        return min(wide, high) / 2

    def cut(self, crop: Crop | None) -> "StoredLine":
        """The same line, visible or not as that crop of the photo says."""
        visible = crop is None or crop.keeps(self.box)
        return self if visible == self.visible else replace(self, visible=visible)


def stored_lines(lines: Sequence[Line]) -> list[StoredLine]:
    """The stored form of lines that were just read."""
    if not lines:
        return []
    boxes = np.array([line.corners for line in lines], dtype=float).round(5).tolist()  # rounded one by one: slower
    scores = np.array([(line.box_score, line.text_score) for line in lines], dtype=float).round(4).tolist()
    return [
        StoredLine(clean(line.text), tuple(box), *both) for line, box, both in zip(lines, boxes, scores, strict=True)
    ]


def parse_lines(stored: str | None) -> list[StoredLine]:
    """The lines in a value of the column. Empty where nothing was read."""
    return [StoredLine.from_json(line) for line in json.loads(stored or "[]")]


def dump_lines(lines: Iterable[StoredLine]) -> str:
    """A value of the column."""
    return json.dumps([line.to_json() for line in lines], ensure_ascii=False)


def line_columns(lines: Iterable[tuple[UUID, StoredLine]]) -> list[Sequence[Any]]:
    """The parameters for the rows of Immich's table: an array of each column's values, that of the photos first."""
    empty = StoredLine("", (0.0,) * 8, 0.0, 0.0)
    values = [(asset, *line.columns) for asset, line in lines]
    columns = zip(*values, strict=True) if values else ((),) * (1 + len(empty.columns))
    # asyncpg is slow at arrays of many numbers, so these are sent as literals.
    return [
        f"{{{','.join(map(repr, column))}}}" if isinstance(kind, float) else column
        for kind, column in zip((None, *empty.columns), columns, strict=True)
    ]


def visible_text(lines: Sequence[StoredLine]) -> str:
    """The texts of the visible lines, separated by newlines."""
    return "\n".join(line.text for line in lines if line.visible)
