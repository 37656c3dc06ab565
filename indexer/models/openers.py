"""Opens each model, in the process of the model. `Host` sends these objects there, so they can be pickled."""

import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from indexer import allocator
from indexer.models.clip.intel_gpu import Graphics
from indexer.models.clip.maker import ClipPrecision, Maker, Precision, TextTower, Tower, Vector, otherwise
from indexer.models.engines.messages import Opened
from indexer.models.files.published import PublishedFile
from indexer.models.ocr.names import OcrSettings
from indexer.models.ocr.runtimes import OcrPrecision, WantedRuntime
from indexer.models.runtimes.device import INTEL_GPU, choose_device

if TYPE_CHECKING:  # they take seconds to import: only the child needs them
    import numpy as np

    from indexer.images import Picture
    from indexer.models.faces.faces import Faces
    from indexer.models.results import Face

log = logging.getLogger(__name__)

_BESIDE_WEIGHTS = 1 << 30  # bytes of GPU memory for CUDA and a batch of pictures


@dataclass(frozen=True)
class ClipTower:
    """One tower of a CLIP model. Arguments and errors as of `Maker.open`. `graphics`: for the image tower alone."""

    maker: Maker
    tower: Tower
    model: str
    root: Path
    precision: ClipPrecision
    threads: int
    graphics: Graphics = field(default_factory=Graphics)

    def __call__(self, device: str) -> Opened:
        """Load it. On a processor in int8, where that is asked for, made and good enough; otherwise as with `auto`."""
        if device == INTEL_GPU:
            return self.graphics.opened(
                lambda: self._made("cpu", "fp32").model,
                lambda: self("cpu"),
                precision=self.precision,
                threads=self.threads,
            )
        if self.precision == "int8" and self.tower == "image" and choose_device(device)[0] == "cpu":
            from indexer.models.int8 import clip

            name = self.maker.identify(self.model, self.root).name
            made, why = clip.opened(name, self.root, threads=self.threads)
            if made is not None:
                return Opened(made, "cpu")
            log.info("CLIP_PRECISION=int8 is not used for %s: %s", name, why)
        opened = self._made(device, otherwise(self.precision))
        return replace(opened, model=_TextInChild(opened.model)) if self.tower == "text" else opened

    def _made(self, device: str, precision: Precision) -> Opened:
        return self.maker.open(
            self.tower, self.model, self.root, device=device, precision=precision, threads=self.threads
        )


@dataclass(frozen=True)
class OcrEngine:
    """An OCR engine. Arguments and errors as of `load_ocr`, and errors of `choose_device`.

    `root`: CLIP_DOWNLOAD_ROOT, below which its networks in int8 are.
    """

    settings: OcrSettings
    runtime: WantedRuntime
    precision: OcrPrecision
    callers: int
    root: Path

    def __call__(self, device: str) -> Opened:
        """Load it. In int8, where that is asked for, made and good enough; otherwise as with `auto`.

        If only CLIP can use the GPU, it stays on the processor, whatever device was asked for.
        """
        from indexer.models.ocr.engines import engine_gpu_trouble
        from indexer.models.ocr.ocr import load_ocr

        where, note = choose_device(device)
        if where == "cuda" and self.runtime != "torch" and (trouble := engine_gpu_trouble(self.settings.engine)):
            where, note = "cpu", trouble
        quantised = None
        if self.precision == "int8" and where == "cpu":
            from indexer.models.int8 import ocr as int8

            quantised, why = int8.opened(self.settings.name, self.root)
            if quantised is None:
                log.info("OCR_PRECISION=int8 is not used: %s", why)
        # Of several libraries that are tried, one remains at work.
        with allocator.releasing(("onnxruntime", "openvino")):
            ocr = load_ocr(
                **asdict(self.settings),
                device=where,
                threads=1,
                runtime=self.runtime,
                precision=self.precision,
                callers=self.callers,
                quantised=quantised,
            )
        return Opened(ocr, where, note)


@dataclass(frozen=True)
class FaceNetworks:
    """A face model of that name, of two files; errors as those of `load_faces` and `choose_device`."""

    name: str
    files: tuple[PublishedFile, ...]

    def __call__(self, device: str) -> Opened:
        """Load it."""
        from indexer.models.faces.faces import load_faces

        where, note = choose_device(device, sum(file.size for file in self.files) + _BESIDE_WEIGHTS)
        return Opened(_FacesInChild(self.name, load_faces(self.files, device=where)), where, note)


class _TextInChild:
    """A text tower whose methods take one argument, as a call from another process has."""

    def __init__(self, tower: TextTower) -> None:
        self.name = tower.name
        self.dimensions = tower.dimensions
        self.by_language = tower.by_language
        self._tower = tower

    def encode_texts(self, texts: "list[str]") -> Vector:
        """As `TextTower.encode_texts`, of texts in an unknown language."""
        return self._tower.encode_texts(texts)

    def encode_asked(self, asked: "tuple[list[str], str]") -> Vector:
        """As `TextTower.encode_texts`; `asked`: which texts, and in which language."""
        return self._tower.encode_texts(*asked)


class _FacesInChild:
    """A face model whose methods take one argument, as a call from another process has."""

    def __init__(self, name: str, faces: "Faces") -> None:
        self.name = name
        self._faces = faces

    def find(self, asked: "tuple[Picture, float]") -> "list[Face]":
        """Faces; `asked`: in which picture, and how sure the detector has to be."""
        return self._faces.find(*asked)

    def outputs(self, picture: "Picture") -> "tuple[np.ndarray, np.ndarray]":
        """As `Faces.outputs`."""
        return self._faces.outputs(picture)
