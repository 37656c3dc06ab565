"""Our reading against RapidOCR's own: the same pictures, models and least scores, kind by kind."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

from bench.reading_pictures import KINDS, Sample, samples
from indexer.demo.pictures import score
from indexer.images import decode
from indexer.models.ocr import load_ocr
from indexer.models.ocr_engines import EngineName

NAME = "reading"
DESCRIPTION = "lines read exactly, and lines read where there are none, by us and by the packages' own pipelines"

MIN_BOX_SCORE, MIN_TEXT_SCORE = 0.5, 0.8
_ENGINES: tuple[EngineName, ...] = ("rapidocr", "rapidocr-onnxruntime")

Read = Callable[[bytes], list[str]]


@dataclass
class Tally:
    """Of one kind of picture: lines written, those of them read exactly, and lines read that nobody wrote."""

    written: int = 0
    exact: int = 0
    false: int = 0

    def add(self, sample: Sample, found: list[str]) -> None:
        """Count one picture."""
        exact, written = score(sample.lines, found)
        self.written += written
        self.exact += exact
        self.false += len(found) - exact


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns, for each package and kind, lines `written`, `exact` and `false`, ours first; and where it wins."""
    count = options.pictures or (5 if options.quick else 20)
    chosen = options.kinds.split(",") if options.kinds else list(KINDS)
    if unknown := set(chosen) - set(KINDS):
        raise SystemExit(f"--kinds: no {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    result: dict[str, object] = {}
    for engine in [options.engine] if options.engine else _ENGINES:
        ours, theirs = our_reading(engine), own_reading(engine)
        kinds: dict[str, dict[str, object]] = {}
        worse = []
        for kind in chosen:
            mine, other = Tally(), Tally()
            for sample in samples(kind, count):
                mine.add(sample, ours(sample.data))
                other.add(sample, theirs(sample.data))
            kinds[kind] = {
                "written": mine.written,
                "exact": [mine.exact, other.exact],
                "false": [mine.false, other.false],
            }
            print(f"  {engine}, {kind}: {kinds[kind]}", file=sys.stderr, flush=True)
            if mine.exact < other.exact or (not mine.written and mine.false > other.false):
                worse.append(kind)
        result[engine] = kinds
        result[f"{engine}_worse"] = worse
    return result


def our_reading(engine: EngineName) -> Read:
    """From an encoded picture to the lines the indexer would keep."""
    ocr = load_ocr(engine, min_box_score=MIN_BOX_SCORE, min_text_score=MIN_TEXT_SCORE)
    return lambda data: [line.text for line in ocr.read([decode(data, max_pixels=100_000_000)])[0]]


def own_reading(engine: EngineName) -> Read:
    """The same with the package's own pipeline, as its README calls it."""
    if engine == "rapidocr":
        from rapidocr import RapidOCR

        least = {"Global.text_score": MIN_TEXT_SCORE, "Det.box_thresh": MIN_BOX_SCORE}
        own = RapidOCR(params={**least, "Global.log_level": "error"})
        return lambda data: list(getattr(own(data), "txts", None) or ())  # of several types, if nothing was found
    from rapidocr_onnxruntime import RapidOCR as Older

    older = Older(text_score=MIN_TEXT_SCORE, det_box_thresh=MIN_BOX_SCORE)
    return lambda data: [text for _, text, _ in older(data)[0] or ()]
