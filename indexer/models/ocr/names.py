"""The OCR engines, without loading one: the files of their models, and the names stored with their results."""

import hashlib
import importlib.util
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from indexer.errors import WeightsError

if TYPE_CHECKING:  # a model's process reads no settings
    from indexer.settings import Settings

EngineName = Literal["rapidocr", "rapidocr-onnxruntime"]

_MODELS: dict[EngineName, tuple[str, str, str]] = {
    "rapidocr": ("PP-OCRv6_det_small", "ch_ppocr_mobile_v2.0_cls_mobile", "PP-OCRv6_rec_small"),
    "rapidocr-onnxruntime": ("ch_PP-OCRv4_det_infer", "ch_ppocr_mobile_v2.0_cls_infer", "ch_PP-OCRv4_rec_infer"),
}
"""Detector, classifier and recogniser of each package, by the names of their files."""


class Quantised(NamedTuple):
    """The files of an engine's networks in int8, as OpenVINO reads them. `indexer.models.int8.make_ocr` writes them."""

    detector: Path
    recogniser: Path


@dataclass(frozen=True)
class OcrSettings:
    """An engine with every setting that changes its results. Each as of `load_ocr`."""

    engine: EngineName
    min_box_score: float
    min_text_score: float
    detect_side: int

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        """As the settings say."""
        return cls(
            settings.ocr_engine, settings.ocr_min_box_score, settings.ocr_min_text_score, settings.ocr_detect_side
        )

    @property
    def name(self) -> str:
        """The name that `load_ocr` would give, without loading anything. Raises as `load_ocr`."""
        return with_settings(engine_name(self.engine), self.min_box_score, self.min_text_score, self.detect_side)


def with_settings(engine: str, min_box_score: float, min_text_score: float, detect_side: int) -> str:
    """An engine's name with every setting that changes its results."""
    return f"{engine} side={detect_side} box>={min_box_score:g} text>={min_text_score:g}"


def engine_name(engine: EngineName) -> str:
    """Package, version and model files: the name that `open_engine` would give. Raises as `open_engine`."""
    models = " ".join(
        f"{file.stem}:{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}" for file in model_files(engine)
    )
    return f"{engine} {version(engine)} {models}"


def model_files(engine: EngineName) -> list[Path]:
    """The model files in an installed package: detector, classifier and recogniser. Raises as `open_engine`."""
    if engine not in _MODELS:
        raise ValueError(f"unknown OCR engine {engine!r}: use one of {', '.join(_MODELS)}")
    spec = importlib.util.find_spec(engine.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise WeightsError(f"the Python package {engine!r} is not installed: pip install {engine}")
    files = [Path(spec.origin).parent / "models" / f"{stem}.onnx" for stem in _MODELS[engine]]
    for file in files:
        if not file.is_file():
            raise WeightsError(f"{file} is missing: reinstall {engine}, its wheel carries that file")
    return files
