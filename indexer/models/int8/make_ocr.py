"""Makes the detector and the recogniser of an OCR engine in int8, and measures them."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from indexer.images import decode
from indexer.models.clip.maker import Vector
from indexer.models.int8 import record as records
from indexer.models.int8.ocr import PARTS, OcrRecord, networks
from indexer.models.int8.quantise import CALIBRATING, MOST_PIXELS, Int8Error, quantise
from indexer.models.ocr.names import EngineName, OcrSettings, Quantised, model_files
from indexer.models.ocr.ocr import Ocr, load_ocr
from indexer.models.ocr.runtimes import WantedPrecision
from indexer.models.runtimes import openvino, upsampling

_PICTURES = 60
_LINES = 300
"""Inputs of the detector and of the recogniser that choose the ranges. More change nothing, and take memory."""

_SIDE = 640
"""Long side, in pixels, of the pictures for the detector's ranges. At 960 it takes 3.1 GB of memory, so 1.8."""

_STEM = 4
"""So many convolutions at the beginning stay in floats: they see the strokes themselves, and take little of the time.
Of 583 lines 99.7 % were then read alike, otherwise 97.8 %."""

_TIMED = 40


class _Inputs:
    """Collects inputs of the networks: those of the first pictures, and lines by chance."""

    def __init__(self, engine: EngineName) -> None:
        self._files = model_files(engine)
        self._chance = np.random.default_rng(0)
        self._seen = 0
        self.detector: list[Vector] = []
        self.recogniser: list[Vector] = []

    def __call__(self, file: Path, values: Vector) -> None:
        """Take one. In fp16, which is exact enough for a range."""
        if file == self._files[0] and len(self.detector) < _PICTURES:
            self.detector.append(values.astype(np.float16))
        if file != self._files[2]:
            return
        self._seen += 1
        place = self._seen - 1 if self._seen <= _LINES else int(self._chance.integers(self._seen))
        if place < _LINES:  # reservoir sampling: each line is equally likely to stay
            self.recogniser[place : place + 1] = [values.astype(np.float16)]


def make_ocr(settings: OcrSettings, root: Path, pictures: Sequence[bytes], *, threads: int) -> OcrRecord:
    """Quantise the networks of an OCR engine, measure and store them. Takes minutes.

    Raises:
        Int8Error: they cannot be made. The text says why.
        PictureError: a picture cannot be decoded.
        WeightsError: the engine's package is missing.
    """
    if not openvino.is_installed():
        raise Int8Error("OpenVINO is not installed: pip install 'immich-indexer[int8]'")
    first = int(len(pictures) * CALIBRATING)
    calibrating, compared = pictures[:first], pictures[first:]
    inputs = _Inputs(settings.engine)
    shown = replace(settings, detect_side=min(_SIDE, settings.detect_side))
    _lines(_load(shown, threads, "fp32", tap=inputs), calibrating[:_PICTURES])
    if not inputs.recogniser:
        raise Int8Error("there is no text in these photos")
    made = networks(settings.name, root)
    for file, seen, path in zip(
        model_files(settings.engine)[::2], (inputs.detector, inputs.recogniser), made, strict=True
    ):
        _quantise(file, seen, path)
    del inputs
    before = _lines(_load(settings, threads, "fp32"), compared)
    usual = _seconds(_load(settings, threads, "auto"), compared)
    ocr = _load(settings, threads, "fp32", quantised=made)
    part = _seconds(ocr, compared) / usual
    after = _lines(ocr, compared)
    digests = records.digests(settings.name, PARTS, root)
    record = OcrRecord(settings.name, len(compared), part, digests, before.total(), alike(before, after))
    records.write(record, root)
    return record


def alike(before: Counter[tuple[int, str]], after: Counter[tuple[int, str]]) -> float:
    """The part of the lines, each with the number of its photo, that are in both, of the larger number of lines."""
    return (before & after).total() / max(1, before.total(), after.total())


def _load(
    settings: OcrSettings,
    threads: int,
    precision: WantedPrecision,
    *,
    quantised: Quantised | None = None,
    tap: _Inputs | None = None,
) -> Ocr:
    return load_ocr(
        **asdict(settings),
        runtime="openvino",
        precision=precision,
        callers=threads,
        quantised=quantised,
        tap=tap,
    )


def _quantise(file: Path, seen: Sequence[Vector], path: Path) -> None:
    import openvino as library

    model = library.Core().read_model(str(file))
    upsampling.compute_in_place(model)
    quantise(model, seen, path, stem=_STEM)


def _lines(ocr: Ocr, pictures: Sequence[bytes]) -> Counter[tuple[int, str]]:
    """The lines, with the numbers of their pictures."""
    found: Counter[tuple[int, str]] = Counter()
    for number, data in enumerate(pictures):
        [lines] = ocr.read([decode(data, max_pixels=MOST_PIXELS)])
        found.update((number, line.text) for line in lines)
    return found


def _seconds(ocr: Ocr, pictures: Sequence[bytes]) -> float:
    """The processor's seconds for some of the pictures. Other work hardly counts in these."""
    _lines(ocr, pictures[:_TIMED])  # the first time with each shape takes longer
    began = time.process_time()
    _lines(ocr, pictures[:_TIMED])
    return time.process_time() - began
