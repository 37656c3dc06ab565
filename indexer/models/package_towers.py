"""The two towers of a package in Immich's layout, on ONNX Runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.errors import ModelError, WeightsError, words_of
from indexer.models.host import lacks_memory
from indexer.models.maker import Vector
from indexer.models.onnx import open_session
from indexer.models.package import MODEL, Package
from indexer.models.package_text import PackageTokens
from indexer.models.pixels import Preparation

_TEXTS_AT_ONCE = 32
_TYPES: dict[str, Any] = {
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


class Network:
    """One ONNX model, whose inputs all have the batch as their first axis. Its first output are vectors.

    `batch` is the only size of a batch that it takes, None where it takes any.

    Raises:
        WeightsError: ONNX Runtime cannot load it.
    """

    def __init__(self, path: Path, *, device: str, threads: int) -> None:
        try:
            self._session = open_session(path, device=device, threads=threads)
        except Exception as error:
            if lacks_memory(error):
                raise
            raise WeightsError(f"{path} cannot be loaded: {words_of(error)}") from error
        self.path = path
        self.inputs = {node.name: node for node in self._session.get_inputs()}
        first = next(iter(self.inputs.values())).shape
        self.batch = first[0] if first and isinstance(first[0], int) else None

    def size(self, name: str, axis: int) -> int | None:
        """The size of an input's axis. None where it may be any."""
        shape = self.inputs[name].shape
        return shape[axis] if axis < len(shape) and isinstance(shape[axis], int) else None

    @property
    def dimensions(self) -> int | None:
        """The width of its vectors, None where the model does not say it."""
        width = self._session.get_outputs()[0].shape[-1]
        return width if isinstance(width, int) else None

    def __call__(self, rows: Mapping[str, npt.NDArray[Any]]) -> Vector:
        """Vectors of length 1, (n, dimensions) float32, for arrays of n rows each. n may be any number but 0."""
        count = len(next(iter(rows.values())))
        step = self.batch or count
        parts = [
            self._run({name: values[start : start + step] for name, values in rows.items()})
            for start in range(0, count, step)
        ]
        vectors = np.concatenate(parts)[:count].astype(np.float32, copy=False)
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise ModelError(f"{self.path} computed a vector that is not finite, or has no length")
        unit: Vector = vectors / lengths
        return unit

    def _run(self, rows: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        feed = {}
        for name, values in rows.items():
            typed = values.astype(_TYPES[self.inputs[name].type], copy=False)
            lacking = (self.batch or 0) - len(typed)
            if lacking > 0:  # a batch of a fixed size is filled up; what comes of it is cut off
                typed = np.concatenate([typed, np.repeat(typed[-1:], lacking, axis=0)])
            feed[name] = typed
        output: npt.NDArray[Any] = self._session.run(None, feed)[0]
        return output

    def check(self, names: Sequence[str], axes: Mapping[str, Mapping[int, int]]) -> None:
        """Raise WeightsError unless it has exactly inputs of these `names`, of types and sizes that we can give."""
        if set(self.inputs) != set(names):
            raise WeightsError(f"{self.path} takes {', '.join(self.inputs)}, where {' and '.join(names)} is expected")
        for name, node in self.inputs.items():
            if node.type not in _TYPES:
                raise WeightsError(f"{self.path} takes {name} as {node.type}, which no package of Immich's does")
            for axis, wanted in axes[name].items():
                if self.size(name, axis) not in (None, wanted):
                    raise WeightsError(
                        f"{self.path} takes {name} of shape {node.shape}, but its configuration says {wanted} for axis "
                        f"{axis}"
                    )


class PackageImages:
    """The image tower of a package: an `ImageTower`. Arguments and errors as of `Network`; `name` of the package."""

    def __init__(self, package: Package, name: str, *, device: str, threads: int) -> None:
        self.name = name
        preparation = package.preparation
        self.preparation: Preparation = preparation
        self._network = Network(package.file("image", MODEL), device=device, threads=threads)
        side = preparation.side
        self._network.check(["image"], {"image": {1: 3, 2: side, 3: side}})
        self.dimensions = self._network.dimensions or self._measured(side)

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        return self._network({"image": np.stack(prepared)})

    def _measured(self, side: int) -> int:
        return len(self._network({"image": np.zeros((1, 3, side, side), dtype=np.float32)})[0])


class PackageTexts:
    """The text tower of a package: a `TextTower`. Arguments and errors as of `PackageImages`."""

    def __init__(self, package: Package, name: str, *, device: str, threads: int) -> None:
        self.name = name
        self.by_language = package.by_language
        self._tokens = PackageTokens(package)
        self._network = Network(package.file("text", MODEL), device=device, threads=threads)
        # Multilingual-CLIP's text towers, four of Immich's models, take a mask beside the tokens.
        self._names = ["input_ids", "attention_mask"] if "input_ids" in self._network.inputs else ["text"]
        self._network.check(self._names, {name: {1: package.context} for name in self._names})
        self.dimensions = self._network.dimensions or len(self._encoded([""], None)[0])

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            vectors[start : start + _TEXTS_AT_ONCE] = self._encoded(texts[start : start + _TEXTS_AT_ONCE], language)
        return vectors

    def _encoded(self, texts: Sequence[str], language: str | None) -> Vector:
        return self._network(dict(zip(self._names, self._tokens(texts, language), strict=False)))
