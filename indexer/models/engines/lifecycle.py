"""The state of one engine: its running model, or why there is none. Shared by its callers and its supervisor."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from indexer.models.engines.messages import CallError, Facts
from indexer.models.engines.states import EngineAwayError, Phase, State

log = structlog.get_logger()


@dataclass(frozen=True)
class Pace:
    """An engine's pauses and time limits, in seconds.

    Attributes:
        first: pause before it is replaced for the first time. Doubled each time after that.
        longest: the longest such pause.
        well: after running so long without trouble, the next pause is a first one again.
        probe: between two probes of a running engine.
        late: a call counts as hung after this time, or later.
        load: the longest time for loading.
        weights: between two checks for missing weights.
        gpu: time on the processor until the sick GPU is tried again. Doubled each time after that.
        room: how long batches stay smaller after one that found too little memory.
    """

    first: float = 1
    longest: float = 300
    well: float = 60
    probe: float = 180
    late: float = 60
    load: float = 900
    weights: float = 30
    gpu: float = 900
    room: float = 600


class Runner(Protocol):
    """A loaded model, such as `indexer.models.engines.host.Host`. Errors as there."""

    facts: Facts

    @property
    def peak(self) -> int | None:
        """The most memory that its process has had, in bytes. None where that is not known."""

    def call(self, method: str, argument: object, patience: float) -> Any:
        """The result of the model's `method` for `argument`."""

    def when_it_ends(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the reason when it ends by itself."""

    def close(self) -> None:
        """End it, and every call in progress."""


class Lifecycle:
    """The state of the engine of that name. Any thread may use it.

    Attributes:
        state: as people are told.
        facts: about the model. None until it was opened for the first time.
        failures: how often in a row it became sick, without running well for long in between.
        pause: seconds until it is replaced.
        replaced: how often it was replaced since the start, because it was sick.
        proven: when the last successful probe began, by time.monotonic().
        closing: whether it should end.
        held: why it is not to work, a sentence. Empty: it may.
    """

    def __init__(self, name: str, pace: Pace) -> None:
        self.name = name
        self.state = State(Phase.LOADING)
        self.facts: Facts | None = None
        self.failures = 0
        self.pause = pace.first
        self.replaced = 0
        self.proven = 0.0
        self.closing = False
        self.held = ""
        self._pace = pace
        self._changed = threading.Condition()
        self._watchers: list[Callable[[], None]] = []
        self._losers: list[Callable[[float], None]] = []
        self._runner: Runner | None = None
        self._began = 0.0  # when the present runner began
        self._woken = False

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed`, from any thread, after each change of `state`. Call the result to stop that."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def when_lost(self, tell: Callable[[float], None]) -> Callable[[], None]:
        """Call `tell`, from any thread, when a runner is sick. Call the result to stop that.

        Its argument is a time of time.monotonic(): the runner's answers after it may be wrong.
        """
        self._losers.append(tell)
        return lambda: self._losers.remove(tell)

    @property
    def is_doubtful(self) -> bool:
        """Whether it was sick a short time ago."""
        return self.failures > 0 and time.monotonic() - self._began < self._pace.well

    def ready(self) -> Runner:
        """The running model. Raises EngineAwayError where there is none."""
        runner = self._runner
        if runner is None:
            raise self.away()
        return runner

    def has(self, runner: Runner) -> bool:
        """Whether `runner` is the running model."""
        return self._runner is runner

    def away(self) -> EngineAwayError:
        """The error for callers while there is no running model."""
        return EngineAwayError(self.name, self.state)

    def begins(self, runner: Runner, note: str) -> None:
        """`runner` begins to work. `note`: why it is not on the wanted device. It replaces a previous runner."""
        with self._changed:
            was, old = self.state.phase, self._runner
            self._runner = None if self.closing else runner
            self.facts = runner.facts
            self._began = self.proven = time.monotonic()
            self.state = State(Phase.READY, reason=note)
            self._changed.notify_all()
        for unwanted in [old] if not self.closing else [old, runner]:
            if unwanted is not None:
                unwanted.close()
        if was is Phase.SICK:
            log.info("an engine works again", engine=self.name, device=runner.facts.device)
        if note:
            log.warning("an engine does not run on the wanted device", engine=self.name, reason=note)
        self._tell()

    def ends(self, runner: Runner, reason: str, error: Exception | None = None) -> None:
        """End `runner`, which is sick for that reason, unless that was done already."""
        with self._changed:
            if self._runner is not runner:
                return
            self._runner = None
            if time.monotonic() - self._began >= self._pace.well:
                self.failures = 0
            self.replaced += 1
            self._fall_sick(reason, error)
            proven = self.proven
        runner.close()
        for tell in list(self._losers):
            tell(proven)
        self._tell()

    def retire(self) -> None:
        """End the running model, if there is one. It is well: its answers were right."""
        with self._changed:
            runner, self._runner = self._runner, None
            if runner is None:
                return
            self.state = State(Phase.LOADING)
            self._changed.notify_all()
        runner.close()
        self._tell()

    def fails(self, error: Exception) -> None:
        """No runner could be opened."""
        with self._changed:
            self._fall_sick(str(error), error)
        self._tell()

    def _fall_sick(self, reason: str, error: Exception | None) -> None:
        self.failures += 1
        self.pause = min(self._pace.first * 2.0 ** (min(self.failures, 30) - 1), self._pace.longest)
        now = datetime.now(UTC)
        since = self.state.since if self.state.phase is Phase.SICK else now
        self.state = State(Phase.SICK, since, reason, now + timedelta(seconds=self.pause))
        trace: dict[str, str] = {}
        if self.failures == 1 and isinstance(error, CallError) and error.trace:
            trace = {"exception": error.trace}
        log.warning(
            "an engine is sick and will be replaced", engine=self.name, reason=reason, seconds=self.pause, **trace
        )
        self._changed.notify_all()

    def waits(self, reason: str, phase: Phase = Phase.WAITING) -> None:
        """It cannot be opened because weights are missing; or, with `Phase.HELD`, it is not to be opened."""
        if (self.state.phase, self.state.reason) == (phase, reason):
            return
        log.warning("an engine is " + phase, engine=self.name, reason=reason)
        with self._changed:
            self.state = State(phase, reason=reason)
            self._changed.notify_all()
        self._tell()

    def loads(self) -> None:
        """What it waited for has come, and it is opened. One that was sick stays that until it is well."""
        with self._changed:
            if self.state.phase not in (Phase.WAITING, Phase.HELD):
                return
            self.state = State(Phase.LOADING)
            self._changed.notify_all()
        self._tell()

    def until(self, done: Callable[[], bool], seconds: float | None) -> None:
        """Wait until `done()` is true, checked after each change, or until it should end, but at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self.closing or done(), seconds)

    def until_not(self, runner: Runner, seconds: float) -> None:
        """Wait until `runner` is no longer the running model, but at most so long."""
        self.until(lambda: self._runner is not runner, seconds)

    def sleep(self, seconds: float) -> None:
        """Wait so long, or until `wake` is called."""
        self.until(lambda: self._woken, seconds)
        self._woken = False

    def wake(self) -> None:
        """End the present `sleep`, or the next one."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the engine for good."""
        with self._changed:
            self.closing = True
            runner, self._runner = self._runner, None
            self.state = State(Phase.SICK, reason="it is being stopped")
            self._changed.notify_all()
        if runner is not None:
            runner.close()

    def _tell(self) -> None:
        for changed in list(self._watchers):
            changed()
