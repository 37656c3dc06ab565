"""Our reading against RapidOCR's own: the same pictures, models and least scores, kind by kind."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from scipy.stats import binomtest

from bench.reading_pictures import KINDS, Sample, samples
from indexer.demo.pictures import folded
from indexer.images import decode
from indexer.models.ocr.names import EngineName
from indexer.models.ocr.ocr import load_ocr

NAME = "reading"
DESCRIPTION = "lines read exactly, and lines read where there are none, by us and by the packages' own pipelines"

MIN_BOX_SCORE, MIN_TEXT_SCORE = 0.5, 0.8
SIGNIFICANT = 0.05
_ENGINES: tuple[EngineName, ...] = ("rapidocr", "rapidocr-onnxruntime")

Read = Callable[[bytes], list[str]]


@dataclass
class Comparison:
    """What we and the package's own pipeline, `other`, read in the pictures of one kind, paired line by line.

    Each of us may read what the other does not: what both read, or neither, tells nothing about which is better. If
    both are as good, the rest is a coin thrown once a line. The exact sign test (McNemar's test, exact, two-sided:
    Q. McNemar, Psychometrika 12, 1947; the binomial form) says how seldom a coin falls so unevenly. False lines come in
    crowds where one picture misleads, so for them the coin is thrown once a picture.
    """

    written: int = 0
    exact: list[int] = field(default_factory=lambda: [0, 0])
    only: list[int] = field(default_factory=lambda: [0, 0])
    false: list[int] = field(default_factory=lambda: [0, 0])
    more_false: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, sample: Sample, ours: list[str], others: list[str]) -> None:
        """Count one picture."""
        written, *found = (Counter(map(folded, each)) for each in (sample.lines, ours, others))
        right = [written & each for each in found]
        false = [(each - written).total() for each in found]
        self.written += written.total()
        for me, you in ((0, 1), (1, 0)):
            self.exact[me] += right[me].total()
            self.only[me] += (right[me] - right[you]).total()
            self.false[me] += false[me]
            self.more_false[me] += false[me] > false[you]

    @property
    def worse(self) -> bool:
        """Whether `other` read more lines, or fewer false ones, and not by chance (p < 0.05)."""
        return _fewer(*self.only) or _fewer(*reversed(self.more_false))

    def figures(self) -> dict[str, object]:
        """Ours first in each pair."""
        return {
            **{"written": self.written, "exact": self.exact, "only": self.only, "p": _chance(*self.only)},
            **{"false": self.false, "more_false": self.more_false, "false_p": _chance(*self.more_false)},
        }


def _fewer(mine: int, other: int) -> bool:
    return mine < other and _chance(mine, other) < SIGNIFICANT


def _chance(mine: int, other: int) -> float:
    return round(float(binomtest(mine, mine + other).pvalue), 4) if mine + other else 1.0


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns for each package the figures of each kind, and the kinds in which the package is better."""
    count = options.pictures or (5 if options.quick else 20)
    chosen = options.kinds.split(",") if options.kinds else list(KINDS)
    if unknown := set(chosen) - set(KINDS):
        raise SystemExit(f"--kinds: no {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    result: dict[str, object] = {}
    for engine in [options.engine] if options.engine else _ENGINES:
        ours, theirs = our_reading(engine), own_reading(engine)
        kinds = {}
        worse = []
        for kind in chosen:
            comparison = Comparison()
            for sample in samples(kind, count):
                comparison.add(sample, ours(sample.data), theirs(sample.data))
            kinds[kind] = comparison.figures()
            print(f"  {engine}, {kind}: {kinds[kind]}", file=sys.stderr, flush=True)
            if comparison.worse:
                worse.append(kind)
        result[engine] = kinds
        result[f"{engine}_worse"] = worse
    return result


def our_reading(engine: EngineName) -> Read:
    """From an encoded picture to the lines the indexer would keep."""
    ocr = load_ocr(engine, min_box_score=MIN_BOX_SCORE, min_text_score=MIN_TEXT_SCORE)
    return lambda data: [line.text for line in ocr.read([decode(data, max_pixels=100_000_000)])[0]]


def own_reading(engine: EngineName) -> Read:
    """The same with the package's own pipeline, as its README calls it, on one processor as ours."""
    if engine == "rapidocr":
        from rapidocr import RapidOCR

        least = {"Global.text_score": MIN_TEXT_SCORE, "Det.box_thresh": MIN_BOX_SCORE}
        own = RapidOCR(
            params={**least, "Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1}
        )
        return lambda data: list(getattr(own(data), "txts", None) or ())  # of several types, if nothing was found
    from rapidocr_onnxruntime import RapidOCR as Older

    older = Older(text_score=MIN_TEXT_SCORE, det_box_thresh=MIN_BOX_SCORE, intra_op_num_threads=1)
    return lambda data: [text for _, text, _ in older(data)[0] or ()]
