"""The two towers of Chinese-CLIP on OpenVINO, for a processor. They need half of torch's memory.

Where the processor has bf16, a picture takes half of the time, too.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer import allocator
from indexer.errors import IndexerError, ModelError
from indexer.models.clip.cn_clip.export import Exported
from indexer.models.clip.cn_clip.tokens import batches, tokenise
from indexer.models.clip.maker import EQUAL, Precision, Vector
from indexer.models.clip.unit import unit
from indexer.models.pixels import Preparation, Squeezed
from indexer.models.runtimes import concurrency, openvino
from indexer.models.runtimes.openvino import Format, OpenVinoSession

log = logging.getLogger(__name__)

PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16")
"""The number formats that there are here."""

_LEAST_TOKENS, _MOST_TOKENS = 8, 64
"""Of one call in fp32, all texts together. OpenVINO (oneDNN) stores the matrices in one order for calls of 7 to some 80
rows, and once more in another for fewer and for more: 325 MB for ViT-B-16 on a processor with AVX2."""


_Parts = Callable[[npt.NDArray[Any]], list[npt.NDArray[Any]]]


class UnequalError(IndexerError):
    """OpenVINO computes other vectors than torch."""


class _Network:
    """A tower, compared with torch's vectors when it is loaded.

    `precision`: `auto` is bf16 where the processor has it and the vectors are nearly the same, fp32 otherwise. `parts`:
    into what rows are parted in fp32, each for one call. In that more at once save no time, and OpenVINO stores the
    weights in another order for each number of rows.

    Raises:
        UnequalError: the vectors are not nearly the same.
    """

    def __init__(self, exported: Exported, *, callers: int, threads: int, precision: Precision, parts: _Parts) -> None:
        self._name = exported.name
        formats: list[Format] = ["f32"] if precision == "fp32" or openvino.why_not_bf16() else ["bf16"]
        if precision == "auto" and formats == ["bf16"]:
            formats.append("f32")
        for number in formats:
            self._session: OpenVinoSession | None = None  # never both in memory
            self._parts = parts if number == "f32" else _whole
            with allocator.releasing(["openvino"], [exported.weights]):
                self._session = OpenVinoSession(exported.path, callers=callers, threads=threads, precision=number)
                [self._source] = self._session.get_inputs()
                cosine = self._compared(exported)
            if cosine >= EQUAL:
                return
            log.info("%s in %s would differ (cosine %.6f)", exported.path.stem, number, cosine)
        raise UnequalError(f"OpenVINO computes other vectors of {exported.path} than torch (cosine {cosine:.6f})")

    def _compared(self, exported: Exported) -> float:
        """The least cosine of its vectors and torch's."""
        try:
            return float(np.sum(self(exported.probe) * exported.exact, axis=1).min())
        except ModelError:
            return -1

    def __call__(self, rows: npt.NDArray[Any]) -> Vector:
        """Vectors of length 1, (n, dimensions) float32. n may be any number but 0."""
        return unit(np.concatenate([self._run(part) for part in self._parts(rows)]), self._name)

    def _run(self, rows: npt.NDArray[Any]) -> Vector:
        assert self._session is not None  # noqa: S101 - it is loaded
        vectors: Vector = self._session.run(None, {self._source.name: rows})[0]
        return vectors


def _whole(rows: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [rows]


def _one_by_one(pictures: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [pictures[number : number + 1] for number in range(len(pictures))]


def _of_few_tokens(texts: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Texts (n, tokens) in parts of 8 to 64 tokens. What is added are zeros, which the tower does not look at."""
    padded = np.pad(texts, [(0, 0), (0, max(0, _LEAST_TOKENS - texts.shape[1]))])
    lengths = np.maximum(np.count_nonzero(texts, axis=1), _LEAST_TOKENS)
    parts, start = [], 0
    for end in range(1, len(texts) + 1):
        if end == len(texts) or (end + 1 - start) * lengths[start : end + 1].max() > _MOST_TOKENS:
            parts.append(padded[start:end, : lengths[start:end].max()])
            start = end
    return parts


class OpenVinoImages:
    """The image tower: an `ImageTower`. Raises UnequalError.

    Attributes:
        graph: the file of its network, as OpenVINO reads it.
    """

    def __init__(self, exported: Exported, *, threads: int, precision: Precision) -> None:
        self.name = exported.name
        self.dimensions = exported.dimensions
        self.preparation: Preparation = Squeezed(exported.resolution)
        self.graph = exported.path
        calls, each = concurrency.of(threads)
        self._calls = threading.Semaphore(calls)
        self._network = _Network(exported, callers=calls, threads=each, precision=precision, parts=_one_by_one)

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        with self._calls:
            return self._network(np.stack(prepared))


class OpenVinoTexts:
    """The text tower: a `TextTower`. Raises UnequalError."""

    by_language = False

    def __init__(self, exported: Exported, *, threads: int, precision: Precision) -> None:
        self.name = exported.name
        self.dimensions = exported.dimensions
        self._network = _Network(exported, callers=1, threads=threads, precision=precision, parts=_of_few_tokens)

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        """(n, dimensions) float32, each of length 1, in the same order. Raises ModelError: a vector is not finite.

        As in cn_clip, a text is cut after 50 tokens (about 50 Chinese characters), and an empty text has a vector, too.
        """
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for rows, tokens in batches(tokenise(texts)):
            vectors[rows] = self._network(tokens)
        return vectors
