"""Pictures whose text is known: what the demo reads, and what tells how well it was read."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from indexer.demo.scenes import SCENES


@dataclass(frozen=True)
class Drawn:
    """A picture and what is written on it."""

    name: str
    category: str
    lines: list[str]
    path: Path


def draw_all(directory: Path, every: int = 1) -> list[Drawn]:
    """Draws every picture into a directory, as Immich would have made its preview; the same ones each time.

    With `every` 10 only each tenth of them, beginning with the first. Most are JPEG, every seventh is WebP; the shorter
    side has 1440 pixels at most.
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
    """How many of the drawn lines were found exactly, and how many there are.

    Full-width and half-width forms are the same, and so are capital and small letters; white space does not count. A
    line that was drawn twice has to be found twice.
    """
    wanted, got = Counter(map(folded, expected)), Counter(map(folded, found))
    return (wanted & got).total(), wanted.total()


def folded(line: str) -> str:
    """A line as it is compared: see `score`."""
    return "".join(unicodedata.normalize("NFKC", line).split()).casefold()
