"""One model at work: asked, tried alone where it fails, probed before anybody is blamed.

The engine is guilty until the input is proven to be. A call that fails is tried again alone, and the engine is probed
in between: a probe that fails shows a sick engine, which is ended and opened anew after a pause, and the call comes to
`EngineAwayError`. Where the probe is right each time and the input fails each time, that is the input's `GuiltError`.
An input whose process ends is tried alone in the next one, and is guilty if that ends too, twice.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import structlog

from indexer.errors import IndexerError
from indexer.models.host import CallError, Facts, GoneError
from indexer.models.probe import Probe
from indexer.models.shared_lock import SharedLock
from indexer.models.standing import Pace, Runner, Standing
from indexer.models.states import EngineAwayError, GuiltError, Phase, State
from indexer.models.supervisor import Supervisor
from indexer.models.suspects import Suspects

log = structlog.get_logger()

_PROOF = 3  # failures of one input in a row, the engine being probed after each
_PROOF_OF_FLAKY = 6  # where the engine has failed by chance before: at one call in three once in 700 inputs
_SLOWER = 10.0  # times as long as any call of its kind has taken is too long


class Engine:
    """A model that is looked after, from `start` until `close`. Any thread may call it.

    Args:
        name: for a person: "the CLIP model".
        open_on: opens the model on a device: `auto`, `cpu` or `cuda`; takes seconds, raises as `host.Host`.
        probe: what it is asked to see whether it is well.
        device: where it is to run.
        pace: how patient to be.
        wanting: what is missing for it to be opened, in a sentence; empty where nothing is.
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
        self._standing = Standing(name, self._pace)
        self._supervisor = Supervisor(self._standing, open_on, probe, device, self._pace, wanting, self._look)
        self._started = False
        self._suspects = Suspects()
        self._lock = SharedLock()
        self._runner: Runner | None = None  # whose are:
        self._called = False  # since the last probe
        self._flaky = 0  # failures by chance
        self._longest: dict[str, float] = {}  # seconds of a call, by method
        self._most = 0  # items in a call that there is memory for
        self._room_at = 0.0  # when there may be more again

    @property
    def state(self) -> State:
        """How it is now."""
        return self._standing.state

    @property
    def facts(self) -> Facts | None:
        """Of the model; None until it was opened for the first time."""
        return self._standing.facts

    @property
    def replaced(self) -> int:
        """How often it was replaced since the start."""
        return self._standing.replaced

    @property
    def most(self) -> int:
        """Items that one call may have for want of memory; 0 where it may have any number."""
        return self._most if time.monotonic() < self._room_at else 0

    def away(self) -> EngineAwayError:
        """What to raise for want of it."""
        return self._standing.away()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called, from any thread, after each change of `state` or `facts`; returns what ends that."""
        return self._standing.watch(changed)

    def when_lost(self, tell: Callable[[float], None]) -> Callable[[], None]:
        """Have `tell` called, from any thread, when it is found to be sick; returns what ends that.

        It is given the time, by time.monotonic(), since which the answers may be wrong: all probes before were right.
        """
        return self._standing.when_lost(tell)

    @property
    def proven(self) -> float:
        """When the last probe began that it answered rightly, by time.monotonic()."""
        return self._standing.proven

    def start(self) -> None:
        """Open the model, and look after it; not a second time."""
        if self._started:
            return
        self._started = True
        threading.Thread(target=self._supervisor.run, name=f"supervisor of {self.name}", daemon=True).start()

    def settle(self, seconds: float | None = None) -> State:
        """Wait until it is ready, or is known not to be, but no longer than that."""
        self._standing.until(lambda: self.state.phase is not Phase.LOADING, seconds)
        return self.state

    def wake(self) -> None:
        """Try at once what would be tried after a pause: what it waits for may have come."""
        self._standing.wake()

    def close(self) -> None:
        """End it, and all calls."""
        self._standing.close()

    def call(self, method: str, argument: object, items: Sequence[object], check: Callable[[Any], None]) -> Any:
        """What the model's `method` makes of `argument`, in which are `items`; `check` raises where that cannot be.

        Raises:
            EngineAwayError: it is not ready, or was found to be sick.
            GuiltError: it is well, and cannot take the only one of `items`.
            Exception: it failed where there are several items, to be called with each by itself; or lacks memory.
        """
        failed: Exception | None = None
        runner: Runner | None = None
        if not self._suspects.among(items):
            with self._lock.shared():
                runner = self._standing.ready()
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
            now = self._standing.ready()
            # A failure of one that is gone tells nothing.
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
        """As `call`, for one item, while nothing else is under way; it may have `failed` once."""
        failures = 0
        while True:
            if failed is not None:
                failures += 1
                self._prove(runner, failed)
                if _lacks_memory(failed):
                    if failures > 1:
                        raise failed
                elif failures >= (_PROOF_OF_FLAKY if self._flaky else _PROOF):
                    raise GuiltError(failed) from failed
            try:
                answer = self._ask(runner, method, argument, check)
            except GoneError as error:
                if not error.replaced and self._suspects.ended_alone(item, killed=error.killed):
                    self._standing.ends(runner, str(error), error)
                    self._standing.failures = 0  # it is well
                    raise GuiltError(error) from error
                self._lose(runner, error)
            except Exception as error:
                failed = error
            else:
                if failed is not None and not _lacks_memory(failed):
                    self._is_flaky(failed)
                return self._vouch(runner, answer, [item])

    def _vouch(self, runner: Runner, answer: Any, items: Sequence[object]) -> Any:
        """The answer, of an engine that was sick a moment ago only where it is well now."""
        if self._standing.is_doubtful:
            self._prove(runner)
        self._suspects.clear(items)
        return answer

    def _ask(self, runner: Runner, method: str, argument: object, check: Callable[[Any], None] | None = None) -> Any:
        if runner is not self._runner:
            self._runner, self._flaky, self._longest = runner, 0, {}
        self._called = True
        began = time.monotonic()
        longest = self._longest.get(method, 0.0)
        answer = runner.call(method, argument, max(self._pace.late, _SLOWER * longest))
        self._longest[method] = max(longest, time.monotonic() - began)
        if check is not None:
            check(answer)
        return answer

    def _look(self, runner: Runner) -> None:
        """Probe it, if it has worked since the last time."""
        if self._called:
            with self._lock.shared():
                try:
                    self._prove(runner)
                except IndexerError:
                    return  # it is ended

    def _prove(self, runner: Runner, failed: Exception | None = None) -> None:
        """Return where `runner` answers the probe rightly; else end it, and raise EngineAwayError."""
        began = time.monotonic()
        self._called = False
        try:
            answer = self._probed(runner)
            self._called = False
        except GoneError as error:
            self._lose(runner, error)
        except Exception as error:
            self._lose(runner, failed or error)
        if wrong := self._probe.differs(answer, self._supervisor.right(runner)):
            self._lose(runner, CallError(wrong))
        self._standing.proven = began

    def _probed(self, runner: Runner) -> Any:
        """The answer to the probe. An engine that fails once and then not fails by chance."""

        def ask(method: str, argument: object) -> Any:
            return self._ask(runner, method, argument)

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
            log.warning("an engine fails by chance", engine=self.name, error=str(error))

    def _make_room(self, error: Exception, items: int) -> None:
        if _lacks_memory(error):
            self._most = max(1, items // 2)
            self._room_at = time.monotonic() + self._pace.room
            log.warning("an engine has little memory: smaller batches", engine=self.name, most=self._most)

    def _lose(self, runner: Runner, error: Exception) -> NoReturn:
        self._standing.ends(runner, str(error), error)
        raise self._standing.away() from error


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, CallError) and error.lacks_memory
