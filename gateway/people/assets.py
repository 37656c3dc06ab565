"""`GET /api/assets/{id}`: what was read of one photo, and how things stand with it."""

import asyncio
from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.errors import NotFoundError, ParameterError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.answers import as_json
from gateway.people.identity import Identity
from gateway.people.parameters import asset_of, parameters
from indexer import shown, status
from indexer.database import Pool
from indexer.errors import QueryError
from indexer.hybrid import Wish
from indexer.shown import Shown
from indexer.text.query import Query

_LONGEST = 200  # characters of a query
_AT_ONCE = 64


class Assets:
    """Answers for single photos.

    Args:
        identity: tells who is asking.
        library: Immich's database.
        metrics: where to count.
        immich: address of Immich's pages, for links.
    """

    def __init__(self, identity: Identity, library: Library, metrics: Metrics, immich: str) -> None:
        self.gate = Gate("photos", _AT_ONCE)
        self._identity = identity
        self._library = library
        self._metrics = metrics
        self._immich = immich

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [web.get("/api/assets/{id}", self._asset)]

    async def _asset(self, request: web.Request) -> web.Response:
        person = await self._identity(request)
        person.need("asset.read")
        asset = asset_of(request)
        query = _query(parameters(request, ("q",)).get("q"))
        with self.gate(), self._metrics.timed("asset"):
            photo = await find(self._library, person.account.id, asset)
        # A page may hold much text: not on the event loop.
        matched = {} if query is None else {"matched": await asyncio.to_thread(_matched, query, photo)}
        return as_json(self._as_json(photo) | matched)

    def _as_json(self, photo: Shown) -> dict[str, Any]:
        return {
            "assetId": str(photo.asset_id),
            "fileName": photo.file_name,
            "takenAt": photo.taken_at.isoformat(),
            "own": photo.own,
            "type": photo.kind,
            "edited": photo.edits.drawn,
            **photo.reading.as_json,
            "current": photo.current,
            "state": photo.state,
            "failure": None if photo.failure is None else status.as_json(photo.failure),
            "immich": f"{self._immich}/photos/{photo.asset_id}" if self._immich else None,
        }


async def find(library: Library, user: UUID, asset: UUID, *, own: bool = False) -> Shown:
    """A photo as one is shown it; `own`: only if it is theirs.

    Raises:
        NotFoundError: they are shown none of that id, whether there is any or not.
        UnavailableError: the database does not answer.
    """

    async def question(pool: Pool) -> Shown | None:
        async with pool.acquire() as connection:
            return await shown.look(connection, user, asset)

    photo = await library.need(question)
    if photo is None or (own and not photo.own):
        raise NotFoundError("there is no such photo")
    return photo


def _query(text: str | None) -> Query | None:
    if text is None or not text.strip():
        return None
    if len(text) > _LONGEST:
        raise ParameterError(f"q: at most {_LONGEST} characters")
    try:
        return Wish.parse(text, "hybrid").words
    except QueryError as error:
        raise ParameterError(f"q: {error}") from error


def _matched(query: Query, photo: Shown) -> list[int]:
    """Which lines; with one character misread, if none matches literally."""
    texts = [line.text for line in photo.reading.lines]
    return query.lines(texts) or query.lines(texts, forgiven=True)
