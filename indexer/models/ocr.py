"""The text in a picture: where each line is and what it says, with RapidOCR on ONNX Runtime."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from indexer.images import Picture
from indexer.models.ocr_crops import LineCrop, Way, cut, from_top_left, pieces, turned_page
from indexer.models.ocr_engines import Engine, EngineName, engine_name, open_engine

Corners = tuple[float, float, float, float, float, float, float, float]

# C0 and C1 controls (PostgreSQL refuses NUL) and surrogates without a partner (no UTF-8).
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_WORDS_MEET = re.compile("(?<=[A-Za-z,.;:!?])\0(?=[A-Za-z])")

_MULTIPLE = 32
"""The detection network halves its picture five times, so its sides are multiples of this."""

_LONE = 0.4
"""How far of the way from the least score to 1 a lone character must be: no other confirms it, and shapes resemble it.

Real ones scored more with either engine, squares and lights out of focus less, but for frames that are a 口.
"""

_COMPACT = 2
"""A lone box no longer than so many times its width may be a plate around its text."""

_CLOSE_SIDE = 320
"""Long side to look closer at, in pixels: a sixth of what a picture of 4:3 takes at 960."""

_MAGNIFIED = 2
"""How many times a small place may be enlarged for that: there is nothing more to see."""

_SMALLER = 0.6
"""Of a plate's area, what its text takes at most: boxes of the same text found twice differ less."""

_CLEARLY = 0.1
"""How much better a line's text scores upside down where that is how it was meant: else it may be both, as 909 is."""


@dataclass(frozen=True)
class Line:
    """One line of text.

    `corners` are x1, y1 .. x4, y4 in 0..1 of the picture's width and height, clockwise from the top left of the box as
    it lies in the picture (also where the text in it is turned); the scores are 0..1.
    """

    text: str
    corners: Corners
    box_score: float
    text_score: float


@dataclass(frozen=True)
class Detection:
    """The boxes of one picture from top to bottom, each with its crop, turned upright: all that recognition needs.

    `size` is the picture's (width, height).
    """

    corners: tuple[Corners, ...]
    box_scores: tuple[float, ...]
    crops: tuple[LineCrop, ...]
    size: tuple[int, int]


class _Box(NamedTuple):
    """Where text may be: `corners` (4, 2) in pixels, clockwise from the top left, and a score of 0..1."""

    corners: np.ndarray
    score: float

    @property
    def area(self) -> float:
        return float(cv2.contourArea(self.corners.astype(np.float32)))


class _Reading(NamedTuple):
    """What one way of reading a line gave, and that way's `quarters`."""

    text: str
    score: float
    quarters: int


class Ocr:
    """A loaded OCR engine, as `load_ocr` returns it.

    Every method may be called from any thread at any time, also the same one from several: nothing is kept between
    calls, and ONNX Runtime takes concurrent runs. With `threads=1` each call keeps exactly one processor busy, which is
    the fastest way to use several: one `Ocr`, as many calling threads as processors.

    Attributes:
        name: engine, package version, model files and every setting that changes the result; stored with results.
        alphabet: the characters that it can write.
    """

    def __init__(self, engine: Engine, *, min_box_score: float, min_text_score: float, detect_side: int) -> None:
        self.name = _name(engine.name, min_box_score, min_text_score, detect_side)
        self.alphabet: frozenset[str] | None = engine.alphabet
        self._engine = engine
        self._min_box_score = min_box_score
        self._min_text_score = min_text_score
        self._detect_side = detect_side

    def detect(self, picture: Picture) -> Detection:
        """Find the lines of one picture on a reduced copy, and cut them out of the full one."""
        found = self._boxes(picture.rgb, _detection_size(picture.width, picture.height, self._detect_side))
        kept = [box for box in found if box.score >= self._min_box_score]
        if found and len(kept) <= 1:
            kept = self._looked_closer(picture, max(found, key=lambda box: box.score))
        ordered = [kept[index] for index in self._order([box.corners for box in kept])]
        return Detection(
            corners=tuple(_corners(box.corners, picture) for box in ordered),
            box_scores=tuple(box.score for box in ordered),
            crops=tuple(cut(self._engine, picture.rgb, [box.corners for box in ordered])),
            size=(picture.width, picture.height),
        )

    def recognise(self, detections: Sequence[Detection]) -> list[list[Line]]:
        """Read the lines of several pictures at once: one list a picture, in the order in which they are read.

        All crops go to the engine together, which sorts them by shape: on a GPU in batches with little padding, on a
        processor one by one without any, which is faster there.
        """
        readings = iter(self._read_crops([crop for detection in detections for crop in detection.crops]))
        return [self._lines(detection, readings) for detection in detections]

    def read(self, pictures: Sequence[Picture]) -> list[list[Line]]:
        """`detect` and `recognise` in one: one list of lines a picture."""
        return self.recognise([self.detect(picture) for picture in pictures])

    def _boxes(self, rgb: np.ndarray, size: tuple[int, int]) -> list[_Box]:
        """The boxes of a picture, found in a copy of that (width, height); unlikely ones too."""
        copy = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        height, width = rgb.shape[:2]
        boxes, scores = self._engine.boxes(copy, (height, width))
        return [_Box(from_top_left(box), float(score)) for box, score in zip(boxes, scores, strict=True)]

    def _looked_closer(self, picture: Picture, lone: _Box) -> list[_Box]:
        """What to read instead of a picture's only box, or of its likeliest one where none is likely.

        A character on a plate is a shape in a frame: which of them is boxed, or whether any is, depends on the size of
        the copy. So look at that place alone, in another size; pictures with more text, or none, are spared.
        """
        likely = [lone] if lone.score >= self._min_box_score else []
        sides = np.ptp(lone.corners, axis=0)
        if sides.max() > _COMPACT * sides.min():
            return likely
        middle = lone.corners.mean(axis=0)
        left, top = np.maximum(0, middle - sides.max()).astype(int)
        right, bottom = (middle + sides.max()).astype(int)
        place = picture.rgb[top:bottom, left:right]
        height, width = place.shape[:2]
        scale = min(_MAGNIFIED, _CLOSE_SIDE / max(height, width))
        outline = (lone.corners - (left, top)).astype(np.float32)
        inner = [
            _Box(box.corners + np.array([left, top], dtype=np.float32), box.score)
            for box in self._boxes(place, (_multiple(width * scale), _multiple(height * scale)))
            if box.score >= self._min_box_score
            and cv2.pointPolygonTest(outline, box.corners.mean(axis=0).tolist(), measureDist=False) >= 0
        ]
        if likely and sum(box.area for box in inner) >= _SMALLER * lone.area:
            return likely
        return inner or likely

    def _lines(self, detection: Detection, readings: Iterator[_Reading]) -> list[Line]:
        """One picture's lines worth keeping, in the order of the way the page lies."""
        kept = []
        lying: Counter[int] = Counter()
        for corners, box_score, reading in zip(
            detection.corners, detection.box_scores, islice(readings, len(detection.crops)), strict=True
        ):
            if reading.text and reading.score >= self._least_score(reading.text):
                kept.append(Line(reading.text, corners, box_score, reading.score))
                lying[reading.quarters] += len(reading.text)
        if not kept or not (quarters := lying.most_common(1)[0][0]):
            return kept
        boxes = np.array([line.corners for line in kept]).reshape(-1, 4, 2) * detection.size
        return [kept[index] for index in self._order(turned_page(boxes, detection.size, quarters))]

    def _least_score(self, text: str) -> float:
        lone = _LONE * (1 - self._min_text_score) if len(text) == 1 else 0
        return self._min_text_score + lone

    def _order(self, boxes: Sequence[np.ndarray] | np.ndarray) -> list[int]:
        """The places of `boxes`, (4, 2) from the top left, in the engine's reading order."""
        if not len(boxes):
            return []
        # The engine gives boxes for boxes: let each one's place travel as its fifth corner.
        tagged = np.array([np.vstack([box, (place, place)]) for place, box in enumerate(boxes)])
        return [int(row[4, 0]) for row in self._engine.reading_order(tagged)]

    def _read_crops(self, crops: Sequence[LineCrop]) -> list[_Reading]:
        best = self._readings([crop.first_way() for crop in crops])
        # What was turned on little evidence must be clearly better so: an upright reading has the odds for it.
        upright = [(index, way) for index, crop in enumerate(crops) if (way := crop.upright())]
        for (index, _), reading in zip(upright, self._readings([way for _, way in upright]), strict=True):
            if reading.score >= max(self._min_text_score, best[index].score - _CLEARLY):
                best[index] = reading
        # A line that would be dropped gets another look, the other ways it may have been meant.
        again = [
            (index, way)
            for index, crop in enumerate(crops)
            if best[index].score < self._min_text_score
            for way in crop.other_ways()
        ]
        for (index, _), reading in zip(again, self._readings([way for _, way in again]), strict=True):
            best[index] = max(best[index], reading, key=lambda each: each.score)
        return best

    def _readings(self, ways: Sequence[Way]) -> list[_Reading]:
        if not ways:
            return []
        cuts = [pieces(way.pixels) for way in ways]
        texts = iter(self._engine.texts([piece for cut_line in cuts for piece in cut_line]))
        return [
            _Reading(*_joined(list(islice(texts, len(cut_line)))), way.quarters)
            for way, cut_line in zip(ways, cuts, strict=True)
        ]


def _joined(parts: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """One line's text from those of its pieces, and its score: the mean over its characters, as of a single piece."""
    if len(parts) == 1:
        return _clean(parts[0][0]), float(parts[0][1])
    cleaned = [(text, float(score)) for raw, score in parts if (text := _clean(raw))]
    # Between words of letters the cut was at a space, which neither piece has.
    joined = _WORDS_MEET.sub(" ", "\0".join(text for text, _ in cleaned)).replace("\0", "")
    return joined, sum(len(text) * score for text, score in cleaned) / max(1, sum(len(text) for text, _ in cleaned))


def _detection_size(width: int, height: int, side: int) -> tuple[int, int]:
    """(width, height) to detect on: reduced to a long side of `side`, but the short one to no less than 2/3 of that.

    Otherwise the text of a long screenshot or a panorama, whose short side is all it has, would become too small. The
    area stays within 2.5 squares of `side`, which at 960 takes some 400 MB to search.
    """
    long, short = max(width, height), min(width, height)
    scale = min(1.0, max(side / long, side * 2 / 3 / short), side * math.sqrt(2.5 / (long * short)))
    return _multiple(width * scale), _multiple(height * scale)


def _multiple(length: float) -> int:
    return max(_MULTIPLE, round(length / _MULTIPLE) * _MULTIPLE)


def _corners(box: np.ndarray, picture: Picture) -> Corners:
    inside = np.clip(box / (picture.width, picture.height), 0.0, 1.0)
    x1, y1, x2, y2, x3, y3, x4, y4 = (float(value) for value in np.nan_to_num(inside).ravel())
    return x1, y1, x2, y2, x3, y3, x4, y4


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("", text).strip()


def ocr_name(engine: EngineName, *, min_box_score: float, min_text_score: float, detect_side: int) -> str:
    """What `load_ocr` would call itself, without loading anything. Raises as `load_ocr`."""
    return _name(engine_name(engine), min_box_score, min_text_score, detect_side)


def _name(engine: str, min_box_score: float, min_text_score: float, detect_side: int) -> str:
    return f"{engine} side={detect_side} box>={min_box_score:g} text>={min_text_score:g}"


def load_ocr(
    engine: EngineName = "rapidocr",
    *,
    device: str = "cpu",
    threads: int = 1,
    min_box_score: float = 0.5,
    min_text_score: float = 0.8,
    detect_side: int = 960,
) -> Ocr:
    """Load an OCR engine; its models are part of the installed package, nothing is downloaded.

    Args:
        engine: `rapidocr` (PP-OCRv6) or `rapidocr-onnxruntime` (PP-OCRv4).
        device: `cpu`, or `cuda` where ONNX Runtime has it (otherwise a warning, and the CPU).
        threads: processors that one call may use; best 1, with several calling threads.
        min_box_score: least certainty, 0..1, that a box holds text.
        min_text_score: least certainty, 0..1, of a line's text, as the mean over its characters.
        detect_side: long side, in pixels, of the reduced picture that boxes are looked for in.

    Raises:
        WeightsError: the package or one of its model files is missing.
        ValueError: an argument is out of range.
    """
    if detect_side < _MULTIPLE or not math.isfinite(min_box_score + min_text_score):
        raise ValueError(f"detect_side must be at least {_MULTIPLE}, the scores numbers")
    opened = open_engine(engine, device=device, threads=threads)
    return Ocr(opened, min_box_score=min_box_score, min_text_score=min_text_score, detect_side=detect_side)
