"""Reports when a photo that a person waits for was read, or failed. One connection, only while a person waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import structlog

from indexer.database.pool import OwnConnection, connect
from indexer.database.trouble import TROUBLE, explain

log = structlog.get_logger()

CHANNEL = "immich_indexer_done"
_PATIENCE = 2.0  # seconds to wait for the connection: without it the caller has to poll
_PAUSE = 1.0  # seconds between two tries to connect


class Completions:
    """Listens to the notifications about completed jobs that people asked for.

    A notification may be lost together with its connection, so callers also poll, slowly.

    Args:
        dsn: the database.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._events: dict[UUID, list[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()  # that of the task

    @contextlib.asynccontextmanager
    async def of(self, asset: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set each time a job for `asset` has ended. The caller clears it.

        It is set for every job that ends after the block has begun, unless the database cannot be reached.
        """
        event = asyncio.Event()
        self._events.setdefault(asset, []).append(event)
        try:
            if self._task is None:
                self._listening = asyncio.Event()
                self._task = asyncio.create_task(self._run(self._listening))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._listening.wait()
            yield event
        finally:
            self._events[asset].remove(event)
            if not self._events[asset]:
                del self._events[asset]
            if not self._events and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self, listening: asyncio.Event) -> None:
        while True:
            try:
                await self._listen(await connect(self._dsn, timeout=_PATIENCE), listening)
            except TROUBLE as error:
                log.debug("cannot listen to completions", error=explain(error))
            await asyncio.sleep(_PAUSE)

    async def _listen(self, connection: OwnConnection, listening: asyncio.Event) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await connection.add_listener(CHANNEL, self._on_completion)
            listening.set()
            await lost.wait()
        finally:
            listening.clear()
            for events in self._events.values():
                for event in events:
                    event.set()  # notifications may be lost from now on
            connection.terminate()

    def _on_completion(self, _connection: object, _pid: int, _channel: str, payload: Any) -> None:
        with contextlib.suppress(ValueError):  # anybody may send anything on a channel
            for event in self._events.get(UUID(str(payload)), ()):
                event.set()
