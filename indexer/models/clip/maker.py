"""The interface of a kind of CLIP model: its two towers, and what makes them. `makers` lists the kinds there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from indexer.models.engines.messages import Opened
from indexer.models.files.published import ModelFiles, Source
from indexer.models.pixels import Preparation

Tower = Literal["image", "text"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
ClipPrecision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
"""As in the settings. `indexer.models.int8` makes int8 of any image tower, so no `Maker` has to know of it."""
Vector = npt.NDArray[np.float32]

EQUAL = 0.9999
"""Least cosine of two vectors of the same input with which a faster number format or library may be used."""


def otherwise(wanted: ClipPrecision) -> Precision:
    """How a tower is computed where it is not in int8."""
    return "auto" if wanted == "int8" else wanted


class ImageTower(Protocol):
    """Turns pictures into vectors. Every method may be called from any thread."""

    @property
    def name(self) -> str:
        """Identity of the weights, stored with every result. Both towers of a model have the same."""

    @property
    def dimensions(self) -> int:
        """The width of the vectors."""

    @property
    def preparation(self) -> Preparation:
        """From a picture to what `encode_images` takes."""

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, each of length 1."""


@runtime_checkable
class HasGraph(ImageTower, Protocol):
    """An image tower whose network OpenVINO can read."""

    @property
    def graph(self) -> Path:
        """Its file."""


class TextTower(Protocol):
    """Turns texts into vectors of the same space. Every method may be called from any thread."""

    @property
    def name(self) -> str:
        """Identity of the weights."""

    @property
    def dimensions(self) -> int:
        """The width of the vectors."""

    @property
    def by_language(self) -> bool:
        """Whether the vector of a text depends on the language in which it was asked."""

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        """(n, dimensions) float32, each of length 1. `language`: as Immich names it (`zh-CN`), None where unknown."""


@dataclass(frozen=True)
class Identity:
    """A model whose files were read.

    Attributes:
        name: as stored with results.
        path: where it is.
        note: that it is not for photographs. None where it is.
        computed: by what, on this machine, for a person. Empty where nothing was measured.
    """

    name: str
    path: Path
    note: str | None = None
    computed: str = ""


class Maker(Protocol):
    """One kind of CLIP model. It is pickled into the processes of the towers.

    `model` is the value of CLIP_MODEL, `root` that of CLIP_DOWNLOAD_ROOT. Every method raises WeightsError where the
    files that it needs are missing or wrong.
    """

    def makes(self, model: str) -> bool:
        """Whether this is the kind of that model. Reads at most the names of files."""

    def files(self, model: str, root: Path, sources: Sequence[Source]) -> ModelFiles:
        """Its files, with their addresses at `sources`."""

    def name(self, model: str, root: Path) -> str | None:
        """Its name as stored with results, as far as it is known without reading weights. None where it is not."""

    def dimensions(self, model: str, root: Path) -> int | None:
        """The width of its vectors, as far as it is known without reading weights. None where it is not."""

    def identify(self, model: str, root: Path) -> Identity:
        """Read its files and compare them with what was published (seconds per gigabyte)."""

    def memory(self, model: str, root: Path, tower: Tower) -> int:
        """Bytes that the weights of one tower take. 0 where that is not known."""

    def open(self, tower: Tower, model: str, root: Path, *, device: str, precision: Precision, threads: int) -> Opened:
        """Load an `ImageTower` or a `TextTower`. The other one takes no memory.

        `device`: `auto`, `cpu` or `cuda`; raises SettingsError as `choose_device`. `threads`: processors for all calls
        together. An image tower has as many callers at once, a text tower one.
        """
