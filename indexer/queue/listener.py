"""Receives notifications over one connection that LISTENs. It is probed, and replaced when it is lost.

A notification has no content: the receiver looks into the queue. So a lost one costs time but never a photo. The probe
checks that notifications really arrive (Oban calls this a sonar). asyncpg does not notice when the other end is gone,
and behind a pooler in transaction mode LISTEN succeeds but nothing arrives.

Messages on a second channel do have content: scripts ask there for a photo to be read again.
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
_SOON = 0.1  # seconds until the next try to listen
_RARELY = 10.0  # the same, at most, when listening fails again and again
_MESSAGES = 1000  # the most that are kept until they are processed


class Listener:
    """Sets `notified` when there may be something to do.

    Args:
        dsn: the database.
        probe_seconds: how often to check that notifications arrive.
        patience_seconds: how long a probe may take before the listener counts as polling.
    """

    def __init__(self, dsn: str, *, probe_seconds: float = 10, patience_seconds: float = 5) -> None:
        self.notified = asyncio.Event()
        self.listening = asyncio.Event()  # set while a connection listens
        self.came_back = asyncio.Event()  # set whenever a connection begins to listen. Others clear it
        self.messages: asyncio.Queue[str] = asyncio.Queue(_MESSAGES)  # the messages of the channel for requests
        self._dsn = dsn
        self._probe_seconds = probe_seconds
        self._patience = patience_seconds
        self._heard = asyncio.Event()
        self._token = ""
        self._polling: bool | None = None  # None: not known yet

    @property
    def polling(self) -> bool:
        """Whether the caller has to poll: notifications are not known to arrive."""
        return self._polling is not False

    async def run(self) -> None:
        """Listen until cancelled."""
        pause = _SOON
        while True:
            connection = await self._connect()
            try:
                await self._listen(connection)
            except TROUBLE as error:
                # Where LISTEN itself fails, as on a server in recovery, log that once, and try less and less often.
                listened = self.listening.is_set()
                pause = _SOON if listened else min(2 * pause, _RARELY)
                if listened or pause == 2 * _SOON:
                    event = "listening connection lost" if listened else "cannot listen: polling meanwhile"
                    log.warning(event, error=explain(error))
            finally:
                self._polling = None
                self.listening.clear()
                self.notified.set()  # notifications may have been lost
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
            await connection.add_listener(CHANNEL, self._on_notification)
            await connection.add_listener(_PROBE, self._on_probe)
            await connection.add_listener(REQUESTS, self._on_message)
        self.listening.set()
        self.came_back.set()
        self.notified.set()  # LISTEN first, then look into the queue: so nothing is missed
        while not lost.is_set():
            await self._probe(connection)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._probe_seconds):
                    await lost.wait()
        raise ConnectionError("closed by the server")

    async def _probe(self, connection: OwnConnection) -> None:
        """Send a notification over another connection: over the listening one it would prove less."""
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

    def _on_notification(self, *_: Any) -> None:
        self.notified.set()

    def _on_message(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        try:
            self.messages.put_nowait(str(payload))
        except asyncio.QueueFull:
            log.warning("too many requests at once: this one is lost", message=payload, advice="use reprocess_all")

    def _on_probe(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == self._token:
            self._heard.set()
