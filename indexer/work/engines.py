"""The engines of a pipeline: which are ready, how each dealt with a photo, and what a sick one has read."""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import structlog

from indexer.errors import IndexerError, words_of
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import Hosted
from indexer.models.engines.messages import CallError
from indexer.models.engines.states import EngineAwayError
from indexer.models.inference import Inference, Made
from indexer.queue.jobs import Choice
from indexer.queue.tasks import PARTS, Part, tasks_of
from indexer.text.normalise import clean
from indexer.work import verdicts
from indexer.work.health import Suspects, pause_after
from indexer.work.pace import WorkerPace
from indexer.work.verdicts import Verdict

log = structlog.get_logger()

_TRACES = 20  # tracebacks that are not logged again: several reasons may alternate
_MOST = 100_000  # photos of one engine that are remembered, until a probe shows that they were read rightly


@dataclass
class Outcome:
    """Why parts of a photo were not read. The fields are those of `Reading`."""

    failed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


@dataclass(frozen=True)
class Doubted:
    """Photos that an engine has read, and that no probe has proven: it may have been sick."""

    part: Part
    assets: tuple[UUID, ...]

    @property
    def told(self) -> dict[str, str | int]:
        """As the log tells it."""
        return {"part": self.part, "photos": len(self.assets)}


class Engines:
    """The engines of one pipeline. A model without an engine is always ready.

    Attributes:
        parts: those for which there is a model.
    """

    def __init__(self, inference: Inference, pace: WorkerPace) -> None:
        self._pace = pace
        models: dict[Part, object] = {"clip": inference.clip, "ocr": inference.ocr, "next": inference.next}
        self.parts = [part for part, model in models.items() if model is not None]
        self._engines = {part: model.engine for part, model in models.items() if isinstance(model, Hosted)}
        self._unproven = {part: Unproven(engine) for part, engine in self._engines.items()}
        self._failures = {part: Suspects() for part in self.parts}  # no photo's fault, such as missing memory
        self._traced: deque[tuple[str, str]] = deque(maxlen=_TRACES)  # part and reason of those logged last

    @property
    def ready(self) -> list[Part]:
        """The parts whose models are ready."""
        return [part for part in self.parts if self.is_ready(part)]

    @property
    def choice(self) -> Choice:
        """The jobs of which a part can be done now. Those for the next model alone are left to the indexers with it."""
        ready = self.ready
        if ready and ready == self.parts:
            return Choice(frozenset() if "next" in ready else tasks_of("next"), strictly=True)
        return Choice(frozenset(task for part in PARTS if part not in ready for task in tasks_of(part)), not ready)

    def is_ready(self, part: Part) -> bool:
        """Whether the model of `part` takes work."""
        return part not in self._engines or self._engines[part].state.is_ready

    async def prove(self) -> None:
        """Probe each that has worked since the last time; whoever watches is told of what a sick one has read."""
        await asyncio.gather(*(asyncio.to_thread(engine.prove) for engine in self._engines.values()))

    def doubted(self) -> list[Doubted]:
        """What was read since the last successful probes. It is returned once."""
        took = ((part, unproven.take(self._engines[part].proven)) for part, unproven in self._unproven.items())
        return [Doubted(part, assets) for part, assets in took if assets]

    @contextmanager
    def watched(self, changed: Callable[[], None], again: Callable[[Doubted], None]) -> Iterator[None]:
        """While the block lasts, call `changed` when an engine may have become ready. Both are called in this loop.

        `again` is called with photos that have to be read again: the engine that read them was then found to be sick.
        """
        loop = asyncio.get_running_loop()

        def soon(call: Callable[..., None]) -> Callable[..., None]:
            def ring(*told: float) -> None:
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(call, *told)

            return ring

        def is_lost(part: Part, proven: float) -> None:
            if assets := self._unproven[part].take(proven):
                doubted = Doubted(part, assets)
                log.error("an engine was sick: reading again what it has read", **doubted.told)
                again(doubted)

        with contextlib.ExitStack() as stack:
            for part, engine in self._engines.items():
                stack.callback(engine.watch(soon(changed)))
                stack.callback(engine.when_lost(soon(partial(is_lost, part))))
            yield

    def outcome(self, asset: UUID, asked: Mapping[Part, bool], made: Made) -> Outcome:
        """Why parts of a photo were not read.

        Args:
            asset: the photo.
            asked: the parts that were wanted, and whether the engine of each was ready, and so was asked.
            made: what the engines answered.
        """
        outcome = Outcome()
        for part, was_asked in asked.items():
            error = made.failed.get(part) if was_asked else self._engines[part].away()
            if error is None:
                self._failures[part].succeeded(asset)
                if part in self._unproven:
                    self._unproven[part].made(asset)
            elif verdicts.of(error) is Verdict.PHOTO:
                outcome.failed[part] = clean(reason_of(error))
            else:
                outcome.waiting[part] = clean(reason_of(error))
                if not isinstance(error, EngineAwayError):  # the engine tells when it is ready again
                    self.trace(part, asset, error)
                    self._failures[part].failed(asset)
                    outcome.pause = max(outcome.pause, pause_after(self._failures[part].failures(asset), self._pace))
        return outcome

    def trace(self, part: str, asset: UUID, error: Exception) -> None:
        """Log the traceback of an error that may be no photo's fault."""
        found = part, reason_of(error)
        if found not in self._traced:  # the same traceback is not logged for each photo
            self._traced.append(found)
            log.error("cannot read a photo for now", part=part, asset=str(asset), exc_info=error)


class Unproven:
    """The photos that one engine has read since it last answered a probe rightly."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._assets: OrderedDict[UUID, float] = OrderedDict()  # when each had been read; the oldest first

    def made(self, asset: UUID) -> None:
        """The engine has read `asset`."""
        self._assets.pop(asset, None)
        self._assets[asset] = self._engine.answered  # not now: a probe may have begun since
        self._drop(len(self._assets) - _MOST, self._engine.proven)

    def take(self, proven: float) -> tuple[UUID, ...]:
        """The photos read since `proven`, when the last probe with a right answer began. They are returned once."""
        self._drop(0, proven)
        assets, self._assets = tuple(self._assets), OrderedDict()
        return assets

    def _drop(self, more: int, proven: float) -> None:
        """Forget the photos read before that probe began, and at least the `more` oldest."""
        while self._assets and (more > 0 or next(iter(self._assets.values())) < proven):
            self._assets.popitem(last=False)
            more -= 1


def reason_of(error: Exception) -> str:
    """What went wrong with a photo, for a person."""
    return str(error) if isinstance(error, IndexerError | CallError) else f"{type(error).__name__}: {words_of(error)}"
