"""The text in a picture: where each line is and what it says, with RapidOCR."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from indexer.images import Picture
from indexer.models.ocr.crops import cut, from_top_left, pieces, turned_page
from indexer.models.ocr.engines import Engine, Tap, open_engine
from indexer.models.ocr.names import EngineName, Quantised, with_settings
from indexer.models.ocr.runtimes import OcrPrecision, WantedRuntime
from indexer.models.results import Corners, Detection, Line, LineCrop, Way

# C0 and C1 controls (PostgreSQL refuses NUL) and surrogates without a partner (no UTF-8).
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_WORDS_MEET = re.compile("(?<=[A-Za-z,.;:!?])\0(?=[A-Za-z])")

_MULTIPLE = 32
"""The detection network halves its picture five times, so its sides are multiples of this."""

_LONE = 0.4
"""How far from the least score to 1 the score of a lone character must be: no neighbour confirms it.

Shapes look like characters. Real lone characters scored higher with both engines, blurred lights lower.
"""

_FRAMES = frozenset("口囗□日曰目田回")
"""What windows, tiles and pictures in frames look like. With no other line beside them they are no text."""

_COMPACT = 2
"""A lone box at most so many times as long as wide may be a plate around its text."""

_CLOSE_SIDE = 320
"""Long side in pixels for a closer look: a sixth of the area that a 4:3 picture has at 960."""

_MAGNIFIED = 2
"""How much a small place may be enlarged for a closer look: more shows nothing new."""

_SMALLER = 0.6
"""The largest part of a plate's area that its text takes. Two boxes of the same text differ less than that."""

_CLEARLY = 0.1
"""How much higher a line must score upside down to be taken so. Some lines can be read both ways, such as 909."""


class _Box(NamedTuple):
    """Where text may be: `corners` (4, 2) in pixels, clockwise from the top left, and a score of 0..1."""

    corners: np.ndarray
    score: float

    @property
    def area(self) -> float:
        return float(cv2.contourArea(self.corners.astype(np.float32)))


class _Reading(NamedTuple):
    """The result of one way of reading a line, and that way's `quarters`."""

    text: str
    score: float
    quarters: int


class Ocr:
    """A loaded OCR engine, as `load_ocr` returns it.

    Every method may be called from several threads at once: no state is kept between calls, and both runtimes allow
    concurrent runs. With `threads=1` each call keeps exactly one processor busy. Many calling threads with one `Ocr`
    are the fastest way to use several processors.

    Attributes:
        name: engine, package version, model files and every setting that changes the result. Stored with results.
        alphabet: the characters that it can write.
    """

    def __init__(self, engine: Engine, *, min_box_score: float, min_text_score: float, detect_side: int) -> None:
        self.name = with_settings(engine.name, min_box_score, min_text_score, detect_side)
        self.alphabet: frozenset[str] | None = engine.alphabet
        self._engine = engine
        self._min_box_score = min_box_score
        self._min_text_score = min_text_score
        self._detect_side = detect_side

    def detect(self, picture: Picture) -> Detection:
        """Find the lines of one picture on a reduced copy, and cut them out of the full picture."""
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
        """Read the lines of several pictures at once: one list for each picture, in reading order.

        All crops go to the engine together. On a GPU it sorts them by shape into batches with little padding. On a
        processor it reads those of one width together: each is read as if it were alone.
        """
        readings = iter(self._read_crops([crop for detection in detections for crop in detection.crops]))
        return [self._lines(detection, readings) for detection in detections]

    def read(self, pictures: Sequence[Picture]) -> list[list[Line]]:
        """`detect` and `recognise` together: one list of lines for each picture."""
        return self.recognise([self.detect(picture) for picture in pictures])

    def _boxes(self, rgb: np.ndarray, size: tuple[int, int]) -> list[_Box]:
        """The boxes of a picture, found on a copy of that (width, height). Unlikely boxes are included."""
        copy = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        height, width = rgb.shape[:2]
        boxes, scores = self._engine.boxes(copy, (height, width))
        return [_Box(from_top_left(box), float(score)) for box, score in zip(boxes, scores, strict=True)]

    def _looked_closer(self, picture: Picture, lone: _Box) -> list[_Box]:
        """What to read instead of a picture's only box, or instead of its likeliest box where none is likely.

        A character on a plate is a shape in a frame. The size of the copy decides which of them gets a box, if any. So
        look at that place alone, in another size. Pictures with more text or with none do not need this.
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
        """The lines of one picture that are worth keeping, in the reading order of the page."""
        kept = []
        lying: Counter[int] = Counter()
        for corners, box_score, reading in zip(
            detection.corners, detection.box_scores, islice(readings, len(detection.crops)), strict=True
        ):
            if reading.text and reading.score >= self._least_score(reading.text):
                kept.append(Line(reading.text, corners, box_score, reading.score))
                lying[reading.quarters] += len(reading.text)
        if all(line.text in _FRAMES for line in kept):
            return []
        if not (quarters := lying.most_common(1)[0][0]):
            return kept
        boxes = np.array([line.corners for line in kept]).reshape(-1, 4, 2) * detection.size
        return [kept[index] for index in self._order(turned_page(boxes, detection.size, quarters))]

    def _least_score(self, text: str) -> float:
        lone = _LONE * (1 - self._min_text_score) if len(text) == 1 else 0
        return self._min_text_score + lone

    def _order(self, boxes: Sequence[np.ndarray] | np.ndarray) -> list[int]:
        """The indices of `boxes`, (4, 2) from the top left, in the engine's reading order."""
        if not len(boxes):
            return []
        # The engine returns sorted boxes, not indices. So each box carries its index as a fifth corner.
        tagged = np.array([np.vstack([box, (place, place)]) for place, box in enumerate(boxes)])
        return [int(row[4, 0]) for row in self._engine.reading_order(tagged)]

    def _read_crops(self, crops: Sequence[LineCrop]) -> list[_Reading]:
        best = self._readings([crop.first_way() for crop in crops])
        # A line that was turned without much evidence must score clearly higher than upright: most lines are upright.
        upright = [(index, way) for index, crop in enumerate(crops) if (way := crop.upright())]
        for (index, _), reading in zip(upright, self._readings([way for _, way in upright]), strict=True):
            if reading.score >= max(self._min_text_score, best[index].score - _CLEARLY):
                best[index] = reading
        # A line with too low a score is read again in the other ways that are possible.
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
    """The text of a line from those of its pieces. Its score is the mean over all characters, as for a single piece."""
    if len(parts) == 1:
        return _clean(parts[0][0]), float(parts[0][1])
    cleaned = [(text, float(score)) for raw, score in parts if (text := _clean(raw))]
    # Between words in letters the cut was at a space, which is in neither piece.
    joined = _WORDS_MEET.sub(" ", "\0".join(text for text, _ in cleaned)).replace("\0", "")
    return joined, sum(len(text) * score for text, score in cleaned) / max(1, sum(len(text) for text, _ in cleaned))


def _detection_size(width: int, height: int, side: int) -> tuple[int, int]:
    """The (width, height) for detection: the long side is reduced to `side`, but the short side to at least 2/3 of it.

    Otherwise the text of a long screenshot or a panorama would become too small. The area is at most 2.5 times
    `side` squared. At 960 the detection then takes about 400 MB.
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


def load_ocr(
    engine: EngineName = "rapidocr",
    *,
    device: str = "cpu",
    threads: int = 1,
    min_box_score: float = 0.5,
    min_text_score: float = 0.8,
    detect_side: int = 960,
    runtime: WantedRuntime = "onnxruntime",
    precision: OcrPrecision = "auto",
    callers: int = 1,
    quantised: Quantised | None = None,
    tap: Tap | None = None,
) -> Ocr:
    """Load an OCR engine. Its models are part of the installed package, nothing is downloaded.

    Args:
        engine: `rapidocr` (PP-OCRv6) or `rapidocr-onnxruntime` (PP-OCRv4).
        device: `cpu`, or `cuda` where ONNX Runtime has it (otherwise a warning, and the CPU).
        threads: processors that one call may use. 1 is best, with several calling threads.
        min_box_score: the least score, 0..1, of a box.
        min_text_score: the least score, 0..1, of a line's text, the mean over its characters.
        detect_side: long side, in pixels, of the reduced picture in which boxes are detected.
        runtime: what runs the models; see `choose_way`. The lines are the same, so the name does not tell.
        precision: the number format in which it does; likewise.
        callers: threads that will call at the same time. With OpenVINO more of them wait.
        quantised: networks in int8 to use instead, with OpenVINO. `runtime` and `precision` are then ignored.
        tap: is shown each input of a network, with OpenVINO.

    Raises:
        WeightsError: the package or one of its model files is missing.
        SettingsError: the runtime is not installed, or the processor has not that precision.
        ValueError: an argument is out of range.
    """
    if detect_side < _MULTIPLE or not math.isfinite(min_box_score + min_text_score):
        raise ValueError(f"detect_side must be at least {_MULTIPLE}, and the scores must be numbers")
    opened = open_engine(
        engine,
        device=device,
        threads=threads,
        runtime=runtime,
        precision=precision,
        callers=callers,
        quantised=quantised,
        tap=tap,
    )
    return Ocr(opened, min_box_score=min_box_score, min_text_score=min_text_score, detect_side=detect_side)
