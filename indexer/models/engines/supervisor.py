"""Opens the model of an engine, probes it from time to time, and replaces it when it is sick. In a thread of its own.

A GPU's answer is right if it equals the processor's. If the processor may be used, too, and the engine becomes sick
again and again on the GPU, it moves to the processor, and the GPU is tried again from time to time.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog

from indexer.errors import WeightsError
from indexer.models.engines.lifecycle import Lifecycle, Pace, Runner
from indexer.models.engines.messages import CallError
from indexer.models.engines.probe import Probe
from indexer.models.engines.states import Phase
from indexer.models.runtimes.device import INTEL_GPU

log = structlog.get_logger()

_GIVE_UP_GPU = 3  # failures in a row after which an engine moves to the processor, if it may
_RARELY = 24  # the longest pause between two tries of a sick GPU, in units of `Pace.gpu`


class Supervisor:
    """The supervisor of one engine.

    Args:
        lifecycle: the engine's state.
        open_on: opens the model on a device: `auto`, `cpu`, `cuda` or `openvino:GPU`.
        probe: the question with which the engine is checked.
        device: where it should run.
        pace: its pauses and time limits.
        wanting: a sentence about what is missing to open it. Empty where nothing is.
        look: probes the running model, and ends it if it is sick.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        open_on: Callable[[str], Runner],
        probe: Probe,
        device: str,
        pace: Pace,
        wanting: Callable[[], str],
        look: Callable[[Runner], None],
    ) -> None:
        self._lifecycle = lifecycle
        self._open_on = open_on
        self._probe = probe
        self._device = device
        self._pace = pace
        self._wanting = wanting
        self._look = look
        self._right: dict[str, Any] = {}  # the processor's answer to the probe, by the model's name
        self._gpu_pause = pace.gpu
        self._gpu_at = 0.0

    def right(self, runner: Runner) -> Any:
        """The right answer to the probe, for the model of `runner`."""
        return self._right[runner.facts.name]

    def run(self) -> None:
        """Supervise until the engine should end. An error in here counts as a failure: this thread must not end."""
        while not self._lifecycle.closing:
            try:
                self._round()
            except Exception as error:
                log.exception("cannot supervise an engine", engine=self._lifecycle.name)
                self._lifecycle.fails(error)
                self._lifecycle.sleep(self._lifecycle.pause)

    def _round(self) -> None:
        """Open the engine and keep it running until it ends, or find out why it cannot run. Then pause."""
        lifecycle = self._lifecycle
        if held := lifecycle.held:
            lifecycle.waits(held, Phase.HELD)
            lifecycle.sleep(self._pace.weights)
            return
        if missing := self._wanting():
            lifecycle.waits(missing)
            lifecycle.sleep(self._pace.weights)
            return
        lifecycle.loads()
        instead = self._device in ("auto", INTEL_GPU) and lifecycle.failures >= _GIVE_UP_GPU
        reason = lifecycle.state.reason
        try:
            runner = self._open("cpu" if instead else self._device)
        except WeightsError as error:
            lifecycle.waits(str(error))
            lifecycle.sleep(self._pace.weights)
            return
        except Exception as error:
            lifecycle.fails(error)
        else:
            self._attend(runner, f"on the processor for now, as it failed again and again: {reason}" * instead)
        lifecycle.sleep(lifecycle.pause)

    def _open(self, device: str) -> Runner:
        """A runner that answers the probe as the processor does."""
        runner = self._open_on(device)
        try:
            name = runner.facts.name
            if name not in self._right:
                self._right[name] = self._processors_answer(runner)
            if wrong := self._probe.differs(self._answer(runner), self._right[name]):
                raise CallError(f"on {runner.facts.device} {wrong}")
        except BaseException:
            runner.close()
            raise
        return runner

    def _processors_answer(self, runner: Runner) -> Any:
        if runner.facts.device == "cpu":
            return self._answer(runner)
        other = self._open_on("cpu")
        try:
            return self._answer(other)
        finally:
            other.close()

    def _answer(self, runner: Runner) -> Any:
        """The answer of a runner that was just opened. Its first calls may take as long as loading it."""
        return self._probe.answer(lambda method, argument: runner.call(method, argument, self._pace.load), runner.facts)

    def _attend(self, runner: Runner, instead: str) -> None:
        """Keep `runner` running until it is ended. `instead`: why it runs in place of one on the GPU."""
        self._begin(runner, instead or runner.facts.note)
        probe = time.monotonic() + self._pace.probe
        if instead:
            self._gpu_at = time.monotonic() + self._gpu_pause
        while self._lifecycle.has(runner):
            now = time.monotonic()
            if now >= probe:
                self._look(runner)
                probe = time.monotonic() + self._pace.probe
            elif instead and now >= self._gpu_at:
                if (better := self._on_gpu()) is not None:
                    self._look(runner)  # a last probe: its answers so far are right, or are not
                    runner, instead = better, ""
                    self._begin(runner, runner.facts.note)
            else:
                due = min(probe, self._gpu_at) if instead else probe
                self._lifecycle.until_not(runner, due - now)

    def _begin(self, runner: Runner, note: str) -> None:
        self._lifecycle.begins(runner, note)
        runner.when_it_ends(lambda reason: self._lifecycle.ends(runner, reason))

    def _on_gpu(self) -> Runner | None:
        """A runner on the GPU, if the GPU works again."""
        try:
            runner = self._open(self._device)
        except Exception as error:
            self._gpu_pause = min(2 * self._gpu_pause, _RARELY * self._pace.gpu)
            self._gpu_at = time.monotonic() + self._gpu_pause
            log.info(
                "the GPU still fails", engine=self._lifecycle.name, error=str(error), seconds=round(self._gpu_pause)
            )
            return None
        self._lifecycle.failures, self._gpu_pause = 0, self._pace.gpu
        return runner
