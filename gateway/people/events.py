"""`GET /api/status/events`: sends the figures as server-sent events when they change."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from aiohttp import web

from gateway.errors import BusyError, ErrorAnswer, GatewayError
from gateway.gate import Gate
from gateway.people.identity import Identity
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.overview import Overview, ScopeParameters, owner_of
from gateway.people.pace import USUAL, ApiPace
from indexer.views.figures import Figures
from indexer.views.shapes import Shape

STREAMS_OF_ONE = 8  # that one person may have open at once
_STREAMS = 64  # that all together may have open at once
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "X-Accel-Buffering": "no",  # nginx would keep them until it has many
}

EVENTS = Operation[ScopeParameters, None](
    "GET",
    "/api/status/events",
    "getStatusEvents",
    "The same as server-sent events",
    ScopeParameters,
    {
        200: Answer(
            "An event `status` at once, and one after each change. An event `error` says why the stream ends.",
            types=("text/event-stream",),
            events={"status": Figures, "error": ErrorAnswer},
        )
    },
    permissions=("asset.read",),
    allow_head=False,
)


class Events:
    """The streams. Each is as fast as its client reads: figures that a slow client would get too late are left out.

    Args:
        identity: checks again and again who has opened a stream.
        overview: makes the figures.
        pace: how often to look, and how long to wait for a client.
    """

    def __init__(self, identity: Identity, overview: Overview, pace: ApiPace = USUAL) -> None:
        self.gate = Gate("event streams", _STREAMS, retry_after=15)
        self._identity = identity
        self._overview = overview
        self._pace = pace
        self._open: Counter[UUID] = Counter()
        self._closing = asyncio.Event()

    def endpoints(self) -> list[Endpoint[ScopeParameters, None]]:
        """To be added to the API."""
        return [Endpoint(EVENTS, self._events)]

    async def close(self, _app: web.Application) -> None:
        """End all streams. The application calls this when it stops: it waits until they have ended."""
        self._closing.set()

    async def _events(self, asked: Asked[ScopeParameters, None]) -> web.StreamResponse:
        request = asked.request
        owner = owner_of(asked.parameters, asked.person)
        with self.gate(), self._one_of(asked.person.account.id):
            await self._overview(owner)  # an error at the beginning gets its own HTTP status
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            try:
                await self._tell(asked, response)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionError("the client has stopped reading") from None
            return response

    async def _tell(self, asked: Asked[ScopeParameters, None], response: web.StreamResponse) -> None:
        """Send events until the application stops, the client closes the connection, or an error ends the stream."""
        loop = asyncio.get_running_loop()
        checked = spoke = loop.time()
        person = asked.person
        told: Figures | None = None
        while not self._closing.is_set():
            try:
                if loop.time() - checked >= self._pace.check:
                    person, checked = await self._identity(asked.request), loop.time()
                    EVENTS.admit(person)
                found = (await self._overview(owner_of(asked.parameters, person))).figures(person.account.id)
            except GatewayError as error:  # the key was revoked, or Immich or the database is away
                await self._say(response, "error", error.as_answer)
                return
            if (lasting := _lasting(found)) != told:
                await self._say(response, "status", found)
                told, spoke = lasting, loop.time()
            elif loop.time() - spoke >= self._pace.heartbeat:
                await self._write(response, ":\n\n")
                spoke = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.look):
                    await self._closing.wait()

    async def _say(self, response: web.StreamResponse, event: str, content: Shape) -> None:
        await self._write(response, f"event: {event}\ndata: {json.dumps(content.as_json, ensure_ascii=False)}\n\n")

    async def _write(self, response: web.StreamResponse, text: str) -> None:
        async with asyncio.timeout(self._pace.slow):
            await response.write(text.encode())

    @contextlib.contextmanager
    def _one_of(self, user: UUID) -> Iterator[None]:
        if self._open[user] >= STREAMS_OF_ONE:
            raise BusyError(f"you have {STREAMS_OF_ONE} event streams open: close one", 15)
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]


def _lasting(found: Figures) -> Figures:
    """The figures without those that change by themselves, such as ages."""
    workers = [worker.model_copy(update={"seen_seconds": 0}) for worker in found.workers]
    return found.model_copy(update={"oldest_seconds": None, "workers": workers})
