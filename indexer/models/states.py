"""How an engine is, and the error of whoever needed one that is away.

An engine is a model at work: the image half of CLIP, its text half, or OCR. Whoever shows engines reads `Engine.state`
(`indexer.models.engine`) and is called after each change by `Engine.watch`. Whoever calls one that is not `ready` gets
`EngineAwayError`: the work goes back, counts against no photo, and comes again when the engine is ready.

`waiting for weights` is the state of an engine whose `wanting` says what is missing, or whose model raises
`WeightsError` while it is loaded. It looks again every half minute, and at once after `Engine.wake`.
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
    SICK = "sick"  # it failed, and is replaced at `next_try`
    WAITING = "waiting for weights"


@dataclass(frozen=True)
class State:
    """How one engine is.

    Attributes:
        phase: what it is doing.
        since: when that began; for `SICK` when the trouble began, however often it was replaced since.
        reason: a sentence: why it is away. For one that is `READY`, why it is not on the GPU that it is to be on.
        next_try: when it is tried again; None where nothing is known of that.
    """

    phase: Phase
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    reason: str = ""
    next_try: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it takes work."""
        return self.phase is Phase.READY

    @property
    def as_json(self) -> dict[str, str]:
        """For those who show it: what is known, times as ISO 8601."""
        found = {"state": self.phase.value, "since": self.since.isoformat(timespec="seconds"), "reason": self.reason}
        if self.next_try is not None:
            found["next_try"] = self.next_try.isoformat(timespec="seconds")
        return found

    @property
    def retry_after(self) -> int:
        """Seconds after which it may be worth to ask again: 1 to 600, also where somebody has set the clock."""
        if self.next_try is None:
            return 5
        return min(max(1, math.ceil((self.next_try - datetime.now(UTC)).total_seconds())), 600)


class EngineAwayError(IndexerError):
    """An engine that is needed is not ready; the text says which, and why.

    Attributes:
        engine: its name, for a person: "the CLIP model".
        reason: why it is away.
        retry_after: seconds after which it may be worth to ask again.
    """

    def __init__(self, engine: str, state: State) -> None:
        self.engine = engine
        self.reason = state.reason or state.phase.value
        self.retry_after = state.retry_after
        super().__init__(f"{engine} is {state.phase}" + (f": {state.reason}" if state.reason else ""))


PROVEN = "while the engine answered a known question rightly"  # ends the reason of a photo that an engine cannot take


class GuiltError(IndexerError):
    """An engine that is well fails on this very input, again and again and alone: it is the input's fault."""

    def __init__(self, reason: object) -> None:
        super().__init__(f"{reason}, {PROVEN}")
