"""`GET /api/status/events`: the figures as server-sent events, whenever they change."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.errors import BusyError, GatewayError
from gateway.gate import Gate
from gateway.people.identity import Identity
from gateway.people.overview import Overview, scope_of

_STREAMS = 64  # open at once,
_OF_ONE = 8  # and of one person
_PERIOD = 1.0  # seconds between two looks at the figures
_HEARTBEAT = 15.0  # seconds without a word after which there is one, for proxies that hang up on silence
_CHECK = 30.0  # seconds between two looks at whether the key is still good
_SLOW = 30.0  # seconds that a client may take to read on
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "X-Accel-Buffering": "no",  # nginx would keep them until it has many
}


class Events:
    """Streams, each going at its own client's pace: what a slow one has missed is left out.

    Args:
        identity: tells who is asking.
        overview: makes the figures.
    """

    def __init__(self, identity: Identity, overview: Overview) -> None:
        self.gate = Gate("event streams", _STREAMS, retry_after=15)
        self._identity = identity
        self._overview = overview
        self._open: Counter[UUID] = Counter()
        self._closing = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [web.get("/api/status/events", self._events, allow_head=False)]

    async def close(self, _app: web.Application) -> None:
        """A signal of the application: it is about to stop, and would wait for every stream to end."""
        self._closing.set()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        person = await self._identity(request)
        owner = scope_of(request, person)
        with self.gate(), self._one_of(person.account.id):
            await self._overview(owner)  # what is wrong at the beginning is told with a status of its own
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            try:
                await self._tell(request, response)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionError("the client reads nothing any more") from None
            return response

    async def _tell(self, request: web.Request, response: web.StreamResponse) -> None:
        """Until the application stops, the client goes, or there is nothing more to be told."""
        loop = asyncio.get_running_loop()
        checked = spoke = loop.time()
        person = await self._identity(request)
        told: dict[str, Any] | None = None
        while not self._closing.is_set():
            try:
                if loop.time() - checked >= _CHECK:
                    person, checked = await self._identity(request), loop.time()
                found = (await self._overview(scope_of(request, person))).as_json(person.account.id)
            except GatewayError as error:  # the key was revoked, Immich or the database is away
                await _say(response, "error", {"error": error.code, "message": str(error)})
                return
            if (lasting := _lasting(found)) != told:
                await _say(response, "status", found)
                told, spoke = lasting, loop.time()
            elif loop.time() - spoke >= _HEARTBEAT:
                await _write(response, ":\n\n")
                spoke = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PERIOD):
                    await self._closing.wait()

    @contextlib.contextmanager
    def _one_of(self, user: UUID) -> Iterator[None]:
        if self._open[user] >= _OF_ONE:
            raise BusyError(f"you have {_OF_ONE} event streams open: close one", 15)
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]


def _lasting(found: dict[str, Any]) -> dict[str, Any]:
    """Without what changes though nothing happens."""
    workers = [{name: worker[name] for name in worker if name != "seenSeconds"} for worker in found["workers"]]
    return found | {"oldestSeconds": None, "workers": workers}


async def _say(response: web.StreamResponse, event: str, content: object) -> None:
    await _write(response, f"event: {event}\ndata: {json.dumps(content, ensure_ascii=False)}\n\n")


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(_SLOW):
        await response.write(text.encode())
