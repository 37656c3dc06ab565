"""Engines to test with: their models fail as a test says, in this process or in one of their own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from indexer.models.engines.engine import Engine
from indexer.models.engines.host import GoneError, Host
from indexer.models.engines.hosted import HostedClip, HostedOcr, HostedText
from indexer.models.engines.lifecycle import Pace
from indexer.models.engines.messages import CallError, Facts, Opened, Setup, as_answer
from indexer.models.engines.probe import ImageProbe, LinesProbe, Probe, TextProbe
from indexer.models.load import Models

QUICK = Pace(first=0.02, longest=0.2, well=0.1, probe=0.2, late=0.3, load=20, weights=0.02, gpu=0.1, room=0.5)


class InThisProcess:
    """A model in this process that behaves as one in its own: its errors are told as text, and it can be ended."""

    peak = 300 << 20

    def __init__(self, opened: Opened) -> None:
        model = opened.model
        self.model = model
        self.facts = Facts(
            model.name,
            opened.device,
            opened.note,
            getattr(model, "dimensions", None),
            preparation=getattr(model, "preparation", None),
            by_language=getattr(model, "by_language", False),
            alphabet=getattr(model, "alphabet", None),
        )
        self.ended = threading.Event()

    def call(self, method: str, argument: object, patience: float) -> Any:
        outcome: list[Any] = []

        def work() -> None:
            try:
                outcome.append(getattr(self.model, method)(argument))
            except Exception as error:
                outcome.append(as_answer(error))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(patience)
        if self.ended.is_set():
            raise GoneError("it was replaced", replaced=True)
        if not outcome:
            raise GoneError(f"no answer within {patience:.3g} s")
        if isinstance(outcome[0], CallError | GoneError):
            raise outcome[0]
        return outcome[0]

    def when_it_ends(self, tell: Callable[[str], None]) -> None:
        """It never does by itself."""

    def close(self) -> None:
        self.ended.set()


@dataclass
class Openings:
    """Opens a model anew each time; `opened` are the devices asked for, `fail` says what is to be raised for one."""

    make: Callable[[], Any]
    fail: Callable[[str], Exception | None] = lambda device: None
    gpu: bool = False
    opened: list[str] = field(default_factory=list)

    def __call__(self, device: str) -> InThisProcess:
        self.opened.append(device)
        if (error := self.fail(device)) is not None:
            raise error
        return InThisProcess(Opened(self.make(), "cuda" if self.gpu and device != "cpu" else "cpu"))


def engine_of(model: Any, probe: Probe, name: str = "the engine", **options: Any) -> Engine:
    """One whose every runner is `model` itself."""
    return Engine(name, Openings(lambda: model), probe, **{"pace": QUICK} | options)


def hosted_clip(model: Any, **options: Any) -> HostedClip:
    return HostedClip(engine_of(model, ImageProbe(), "the CLIP model", **options))


def hosted_ocr(model: Any, **options: Any) -> HostedOcr:
    return HostedOcr(engine_of(model, LinesProbe(), "the OCR engine", **options))


def hosted_text(model: Any, **options: Any) -> HostedText:
    return HostedText(engine_of(model, TextProbe(), "the CLIP model for text", **options))


def process_of(make: Callable[[str], Opened], probe: Probe, name: str, pace: Pace = QUICK, lanes: int = 2) -> Engine:
    """One whose model `make` makes in a process of its own; `make` has to be importable there."""

    def open_on(device: str) -> Host:
        return Host(Setup(make, device), lanes=lanes, patience=pace.load, name=name)

    return Engine(name, open_on, probe, pace=pace)


def until(engine: Engine, done: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `done`, which is looked at after each change of the engine's state."""
    changed, deadline = threading.Event(), time.monotonic() + seconds
    unwatch = engine.watch(changed.set)
    try:
        while not done():
            assert changed.wait(deadline - time.monotonic()), engine.state
            changed.clear()
    finally:
        unwatch()


def until_ready(engine: Engine, seconds: float = 10) -> None:
    """Wait until it takes work."""
    until(engine, lambda: engine.state.is_ready, seconds)


@contextmanager
def at_work(models: Models) -> Iterator[Models]:
    """With its engines started, and ended after that."""
    for engine in models.engines.values():
        engine.start()
    for engine in models.engines.values():
        engine.settle(20)
    try:
        yield models
    finally:
        models.close()
