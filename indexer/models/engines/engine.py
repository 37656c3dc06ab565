"""One model at work. It handles failed calls: it finds out whether the engine or the input is the cause.

The engine is assumed to be the cause until the opposite is proven. After a failed call the engine is probed, and the
input is tried again alone. If the probe fails, the engine is sick: it is ended, opened again after a pause, and the
call raises `EngineAwayError`. If the probe succeeds every time and the input fails every time, the call raises
`GuiltError`. An input during which the process ended is tried alone in the next process. If that one ends twice, the
input is the cause.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import structlog

from indexer.errors import IndexerError
from indexer.models.engines.host import GoneError
from indexer.models.engines.lifecycle import Lifecycle, Pace, Runner
from indexer.models.engines.messages import CallError, Facts, lacks_memory
from indexer.models.engines.probe import Probe
from indexer.models.engines.shared_lock import SharedLock
from indexer.models.engines.states import EngineAwayError, GuiltError, Phase, State
from indexer.models.engines.supervisor import Supervisor
from indexer.models.engines.suspects import Suspects

log = structlog.get_logger()

_PROOF = 3  # failures in a row, with successful probes between them, that prove the input is the cause
_PROOF_OF_FLAKY = 6  # the same for an engine that has failed at random before (at 1 call in 3: wrong once in 700)
_SLOWER = 10.0  # a call that takes so many times as long as any of its kind before is too slow


class Engine:
    """A supervised model, from `start` until `close`. Any thread may call it.

    Args:
        name: for a person: "the CLIP model".
        open_on: opens the model on a device: `auto`, `cpu`, `cuda` or `openvino:GPU`. Takes seconds, raises as
            `host.Host`.
        probe: the question with which the engine is checked.
        device: where it should run.
        pace: its pauses and time limits.
        wanting: a sentence about what is missing to open it. Empty where nothing is.

    Attributes:
        answered: when its last call ended that was no probe, by time.monotonic().
    """

    def __init__(
        self,
        name: str,
        open_on: Callable[[str], Runner],
        probe: Probe,
        *,
        device: str = "auto",
        pace: Pace | None = None,
        wanting: Callable[[], str] = lambda: "",
    ) -> None:
        self.name = name
        self._pace = pace or Pace()
        self._probe = probe
        self._lifecycle = Lifecycle(name, self._pace)
        self._supervisor = Supervisor(self._lifecycle, open_on, probe, device, self._pace, wanting, self._look)
        self._started = False
        self._suspects = Suspects()
        self._lock = SharedLock()
        self._runner: Runner | None = None  # the values below are about this runner:
        self._worked = 0.0  # when its last call began that was no probe
        self.answered = 0.0
        self._flaky = 0  # random failures
        self._longest: dict[str, float] = {}  # seconds of the longest call, by method
        self._most = 0  # items that fit into its memory in one call, 0: any number
        self._room_at = 0.0  # when to try larger calls again

    @property
    def state(self) -> State:
        """Its state now."""
        return self._lifecycle.state

    @property
    def facts(self) -> Facts | None:
        """What is known of the model. None until it was opened for the first time."""
        return self._lifecycle.facts

    @property
    def peak(self) -> int | None:
        """The most memory that its present process has had, in bytes. None where that is not known.

        Raises EngineAwayError where it is not ready.
        """
        return self._lifecycle.ready().peak

    @property
    def replaced(self) -> int:
        """How often it was replaced since `start`."""
        return self._lifecycle.replaced

    @property
    def most(self) -> int:
        """Items that one call may have, because memory is short. 0: any number."""
        return self._most if time.monotonic() < self._room_at else 0

    def away(self) -> EngineAwayError:
        """The error for callers while it is not ready."""
        return self._lifecycle.away()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed`, from any thread, after each change of `state` or `facts`. Call the result to stop that."""
        return self._lifecycle.watch(changed)

    def when_lost(self, tell: Callable[[float], None]) -> Callable[[], None]:
        """Call `tell`, from any thread, when the engine is found to be sick. Call the result to stop that.

        Its argument is a time of time.monotonic(): answers given after it may be wrong. Earlier probes were right.
        """
        return self._lifecycle.when_lost(tell)

    @property
    def proven(self) -> float:
        """When the last successful probe began, by time.monotonic()."""
        return self._lifecycle.proven

    def prove(self) -> None:
        """Probe it, if it has worked since the last time; blocks."""
        with suppress(EngineAwayError):
            self._look(self._lifecycle.ready())

    def start(self) -> None:
        """Open the model and start the supervisor. Does nothing when called again."""
        if self._started:
            return
        self._started = True
        threading.Thread(target=self._supervisor.run, name=f"supervisor of {self.name}", daemon=True).start()

    def settle(self, seconds: float | None = None) -> State:
        """Wait until it is ready or has failed to start, but at most so many seconds."""
        self._lifecycle.until(lambda: self.state.phase is not Phase.LOADING, seconds)
        return self.state

    def hold(self, reason: str) -> None:
        """Keep it from working, for that reason: a sentence. Empty: it may work again. Any thread may call it."""
        changed = reason != self._lifecycle.held
        self._lifecycle.held = reason
        if reason:
            self._lifecycle.retire()
        if changed:
            self.wake()

    def wake(self) -> None:
        """End a pause now: what it waits for may have arrived."""
        self._lifecycle.wake()

    def close(self) -> None:
        """End the engine, and all calls."""
        self._lifecycle.close()

    def call(self, method: str, argument: object, items: Sequence[object], check: Callable[[Any], None]) -> Any:
        """Call the model's `method` with `argument`, which contains `items`. `check` raises for an impossible answer.

        Raises:
            EngineAwayError: it is not ready, or was found to be sick.
            GuiltError: it works, but cannot process the only one of `items`.
            Exception: it failed with several items (call it with each alone), or has too little memory.
        """
        failed: Exception | None = None
        runner: Runner | None = None
        if not self._suspects.among(items):
            with self._lock.shared():
                runner = self._lifecycle.ready()
                try:
                    answer = self._ask(runner, method, argument, check)
                except GoneError as error:
                    if not error.replaced:
                        self._suspects.accuse(items)
                    self._lose(runner, error)
                except Exception as error:
                    if len(items) > 1:
                        self._make_room(error, len(items))
                        raise
                    failed = error
                else:
                    return self._vouch(runner, answer, items)
        elif len(items) > 1:
            raise IndexerError("one of them has to be tried alone")
        with self._lock.alone():
            now = self._lifecycle.ready()
            # The failure of an engine that was ended says nothing about the input.
            return self._try_alone(now, method, argument, items[0], check, failed if now is runner else None)

    def _try_alone(
        self,
        runner: Runner,
        method: str,
        argument: object,
        item: object,
        check: Callable[[Any], None],
        failed: Exception | None,
    ) -> Any:
        """As `call`, for one item, with no other call at the same time. It may have `failed` once already."""
        failures = 0
        while True:
            if failed is not None:
                failures += 1
                self._prove(runner)
                if _lacks_memory(failed):
                    if failures > 1:
                        raise failed
                elif failures >= (_PROOF_OF_FLAKY if self._flaky else _PROOF):
                    raise GuiltError(failed) from failed
            try:
                answer = self._ask(runner, method, argument, check)
            except GoneError as error:
                if not error.replaced and self._suspects.ended_alone(item, killed=error.killed):
                    self._lifecycle.ends(runner, str(error), error)
                    self._lifecycle.failures = 0  # it works
                    raise GuiltError(error) from error
                self._lose(runner, error)
            except Exception as error:
                failed = error
            else:
                if failed is not None and not _lacks_memory(failed):
                    self._is_flaky(failed)
                return self._vouch(runner, answer, [item])

    def _vouch(self, runner: Runner, answer: Any, items: Sequence[object]) -> Any:
        """Return the answer. If the engine was sick a short time ago, probe it first."""
        if self._lifecycle.is_doubtful:
            self._prove(runner)
        self._suspects.clear(items)
        return answer

    def _ask(self, runner: Runner, method: str, argument: object, check: Callable[[Any], None] | None = None) -> Any:
        self._worked = time.monotonic()
        try:
            return self._sent(runner, method, argument, check)
        finally:
            self.answered = max(self.answered, time.monotonic())

    def _sent(self, runner: Runner, method: str, argument: object, check: Callable[[Any], None] | None = None) -> Any:
        if runner is not self._runner:
            self._runner, self._flaky, self._longest = runner, 0, {}
        began = time.monotonic()
        longest = self._longest.get(method, 0.0)
        answer = runner.call(method, argument, max(self._pace.late, _SLOWER * longest))
        self._longest[method] = max(longest, time.monotonic() - began)
        if check is not None:
            check(answer)
        return answer

    def _look(self, runner: Runner) -> None:
        """Probe it, if it was called, or answered, since the last successful probe began."""
        if max(self._worked, self.answered) >= self._lifecycle.proven:
            with self._lock.shared():
                try:
                    self._prove(runner)
                except IndexerError:
                    return  # it was ended

    def _prove(self, runner: Runner) -> None:
        """Return if `runner` passes the probe. Otherwise end it, and raise EngineAwayError."""
        began = time.monotonic()
        try:
            answer = self._probed(runner)
        except Exception as error:
            self._lose(runner, error)
        if wrong := self._probe.differs(answer, self._supervisor.right(runner)):
            self._lose(runner, CallError(wrong))
        self._lifecycle.proven = began

    def _probed(self, runner: Runner) -> Any:
        """The answer to the probe. A runner that fails it once and then passes is flaky."""

        def ask(method: str, argument: object) -> Any:
            return self._sent(runner, method, argument)

        try:
            return self._probe.answer(ask, runner.facts)
        except GoneError:
            raise
        except Exception as error:
            answer = self._probe.answer(ask, runner.facts)
            self._is_flaky(error)
            return answer

    def _is_flaky(self, error: Exception) -> None:
        self._flaky += 1
        if self._flaky == 1:
            log.warning("an engine fails at random", engine=self.name, error=str(error))

    def _make_room(self, error: Exception, items: int) -> None:
        if _lacks_memory(error):
            self._most = max(1, items // 2)
            self._room_at = time.monotonic() + self._pace.room
            log.warning("an engine is short of memory: batches get smaller", engine=self.name, most=self._most)

    def _lose(self, runner: Runner, error: Exception) -> NoReturn:
        self._lifecycle.ends(runner, str(error), error)
        raise self._lifecycle.away() from error


def _lacks_memory(error: Exception) -> bool:
    return lacks_memory(error) or (isinstance(error, CallError) and error.lacks_memory)
