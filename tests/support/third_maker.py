"""A kind of CLIP model for a test: its vectors know only how bright a picture is, or how long a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.images import Picture
from indexer.models.clip.maker import Identity, Precision, Tower, Vector
from indexer.models.engines.messages import Opened
from indexer.models.files.published import ModelFiles, Source


def _brightness(picture: Picture) -> Vector:
    return np.full((3, 1, 1), picture.rgb.mean() / 255, dtype=np.float32)


@dataclass(frozen=True)
class Both:
    """Both towers in one: an `ImageTower` and a `TextTower`."""

    dimensions: int
    by_language = False

    @property
    def name(self) -> str:
        return f"third {self.dimensions}"

    @property
    def preparation(self):
        return _brightness

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        return self._vectors(len(prepared))

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        return self._vectors(len(texts))

    def _vectors(self, count: int) -> Vector:
        return np.full((count, self.dimensions), self.dimensions**-0.5, dtype=np.float32)


@dataclass(frozen=True)
class Third:
    """A `Maker` of models `third:DIMENSIONS`, which need no files."""

    def makes(self, model: str) -> bool:
        return model.startswith("third:")

    def files(self, model: str, root: Path, sources: Sequence[Source]) -> ModelFiles:
        return ModelFiles("clip", model)

    def name(self, model: str, root: Path) -> str | None:
        return self._both(model).name

    def dimensions(self, model: str, root: Path) -> int | None:
        return self._both(model).dimensions

    def identify(self, model: str, root: Path) -> Identity:
        return Identity(self._both(model).name, root)

    def memory(self, model: str, root: Path, tower: Tower) -> int:
        return 0

    def open(self, tower: Tower, model: str, root: Path, *, device: str, precision: Precision, threads: int) -> Opened:
        return Opened(self._both(model), "cpu")

    def _both(self, model: str) -> Both:
        return Both(int(model.removeprefix("third:")))
