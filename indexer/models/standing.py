"""Where one engine stands: the runner that works now, or why there is none. Its callers and its supervisor share it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from indexer.models.host import CallError, Facts
from indexer.models.states import EngineAwayError, Phase, State

log = structlog.get_logger()


@dataclass(frozen=True)
class Pace:
    """How patient an engine is, in seconds.

    Attributes:
        first: until it is replaced for the first time; twice as long each time after that.
        longest: such a pause at most.
        well: as long at work makes the next pause a first one.
        probe: between two probes of an engine at work.
        late: without an answer at least, before it counts as hung.
        load: that loading may take, at most.
        weights: between two looks for weights that are missing.
        gpu: on the processor, until a sick GPU is tried; twice as long each time after that.
        room: smaller batches, after one that found no memory.
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
    """A loaded model; `indexer.models.host.Host` is one. Errors as there."""

    facts: Facts

    def call(self, method: str, argument: object, patience: float) -> Any:
        """What the model's `method` makes of `argument`."""

    def when_it_ends(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called with the reason when it ends by itself."""

    def close(self) -> None:
        """End it, and every call that is under way."""


class Standing:
    """Of the engine of that name; any thread may ask and tell.

    Attributes:
        state: how it is.
        facts: of the model; None until it was opened for the first time.
        failures: times that it fell sick in a row, without having been well for long in between.
        pause: seconds until it is replaced.
        replaced: how often it was replaced since the start, being sick.
        proven: when the last probe began that was answered rightly, by time.monotonic().
        closing: whether it is to end.
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
        self._pace = pace
        self._changed = threading.Condition()
        self._watchers: list[Callable[[], None]] = []
        self._losers: list[Callable[[float], None]] = []
        self._runner: Runner | None = None
        self._began = 0.0  # when the runner came to work
        self._woken = False

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called, from any thread, after each change of `state`, until what is returned is called."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def when_lost(self, tell: Callable[[float], None]) -> Callable[[], None]:
        """Have `tell` called, from any thread, when a runner is sick, until what is returned is called.

        It is given the time, by time.monotonic(), since which the runner may have answered wrongly.
        """
        self._losers.append(tell)
        return lambda: self._losers.remove(tell)

    @property
    def is_doubtful(self) -> bool:
        """Whether it was sick a moment ago: it has not been well for long."""
        return self.failures > 0 and time.monotonic() - self._began < self._pace.well

    def ready(self) -> Runner:
        """The runner at work. Raises EngineAwayError where there is none."""
        runner = self._runner
        if runner is None:
            raise self.away()
        return runner

    def has(self, runner: Runner) -> bool:
        """Whether `runner` is the one at work."""
        return self._runner is runner

    def away(self) -> EngineAwayError:
        """What to raise while there is none."""
        return EngineAwayError(self.name, self.state)

    def begins(self, runner: Runner, note: str) -> None:
        """`runner` takes up work, with a `note` where it is not what is wanted. It replaces one that is there."""
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
            log.info("an engine is well again", engine=self.name, device=runner.facts.device)
        if note:
            log.warning("an engine does not run where it is to run", engine=self.name, reason=note)
        self._tell()

    def ends(self, runner: Runner, reason: str, error: Exception | None = None) -> None:
        """`runner` is sick, for that reason, and is ended, unless that was done."""
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
        log.warning("an engine is sick, and is replaced", engine=self.name, reason=reason, seconds=self.pause, **trace)
        self._changed.notify_all()

    def waits(self, missing: str) -> None:
        """It cannot be opened for want of weights."""
        if (self.state.phase, self.state.reason) == (Phase.WAITING, missing):
            return
        log.warning("an engine waits for its weights", engine=self.name, reason=missing)
        with self._changed:
            self.state = State(Phase.WAITING, reason=missing)
            self._changed.notify_all()
        self._tell()

    def loads(self) -> None:
        """What it waited for has come, and it is opened. One that was sick stays that until it is well."""
        with self._changed:
            if self.state.phase is not Phase.WAITING:
                return
            self.state = State(Phase.LOADING)
            self._changed.notify_all()
        self._tell()

    def until(self, done: Callable[[], bool], seconds: float | None) -> None:
        """Wait until it is `done`, which is looked at after each change, or is to end, but no longer than that."""
        with self._changed:
            self._changed.wait_for(lambda: self.closing or done(), seconds)

    def until_not(self, runner: Runner, seconds: float) -> None:
        """Wait until `runner` is no longer at work, but no longer than that."""
        self.until(lambda: self._runner is not runner, seconds)

    def sleep(self, seconds: float) -> None:
        """Wait so long, or until somebody calls `wake`."""
        self.until(lambda: self._woken, seconds)
        self._woken = False

    def wake(self) -> None:
        """End the `sleep` that is under way, or the next one."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """End it, for good."""
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
