"""Pictures with known text. The demo reads them, and compares the results with that text."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from indexer.demo.scenes import SCENES


@dataclass(frozen=True)
class Drawn:
    """A picture, and the text on it."""

    name: str
    category: str
    lines: list[str]
    path: Path


def draw_all(directory: Path, every: int = 1) -> list[Drawn]:
    """Draws every picture into a directory, as Immich would make its preview. The pictures are always the same.

    With `every` 10 only each tenth of them, beginning with the first. Most are JPEG, every seventh is WebP. The shorter
    side has at most 1440 pixels.
    """
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for index, scene in list(enumerate(SCENES))[::every]:
        canvas = scene.draw()
        path = directory / f"{scene.name}.{'webp' if index % 7 == 6 else 'jpeg'}"
        canvas.image.save(path, quality=80)
        drawn.append(Drawn(scene.name, scene.category, canvas.lines, path))
    return drawn


def ground_truth(drawn: Iterable[Drawn]) -> dict[str, list[str]]:
    """The lines of each file, by its name."""
    return {picture.path.name: picture.lines for picture in drawn}


def score(expected: Iterable[str], found: Iterable[str]) -> tuple[int, int]:
    """How many of the drawn lines were found exactly, and how many lines there are.

    Full-width and half-width forms count as the same, and so do capital and small letters. White space does not count.
    A line that was drawn twice has to be found twice.
    """
    wanted, got = Counter(map(folded, expected)), Counter(map(folded, found))
    return (wanted & got).total(), wanted.total()


def folded(line: str) -> str:
    """A line in the form in which lines are compared, see `score`."""
    return "".join(unicodedata.normalize("NFKC", line).split()).casefold()
