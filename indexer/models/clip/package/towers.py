"""The two towers of a package in Immich's layout."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.models.clip.maker import Precision, Vector
from indexer.models.clip.package.layout import MODEL, Package
from indexer.models.clip.package.network import Network, Rows
from indexer.models.clip.package.runtimes import Runtimes
from indexer.models.pixels import Preparation, noise
from indexer.models.runtimes import concurrency

_TEXTS_AT_ONCE = 32
_TRIED = ("", "2026 海边的照片", "a receipt of 128.50 from a shop in Shanghai", "在海边看日落的一家人和两只狗")


class PackageImages:
    """The image tower of a package: an `ImageTower`. Arguments as of `Runtimes`, errors as of `Runtimes.open`.

    Attributes:
        graph: the file of its network, as OpenVINO reads it.
    """

    def __init__(
        self, package: Package, name: str, *, device: str, threads: int, precision: Precision, root: Path
    ) -> None:
        self.name = name
        cropped = package.preparation
        self.preparation: Preparation = cropped
        self.graph = package.file("image", MODEL)
        self._side = cropped.side
        self._calls = threading.Semaphore(concurrency.of(threads)[0])
        runtimes = Runtimes(package, name, "image", device=device, threads=threads, precision=precision, root=root)
        self._network, self.dimensions = runtimes.open(self._probe)

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        with self._calls:
            return self._network({"image": np.stack(prepared)})

    def _probe(self, network: Network) -> Rows:
        side = self._side
        network.check(["image"], {"image": {1: 3, 2: side, 3: side}})
        return {"image": noise(side)}


class PackageTexts:
    """The text tower of a package: a `TextTower`. Arguments and errors as of `PackageImages`."""

    def __init__(
        self, package: Package, name: str, *, device: str, threads: int, precision: Precision, root: Path
    ) -> None:
        from indexer.models.clip.package.tokens import PackageTokens  # tokenizers takes 6 MB

        self.name = name
        self.by_language = package.by_language
        self._context = package.context
        self._tokens = PackageTokens(package)
        runtimes = Runtimes(package, name, "text", device=device, threads=threads, precision=precision, root=root)
        self._network, self.dimensions = runtimes.open(self._probe)

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            vectors[start : start + len(some)] = self._network(self._inputs(self._network, some, language))
        return vectors

    def _probe(self, network: Network) -> Rows:
        names = self._names(network)
        network.check(names, {name: {1: self._context} for name in names})
        return self._inputs(network, _TRIED, None)

    def _inputs(self, network: Network, texts: Sequence[str], language: str | None) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(self._names(network), self._tokens(texts, language), strict=False))

    @staticmethod
    def _names(network: Network) -> list[str]:
        """Multilingual-CLIP's text towers, four of Immich's models, take a mask beside the tokens."""
        return ["input_ids", "attention_mask"] if "input_ids" in network.inputs else ["text"]
