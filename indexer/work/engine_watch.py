"""Writes the state of this worker's engines into the database, and notices when one has another model."""

import asyncio
import contextlib
import json

import structlog

from indexer.database.backoff import Backoff
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError
from indexer.models.engines.hosted import name_of
from indexer.models.load import Models
from indexer.queue.claims import Queue

log = structlog.get_logger()


class OtherModelsError(IndexerError):
    """An engine has opened another model than when work began: the worker has to start again with it."""


class EngineWatch:
    """Watches the engines of one worker."""

    def __init__(self, queue: Queue, models: Models) -> None:
        self._queue = queue
        self._models = models

    @property
    def names(self) -> tuple[str | None, str | None]:
        """The names of the models. None: the task is off, or its model is not known yet."""
        return name_of(self._models.clip), name_of(self._models.ocr)

    @property
    def _opened(self) -> list[str | None]:
        """The names of the models that were opened."""
        return [engine.facts.name if engine.facts else None for engine in self._models.engines.values()]

    async def run(self) -> None:
        """Write each change of state, until an engine has another model.

        Raises:
            OtherModelsError: one has.
        """
        loop, changed, opened = asyncio.get_running_loop(), asyncio.Event(), self._opened

        def ring() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)

        engines = self._models.engines
        with contextlib.ExitStack() as stack:
            for engine in engines.values():
                stack.callback(engine.watch(ring))
            backoff = Backoff(1)
            while self._opened == opened:
                changed.clear()
                told = {task: engine.state.as_json for task, engine in engines.items()}
                try:
                    await self._queue.tell_engines(json.dumps(told))
                    backoff.after(None)
                    await changed.wait()
                except TROUBLE as error:
                    log.debug("cannot write the state of the engines", error=explain(error))
                    await asyncio.sleep(backoff.after(error))
        raise OtherModelsError(f"the models are {' and '.join(name for name in self.names if name)} now")
