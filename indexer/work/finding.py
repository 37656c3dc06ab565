"""What one check of `doctor` found."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "advice", "fails"]


@dataclass(frozen=True)
class Finding:
    """One check: its name, its result, and what was found or has to be done."""

    check: str
    verdict: Verdict
    text: str
