"""Hears notifications: one connection that LISTENs, is probed, and is made anew when it is lost.

A notification carries nothing: whoever waits looks into the queue. A lost one costs time and never a photo. The probe
measures that notifications really arrive (Oban calls it a sonar): asyncpg does not notice a dead peer by itself, and
behind a pooler in transaction mode LISTEN succeeds and hears nothing.

A second channel is for scripts, whose messages do carry something: a photo to be read again.
"""

import asyncio
import contextlib
from typing import Any
from uuid import uuid4

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from indexer.database.backoff import at_least
from indexer.database.pool import OwnConnection, connect
from indexer.database.trouble import TROUBLE, explain

log = structlog.get_logger()

CHANNEL = "immich_indexer"
REQUESTS = f"{CHANNEL}_reprocess"
_PROBE = f"{CHANNEL}_probe"
_SOON = 0.1  # seconds until the next connection that listens
_RARELY = 10.0  # the same, at most, where none can
_MESSAGES = 1000  # of them kept until somebody takes them


class Listener:
    """Sets `notified` when there may be something to do.

    Args:
        dsn: the database.
        probe_seconds: how often to check that notifications arrive.
        patience_seconds: how long a probe may take before the listener counts as polling.
    """

    def __init__(self, dsn: str, *, probe_seconds: float = 10, patience_seconds: float = 5) -> None:
        self.notified = asyncio.Event()
        self.listening = asyncio.Event()  # set while a connection listens; for those who must not miss a beat
        self.came_back = asyncio.Event()  # set whenever a connection begins to listen, for others to clear
        self.messages: asyncio.Queue[str] = asyncio.Queue(_MESSAGES)  # what was said on the channel for requests
        self._dsn = dsn
        self._probe_seconds = probe_seconds
        self._patience = patience_seconds
        self._heard = asyncio.Event()
        self._token = ""
        self._polling: bool | None = None  # None: not known yet

    @property
    def polling(self) -> bool:
        """Whether notifications are not known to arrive: then poll."""
        return self._polling is not False

    async def run(self) -> None:
        """Listen until cancelled."""
        pause = _SOON
        while True:
            connection = await self._connect()
            try:
                await self._listen(connection)
            except TROUBLE as error:
                # One that cannot even begin, as on a server in recovery, says so once, and tries ever more rarely.
                listened = self.listening.is_set()
                pause = _SOON if listened else min(2 * pause, _RARELY)
                if listened or pause == 2 * _SOON:
                    event = "listening connection lost" if listened else "cannot listen: polling meanwhile"
                    log.warning(event, error=explain(error))
            finally:
                self._polling = None
                self.listening.clear()
                self.notified.set()  # something may have happened meanwhile
                with contextlib.suppress(Exception):
                    connection.terminate()
            await asyncio.sleep(pause)

    async def _connect(self) -> OwnConnection:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TROUBLE),
            wait=at_least(0.1, wait_random_exponential(multiplier=0.1, max=5)),
        ):
            with attempt:
                return await connect(self._dsn, timeout=5)
        raise AssertionError("unreachable: the retrying above has no end")

    async def _listen(self, connection: OwnConnection) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        async with asyncio.timeout(self._patience):
            await connection.add_listener(CHANNEL, self._on_bell)
            await connection.add_listener(_PROBE, self._on_probe)
            await connection.add_listener(REQUESTS, self._on_message)
        self.listening.set()
        self.came_back.set()
        self.notified.set()  # LISTEN first, then look: what came before is found by looking
        while not lost.is_set():
            await self._probe(connection)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._probe_seconds):
                    await lost.wait()
        raise ConnectionError("closed by the server")

    async def _probe(self, connection: OwnConnection) -> None:
        """Ring from a connection of its own: a notification from the listening one would prove less."""
        self._token = uuid4().hex
        self._heard.clear()
        other = await connect(self._dsn, timeout=self._patience)
        try:
            await other.execute("SELECT pg_notify($1, $2)", _PROBE, self._token, timeout=self._patience)
        finally:
            await other.close(timeout=self._patience)
        try:
            async with asyncio.timeout(self._patience):
                await self._heard.wait()
        except TimeoutError:
            if not self._polling:
                log.warning("notifications do not arrive: polling instead (is there a connection pooler in between?)")
            self._polling = True
            # Is the connection itself alive? If not, this raises, and a new one is made.
            await connection.execute("SELECT 1", timeout=self._patience)
        else:
            if self._polling:
                log.info("notifications arrive again")
            self._polling = False

    def _on_bell(self, *_: Any) -> None:
        self.notified.set()

    def _on_message(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        try:
            self.messages.put_nowait(str(payload))
        except asyncio.QueueFull:
            log.warning("too many requests at once: this one is lost", message=payload, advice="use reprocess_all")

    def _on_probe(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == self._token:
            self._heard.set()
