"""The engines of a pipeline: which are ready, what came of a photo in each, and what one has read that was sick."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from uuid import UUID

import structlog

from indexer.errors import IndexerError, words_of
from indexer.models.engine import Engine
from indexer.models.host import CallError
from indexer.models.hosted import Hosted
from indexer.models.inference import Inference, Made
from indexer.models.states import EngineAwayError
from indexer.queue.tasks import Part
from indexer.text.normalise import clean
from indexer.work import verdicts
from indexer.work.health import Suspects, pause_after
from indexer.work.pace import WorkerPace
from indexer.work.verdicts import Verdict

log = structlog.get_logger()

_MOST = 100_000  # photos remembered that an engine has read since it was last known to be well


@dataclass
class Outcome:
    """Why parts of a photo were not read, as those of `Reading`."""

    failed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


class Engines:
    """Of one pipeline; a model without an engine is always ready.

    Attributes:
        parts: what there is a model for.
    """

    def __init__(self, inference: Inference, pace: WorkerPace) -> None:
        self._pace = pace
        models: dict[Part, object] = {"clip": inference.clip, "ocr": inference.ocr}
        self.parts = [part for part, model in models.items() if model is not None]
        self._engines = {part: model.engine for part, model in models.items() if isinstance(model, Hosted)}
        self._unproven = {part: Unproven(engine) for part, engine in self._engines.items()}
        self._failures = {part: Suspects() for part in self.parts}  # that are nobody's fault, as for want of memory
        self._traced: dict[str, str] = {}  # the reason that was logged last, by the part

    @property
    def ready(self) -> list[Part]:
        """The parts whose models are ready."""
        return [part for part in self.parts if self.is_ready(part)]

    def is_ready(self, part: Part) -> bool:
        """Whether its model takes work."""
        return part not in self._engines or self._engines[part].state.is_ready

    @contextmanager
    def watched(self, changed: Callable[[], None], again: Callable[[Part, list[UUID]], None]) -> Iterator[None]:
        """While the block lasts call, in this loop, `changed` where one may be ready now, and `again` for photos.

        An engine has read those that was found to be sick: they are to be read again.
        """
        loop = asyncio.get_running_loop()

        def soon(call: Callable[..., None]) -> Callable[..., None]:
            def ring(*told: float) -> None:
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(call, *told)

            return ring

        def is_lost(part: Part, proven: float) -> None:
            if assets := self._unproven[part].take(proven):
                log.error("reading photos again that a sick engine has read", part=part, photos=len(assets))
                again(part, assets)

        with contextlib.ExitStack() as stack:
            for part, engine in self._engines.items():
                stack.callback(engine.watch(soon(changed)))
                stack.callback(engine.when_lost(soon(partial(is_lost, part))))
            yield

    def outcome(self, asset: UUID, asked: Mapping[Part, bool], made: Made) -> Outcome:
        """Why parts of a photo, of those wanted of it, were not read. `asked`: whether its engine was, being ready."""
        outcome = Outcome()
        for part, was_asked in asked.items():
            error = made.failed.get(part) if was_asked else self._engines[part].away()
            if error is None and part in self._engines and self._engines[part].replaced != made.replaced[part]:
                error = self._engines[part].away()  # it may have been sick already when it answered
            if error is None:
                self._failures[part].succeeded(asset)
                if part in self._unproven:
                    self._unproven[part].made(asset)
            elif verdicts.of(error) is Verdict.PHOTO:
                outcome.failed[part] = clean(reason_of(error))
            else:
                outcome.waiting[part] = clean(reason_of(error))
                if not isinstance(error, EngineAwayError):  # which says by itself when it is there again
                    self.trace(part, asset, error)
                    self._failures[part].failed(asset)
                    outcome.pause = max(outcome.pause, pause_after(self._failures[part].failures(asset), self._pace))
        return outcome

    def trace(self, part: str, asset: UUID, error: Exception) -> None:
        """Say where an error happened, that may be nobody's fault."""
        reason = reason_of(error)
        if reason != self._traced.get(part):  # the same trace for each photo tells nobody anything
            self._traced[part] = reason
            log.error("cannot read a photo for now", part=part, asset=str(asset), exc_info=error)


class Unproven:
    """The photos that one engine has read since it was last known to be well."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._assets: OrderedDict[UUID, float] = OrderedDict()  # when each was read, the oldest first

    def made(self, asset: UUID) -> None:
        """It has read that photo."""
        self._assets.pop(asset, None)
        self._assets[asset] = monotonic()
        self._drop(len(self._assets) - _MOST, self._engine.proven)

    def take(self, proven: float) -> list[UUID]:
        """Those read since the probe that began then, the last that went well; they are not told again."""
        self._drop(0, proven)
        assets, self._assets = list(self._assets), OrderedDict()
        return assets

    def _drop(self, more: int, proven: float) -> None:
        """Forget those read before that probe began, and so many more."""
        while self._assets and (more > 0 or next(iter(self._assets.values())) < proven):
            self._assets.popitem(last=False)
            more -= 1


def reason_of(error: Exception) -> str:
    """What went wrong with a photo, for a person."""
    return str(error) if isinstance(error, IndexerError | CallError) else f"{type(error).__name__}: {words_of(error)}"
