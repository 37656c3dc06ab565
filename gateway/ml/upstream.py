"""Immich's own machine-learning servers, used as one. It chooses the server, and repeats what can be repeated.

Immich asks once and never again. So a request waits here, as long as Immich waits, for a server that restarts. Only a
request that was certainly not processed is repeated: the connection failed, or the answer was 502, 503 or 504. A photo
that kills a server must not be sent to the next one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_before_delay
from yarl import URL

from gateway.body import Body
from gateway.errors import DeadlineError, UpstreamError
from gateway.ml.server import PassingError, Server, StaleError, open_session
from gateway.ml.tasks import Relayed
from indexer.immich.ml_servers import ping

log = structlog.get_logger()

_LONGEST_PAUSE = 5.0
_LOOK_AGAIN = 1.0  # seconds until a server that does not work is checked again


@dataclass
class _Asking:
    """One request in progress: since when, who was asked in this round, who last, whether a kept connection failed."""

    since: float
    tried: set[Server] = field(default_factory=set)
    last: Server | None = None
    stale: bool = False


class Upstreams:
    """Servers that speak Immich's protocol, used as an asynchronous context manager.

    Args:
        urls: their addresses, with or without a path before /predict.
        timeout: seconds for one request with all its attempts. Immich gives up after 300.
        wait: seconds within which a request is tried again while no server accepts it.
        check: seconds between two checks of /ping. Fewer while a server does not work.

    `came_back` is set when a server works again after none did. The code that waits for it clears it.
    """

    def __init__(self, urls: Sequence[URL], *, timeout: float = 240, wait: float = 60, check: float = 10) -> None:
        self.servers = [Server(url) for url in urls]
        self.came_back = asyncio.Event()
        self._timeout = timeout
        self._wait = wait
        self._check = check
        self._asked = 0
        self._away: set[Server] = set()
        self._session: aiohttp.ClientSession | None = None
        self._watches: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._session = open_session()
        self._watches = [asyncio.create_task(self._watch(server, self._session)) for server in self.servers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def well(self) -> bool:
        """Whether any server works."""
        return any(not server.trouble for server in self.servers)

    async def predict(self, body: Body, content_type: str) -> Relayed:
        """A server's answer to `POST /predict` with this body, which is forwarded unchanged while it arrives.

        Raises:
            UpstreamRefusalError: a server refused the request.
            UpstreamError: no server could be reached, or one broke the connection.
            DeadlineError: `timeout` passed while a server was working.
        """
        if self._session is None:
            raise RuntimeError("use `async with`")
        asking = _Asking(asyncio.get_running_loop().time())
        ask = partial(self._ask, self._session, asking, body, content_type)
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await ask()
                except PassingError as error:
                    return await self._ask_again(ask, asking, error)
        except PassingError as error:
            seconds = asyncio.get_running_loop().time() - asking.since
            raise UpstreamError(f"{error} (given up after {seconds:.1f} s)") from error
        except TimeoutError:
            name = asking.last.name if asking.last else "no upstream"
            raise DeadlineError(f"{name} has not answered within {self._timeout:g} s") from None

    async def _ask_again(self, ask: Callable[[], Awaitable[Relayed]], asking: _Asking, first: PassingError) -> Relayed:
        """Try again after `first`. That attempt is made without tenacity, which takes a tenth of a request's time."""
        failed: list[PassingError] = [first]

        async def attempt() -> Relayed:
            if failed:
                raise failed.pop()
            return await ask()

        attempts = AsyncRetrying(
            retry=retry_if_exception_type(PassingError),
            stop=stop_before_delay(self._wait),
            wait=lambda state: self._pause(asking, state),
            reraise=True,
        )
        return await attempts(attempt)

    async def _ask(self, session: aiohttp.ClientSession, asking: _Asking, body: Body, content_type: str) -> Relayed:
        server = self._choose(asking)
        try:
            return await server.predict(session, body, content_type)
        except StaleError as error:
            if asking.stale:  # not by chance: it happened twice
                raise UpstreamError(str(error)) from error
            asking.stale = True
            raise
        finally:
            self._notice()

    def _choose(self, asking: _Asking) -> Server:
        """The working server with the fewest requests. None is asked twice before all were asked."""
        if len(asking.tried) == len(self.servers):
            asking.tried.clear()
        free = [server for server in self.servers if server not in asking.tried]
        server = min(free, key=lambda s: (bool(s.trouble), s.in_flight, s.last_asked))
        asking.tried.add(server)
        asking.last = server
        self._asked += 1
        server.last_asked = self._asked
        return server

    def _pause(self, asking: _Asking, state: RetryCallState) -> float:
        """Seconds until the next attempt. None while another working server has not been asked yet."""
        if any(not server.trouble and server not in asking.tried for server in self.servers):
            return 0
        error = state.outcome.exception() if state.outcome else None
        named = min(error.pause, _LONGEST_PAUSE) if isinstance(error, PassingError) else 0
        doubling = min(_LONGEST_PAUSE, 0.1 * 2.0**state.attempt_number)
        return max(named, doubling * random.uniform(0.5, 1))  # noqa: S311 - not a secret

    async def _watch(self, server: Server, session: aiohttp.ClientSession) -> None:
        while True:
            server.trouble = await ping(session, server.url)
            self._notice()
            await asyncio.sleep(min(self._check, _LOOK_AGAIN) if server.trouble else self._check)

    def _notice(self) -> None:
        """Log servers that stop and start to work. Set `came_back` for the first one after none worked."""
        were_well = len(self._away) < len(self.servers)
        for server in self.servers:
            if server.trouble and server not in self._away:
                self._away.add(server)
                log.warning("an upstream server does not answer", server=server.name, reason=server.trouble)
            elif not server.trouble and server in self._away:
                self._away.remove(server)
                log.info("an upstream server answers again", server=server.name)
        if self.well and not were_well:
            self.came_back.set()
