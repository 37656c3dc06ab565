"""The two towers of a package in Immich's layout, on ONNX Runtime; in bf16 on OpenVINO."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.errors import ModelError, WeightsError, words_of
from indexer.models import openvino
from indexer.models.maker import EQUAL, Precision, Vector
from indexer.models.messages import lacks_memory
from indexer.models.onnx import open_session
from indexer.models.package import MODEL, Package
from indexer.models.pixels import Preparation
from indexer.models.unit import unit

log = logging.getLogger(__name__)

_TEXTS_AT_ONCE = 32
_THREADS_A_CALL = 4
_TRIED = ("", "2026 海边的照片", "a receipt of 128.50 from a shop in Shanghai", "在海边看日落的一家人和两只狗")
_TYPES: dict[str, Any] = {
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


@dataclass(frozen=True)
class _Input:
    """An input of a network: the type as ONNX Runtime calls it, and the size of each axis. No number: any size."""

    type: str
    shape: tuple[int | str | None, ...]


class Network:
    """One ONNX model, whose inputs all have the batch as their first axis. Its first output are vectors.

    `batch` is the only size of a batch that it takes, None where it takes any. `few_shapes` as of `open_session`.

    Raises:
        WeightsError: ONNX Runtime cannot load it, or what it gives are no vectors.
    """

    def __init__(self, path: Path, *, device: str, threads: int, few_shapes: bool = False) -> None:
        self.path = path
        self._exact = partial(open_session, path, device=device, threads=threads, few_shapes=few_shapes)
        self._session = self._loaded(self._exact)
        # Copied, because ONNX Runtime's own objects would keep the session in memory.
        self.inputs = {node.name: _Input(node.type, tuple(node.shape)) for node in self._session.get_inputs()}
        first = next(iter(self.inputs.values())).shape
        self.batch = first[0] if first and isinstance(first[0], int) else None

    def size(self, name: str, axis: int) -> int | None:
        """The size of an input's axis. None where it may be any."""
        shape = self.inputs[name].shape
        size = shape[axis] if axis < len(shape) else None
        return size if isinstance(size, int) else None

    def __call__(self, rows: Mapping[str, npt.NDArray[Any]]) -> Vector:
        """Vectors of length 1, (n, dimensions) float32, for arrays of n rows each. n may be any number but 0."""
        count = len(next(iter(rows.values())))
        step = self.batch or count
        parts = [
            self._run({name: values[start : start + step] for name, values in rows.items()})
            for start in range(0, count, step)
        ]
        vectors = np.concatenate(parts)[:count].astype(np.float32, copy=False)
        return unit(vectors, str(self.path))

    def try_batch(self, rows: Mapping[str, npt.NDArray[Any]]) -> int:
        """Take one row at a time from now on, unless all `rows` together give the vectors of each alone.

        Immich's server sends single rows, so a package may name a free axis and yet be made for one. Returns the width
        of the vectors.
        """
        count = len(next(iter(rows.values())))
        apart = [self({name: values[number : number + 1] for name, values in rows.items()}) for number in range(count)]
        if self.batch is None:
            try:
                alike = np.sum(self(rows) * np.concatenate(apart), axis=1)
            except Exception as error:
                if lacks_memory(error):
                    raise
                alike = np.zeros(count)
            if alike.min() < EQUAL:
                log.info("%s takes one input at a time: several together give other vectors", self.path)
                self.batch = 1
        return len(apart[0][0])

    def narrow(self, rows: Mapping[str, npt.NDArray[Any]], *, callers: int, threads: int) -> None:
        """Compute in bf16 from now on, if that gives nearly the same vectors of `rows`. It is logged if it does not.

        Up to `callers` runs at once then take `threads` processors each.
        """
        why = openvino.why_not_bf16()
        if not why:
            exact = self(rows)
            self._session = None  # never both in memory
            try:
                self._session = self._loaded(
                    partial(openvino.OpenVinoSession, self.path, callers=callers, threads=threads, precision="bf16")
                )
                cosine = float(np.sum(exact * self(rows), axis=1).min())
                why = "" if cosine >= EQUAL else f"its vectors would differ (cosine {cosine:.6f})"
            except (WeightsError, ModelError, RuntimeError) as error:
                if lacks_memory(error):
                    raise
                why = words_of(error)
            if why:
                self._session = None
                self._session = self._loaded(self._exact)
        if why:
            log.warning("CLIP_PRECISION=bf16 is not for %s: %s", self.path, why)

    def _loaded(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Exception as error:
            if lacks_memory(error):
                raise
            raise WeightsError(f"{self.path} cannot be loaded: {words_of(error)}") from error

    def _run(self, rows: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        feed = {}
        for name, values in rows.items():
            typed = values.astype(_TYPES[self.inputs[name].type], copy=False)
            lacking = (self.batch or 0) - len(typed)
            if lacking > 0:  # a batch of a fixed size is filled up; what comes of it is cut off
                typed = np.concatenate([typed, np.repeat(typed[-1:], lacking, axis=0)])
            feed[name] = typed
        output: npt.NDArray[Any] = self._session.run(None, feed)[0]
        if output.ndim != 2 or len(output) != len(typed):
            shape = " x ".join(map(str, output.shape))
            raise WeightsError(f"{self.path} gives {shape} numbers, where a vector of each input is expected")
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
                        f"{self.path} takes {name} of shape {list(node.shape)}, but its configuration says {wanted} "
                        f"for axis {axis}"
                    )


class PackageImages:
    """The image tower of a package: an `ImageTower`. Arguments and errors as of `Network`; `name` of the package.

    `precision`: on a processor `bf16` is for OpenVINO. Otherwise the network computes in the format of its file.

    One call at a time uses all `threads`, and of many threads so many calls as have four each: so a photo that comes
    alone does not wait longer than it must, and few threads wait for each other.

    Attributes:
        graph: the file of its network, as OpenVINO reads it.
    """

    def __init__(self, package: Package, name: str, *, device: str, threads: int, precision: Precision) -> None:
        self.name = name
        preparation = package.preparation
        self.graph = package.file("image", MODEL)
        self.preparation: Preparation = preparation
        self._network = Network(self.graph, device=device, threads=threads)
        turns = max(1, threads // _THREADS_A_CALL)
        self._turns = threading.Semaphore(turns)
        side = preparation.side
        self._network.check(["image"], {"image": {1: 3, 2: side, 3: side}})
        tried = {"image": _noise(side)}
        self.dimensions = self._network.try_batch(tried)
        if device == "cpu" and precision == "bf16":
            self._network.narrow(tried, callers=turns, threads=threads // turns)

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        with self._turns:
            return self._network({"image": np.stack(prepared)})


class PackageTexts:
    """The text tower of a package: a `TextTower`. Arguments and errors as of `PackageImages`."""

    def __init__(self, package: Package, name: str, *, device: str, threads: int, precision: Precision) -> None:
        from indexer.models.package_text import PackageTokens  # tokenizers takes 6 MB

        self.name = name
        self.by_language = package.by_language
        self._tokens = PackageTokens(package)
        self._network = Network(package.file("text", MODEL), device=device, threads=threads, few_shapes=True)
        # Multilingual-CLIP's text towers, four of Immich's models, take a mask beside the tokens.
        self._names = ["input_ids", "attention_mask"] if "input_ids" in self._network.inputs else ["text"]
        self._network.check(self._names, {name: {1: package.context} for name in self._names})
        self.dimensions = self._network.try_batch(self._inputs(_TRIED[:2], None))
        if device == "cpu" and precision == "bf16":
            self._network.narrow(self._inputs(_TRIED, None), callers=1, threads=threads)

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            vectors[start : start + len(some)] = self._network(self._inputs(some, language))
        return vectors

    def _inputs(self, texts: Sequence[str], language: str | None) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(self._names, self._tokens(texts, language), strict=False))


def _noise(side: int) -> Vector:
    """Two pictures to try, (2, 3, side, side): one of small dots, one of large ones."""
    chance = np.random.default_rng(0)
    places = np.arange(side) * 8 // side
    coarse = chance.standard_normal((3, 8, 8))[:, places][:, :, places]
    noise: Vector = np.stack([chance.standard_normal((3, side, side)), coarse]).astype(np.float32)
    return noise
