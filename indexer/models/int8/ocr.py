"""The detector and the recogniser of an OCR engine in int8."""

from dataclasses import dataclass
from pathlib import Path

from indexer.models.int8.record import Record, network, usable
from indexer.models.ocr.names import Quantised

LEAST_ALIKE = 0.99
LEAST_LINES = 200
DETECTOR, RECOGNISER = PARTS = "detector", "recogniser"


@dataclass(frozen=True)
class OcrRecord(Record):
    """What was measured of an OCR engine.

    Attributes:
        lines: how many were read in all these photos, in fp32.
        alike: the part of them that is read alike.
    """

    lines: int
    alike: float

    @property
    def likeness(self) -> str:
        """How much its results are like those without int8."""
        return f"{self.alike:.2%} of {self.lines} lines are read alike"

    @property
    def difference(self) -> str:
        """Why its results differ too much: a sentence. Empty if they do not."""
        if self.lines < LEAST_LINES:
            return f"only {self.lines} lines were read, too few to compare (at least {LEAST_LINES})"
        if self.alike < LEAST_ALIKE:
            return f"it would read only {self.alike:.2%} of the lines alike (asked for are {LEAST_ALIKE:.0%})"
        return ""


def opened(name: str, root: Path) -> tuple[Quantised | None, str]:
    """The networks in int8 of the engine of that name, or None and why not."""
    record, why = usable(OcrRecord, name, root)
    return networks(name, root) if record else None, why


def networks(name: str, root: Path) -> Quantised:
    """Where they are, or will be."""
    return Quantised(*(network(name, part, root) for part in PARTS))
