"""The states of an engine, and the error for callers of an engine that is not ready.

An engine is a model at work: the image half of CLIP, its text half, or OCR. Code that shows engines reads
`Engine.state`, and `Engine.watch` calls it after each change. A caller of an engine that is not `ready` gets
`EngineAwayError`. Its job is released, counts as no attempt, and is claimed again when the engine is ready.

An engine is `waiting for weights` when its `wanting` says what is missing, or when its model raises `WeightsError`
while it is loaded. It checks again every half minute, and at once after `Engine.wake`.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from indexer.errors import IndexerError


class Phase(StrEnum):
    """What an engine is doing. Only one that is `READY` takes work."""

    LOADING = "loading"
    READY = "ready"
    SICK = "sick"  # it failed, and will be replaced at `next_try`
    WAITING = "waiting for weights"
    HELD = "held"  # it could work, but its answers would be of no use: `reason` says why


@dataclass(frozen=True)
class State:
    """The state of one engine.

    Attributes:
        phase: what it is doing.
        since: since when. For `SICK`: since the trouble began, however often the engine was replaced meanwhile.
        reason: a sentence: why it is not ready. For a `READY` one: why it is not on the wanted GPU.
        next_try: when it is tried again. None where that is not known.
    """

    phase: Phase
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    reason: str = ""
    next_try: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it accepts calls."""
        return self.phase is Phase.READY

    @property
    def as_json(self) -> dict[str, str]:
        """For the API and the console. Times as ISO 8601, unknown values left out."""
        found = {"state": self.phase.value, "since": self.since.isoformat(timespec="seconds"), "reason": self.reason}
        if self.next_try is not None:
            found["next_try"] = self.next_try.isoformat(timespec="seconds")
        return found

    @property
    def retry_after(self) -> int:
        """Seconds after which to ask again: 1 to 600, even if the clock was changed."""
        if self.next_try is None:
            return 5
        return min(max(1, math.ceil((self.next_try - datetime.now(UTC)).total_seconds())), 600)


class EngineAwayError(IndexerError):
    """A needed engine is not ready. The text says which, and why.

    Attributes:
        engine: its name, for a person: "the CLIP model".
        reason: why it is not ready.
        retry_after: seconds after which to ask again.
    """

    def __init__(self, engine: str, state: State) -> None:
        self.engine = engine
        self.reason = state.reason or state.phase.value
        self.retry_after = state.retry_after
        super().__init__(f"{engine} is {state.phase}" + (f": {state.reason}" if state.reason else ""))


PROVEN = "while the engine answered a known question rightly"  # the end of a reason: the photo is the cause


class GuiltError(IndexerError):
    """A working engine fails on this input, again and again and alone: the input is the cause."""

    def __init__(self, reason: object) -> None:
        super().__init__(f"{reason}, {PROVEN}")
