"""Models that cost nothing: what they read of a photo follows from the name of its file."""

from functools import cache
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bench.reading_texts import lines
from indexer.models.inference import Made
from indexer.models.results import Line
from indexer.work.media import Media

DIMENSIONS = 512
LINES = 20  # of each photo

_SCENES = 40  # vectors lie around so many centres, as those of a library do
_TEXTS = 5_000


def made(asset: UUID) -> Made:
    """What is read of that photo."""
    rng = np.random.default_rng(asset.int)
    vector = _scenes()[rng.integers(_SCENES)] + rng.normal(0, 0.04, DIMENSIONS)
    texts = [_texts()[number] for number in rng.integers(_TEXTS, size=LINES)]
    return Made((vector / np.linalg.norm(vector)).astype(np.float32), [_line(*line) for line in enumerate(texts)])


def _line(number: int, text: str) -> Line:
    top = 0.04 + 0.045 * number
    return Line(text, (0.1, top, 0.8, top, 0.8, top + 0.03, 0.1, top + 0.03), 0.95, 0.97)


@cache
def _scenes() -> npt.NDArray[np.float64]:
    scenes = np.random.default_rng(1).normal(0, 1, (_SCENES, DIMENSIONS))
    scenes /= np.linalg.norm(scenes, axis=1, keepdims=True)
    return scenes


@cache
def _texts() -> list[str]:
    return lines(np.random.default_rng(2), _TEXTS)


class NoFiles(Media):
    """A folder whose files contain only the ids of their assets."""

    def __init__(self) -> None:
        pass

    async def read(self, immich_path: str, *, interactive: bool = False) -> bytes:  # noqa: D102
        return UUID(immich_path.rpartition("/")[2][:36]).bytes


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name
        self.dimensions = DIMENSIONS
        self.alphabet = None


class NoModels:
    """In the place of `Inference`. `known`: readings made beforehand."""

    def __init__(self, known: dict[UUID, Made]) -> None:
        self.clip, self.ocr, self.next = _Named("no clip"), _Named("no ocr"), None
        self._known = known

    async def read_each(
        self, data: bytes, *, clip: bool, ocr: bool, following: bool = False, interactive: bool = False
    ) -> Made:
        """What `made` makes."""
        asset = UUID(bytes=data)
        return self._known.get(asset) or made(asset)

    def close(self) -> None:
        """There is nothing to close."""
