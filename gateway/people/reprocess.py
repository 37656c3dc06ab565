"""`POST /api/assets/{id}/reprocess` and `/retry`: one's own photo is read again, and may be waited for."""

import asyncio
import contextlib
import math
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from aiohttp import web

from gateway.errors import ConflictError, NotFoundError, ParameterError, UnavailableError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.answers import as_json
from gateway.people.assets import find
from gateway.people.identity import Identity
from gateway.people.parameters import asset_of, body, parameters
from indexer import queue, status
from indexer.database import Pool
from indexer.endings import Endings
from indexer.errors import RequestError
from indexer.queue import Failure, Priority
from indexer.shown import Shown, cosine, differ

_TASKS = ("ocr", "clip")
_LONGEST = 120  # seconds to wait
_AT_ONCE = 64
_POLL = 2.0  # seconds between two looks at a photo nobody told anything of


@dataclass(frozen=True)
class Outcome:
    """What came of a wish in the time there was."""

    state: Literal["indexed", "failed", "waiting"]
    failure: Failure | None = None


class Reprocess:
    """Asks the indexer for photos.

    Args:
        identity: tells who is asking.
        library: Immich's database.
        endings: tells when an indexer is done with a photo.
        metrics: where to count.
    """

    def __init__(self, identity: Identity, library: Library, endings: Endings, metrics: Metrics) -> None:
        self.gate = Gate("photos to be read again", _AT_ONCE)
        self._identity = identity
        self._library = library
        self._endings = endings
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [
            web.post("/api/assets/{id}/reprocess", self._reprocess),
            web.post("/api/assets/{id}/retry", self._retry),
        ]

    async def _reprocess(self, request: web.Request) -> web.Response:
        user, asset = await self._asked(request)
        given = await body(request, ("tasks", "wait"))
        tasks, wait = _tasks(given.get("tasks")), _seconds(given.get("wait", 0))
        with self.gate(), self._metrics.timed("reprocess"):
            before = await find(self._library, user, asset, own=True)
            if not wait:
                await self._request(asset, tasks)
                return as_json({"state": "waiting"}, 202)
            async with self._endings.of(asset) as bell:
                await self._request(asset, tasks)
                outcome = await self._wait(asset, bell, before, wait)
            after = await find(self._library, user, asset, own=True)
        return as_json(_compared(before, after, outcome))

    async def _retry(self, request: web.Request) -> web.Response:
        user, asset = await self._asked(request)
        await body(request, ())
        with self.gate(), self._metrics.timed("retry"):
            photo = await find(self._library, user, asset, own=True)
            if photo.failure is None:
                raise ConflictError(f"this photo has not failed: it is {photo.state}")
            await self._library.need(lambda pool: queue.wish(pool, [asset], _TASKS, Priority.REQUEST))
        return as_json({"state": "waiting"}, 202)

    async def _asked(self, request: web.Request) -> tuple[UUID, UUID]:
        """Who asks, and for which photo."""
        person = await self._identity(request)
        person.need("asset.read")
        person.need("asset.update")
        parameters(request, ())
        return person.account.id, asset_of(request)

    async def _request(self, asset: UUID, tasks: list[str]) -> None:
        async def wish(pool: Pool) -> int | None:
            try:
                return await queue.request(pool, [asset], tasks)
            except RequestError:
                return None

        queued = await self._library.need(wish)
        if queued is None:
            raise NotFoundError("there is no such photo")
        if not queued:
            raise ConflictError("this photo cannot be read: it is offline, or Immich has made no preview of it yet")

    async def _wait(self, asset: UUID, bell: asyncio.Event, before: Shown, seconds: float) -> Outcome:
        """Until the photo was read, or could not be, or the time is over."""
        known = before.failure.failed_at if before.failure else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    bell.clear()
                    with contextlib.suppress(UnavailableError):  # the wish is kept; the database may come back
                        standing = await self._library.need(lambda pool: queue.standing(pool, asset))
                        if standing is None:
                            return Outcome("indexed")
                        if standing.failure is not None and standing.failure.failed_at != known:
                            return Outcome("failed", standing.failure)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_POLL):
                            await bell.wait()
        return Outcome("waiting")


def _compared(before: Shown, after: Shown, outcome: Outcome) -> dict[str, Any]:
    old, new = before.reading, after.reading
    done = outcome.state == "indexed"
    return {
        "state": outcome.state,
        "before": old.as_json,
        "after": new.as_json if done else None,
        "vector": {
            "changed": done and differ(old.vector, new.vector),
            "cosine": cosine(old.vector, new.vector) if done else None,
        },
        "failure": None if outcome.failure is None else status.as_json(outcome.failure),
    }


def _tasks(given: Any) -> list[str]:
    if given is None:
        return list(_TASKS)
    if not isinstance(given, list) or not given or not all(task in _TASKS for task in given):
        raise ParameterError('tasks: a list of "ocr", "clip" or both')
    return list(dict.fromkeys(given))


def _seconds(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ParameterError(f"wait: seconds, from 0 to {_LONGEST}")
    if not 0 <= given <= _LONGEST:
        raise ParameterError(f"wait: seconds, from 0 to {_LONGEST}")
    return float(given)
