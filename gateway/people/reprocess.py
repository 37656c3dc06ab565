"""`POST /api/assets/{id}/reprocess` and `/retry`: have one's own photo read again, and wait for it if wanted."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Annotated, Literal, get_args
from uuid import UUID

from aiohttp import web
from pydantic import Field

from gateway.answers import as_json
from gateway.errors import ConflictError, NotFoundError, UnavailableError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.assets import ReadingAnswer, reading, require_photo
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.pace import USUAL, ApiPace
from gateway.people.parameters import Content, MustBe, PhotoParameters
from indexer.database.pool import Pool
from indexer.errors import RequestError
from indexer.queue import backlog, requests
from indexer.queue.backlog import Failure
from indexer.queue.completions import Completions
from indexer.queue.jobs import Priority
from indexer.views import status
from indexer.views.figures import Reason
from indexer.views.photo import Shown, cosine, differ
from indexer.views.shapes import Shape

Task = Literal["ocr", "clip"]

_TASKS = get_args(Task)
_AT_ONCE = 64


class ReprocessContent(Content):
    """What to read again."""

    tasks: Annotated[Annotated[list[Task], Field(min_length=1)] | None, MustBe('a list of "ocr", "clip" or both')] = (
        Field(None, description="Text (`ocr`), vector (`clip`), or both; null: both.")
    )
    wait: Annotated[float, MustBe("seconds, from {ge} to {le}")] = Field(
        0, ge=0, le=120, allow_inf_nan=False, description="Seconds to wait for it."
    )


class RetryContent(Content):
    """Nothing; it may be left out."""


class QueuedAnswer(Shape):
    """The photo is queued."""

    state: Literal["waiting"]


class VectorAnswer(Shape):
    """How much the vector has changed."""

    changed: bool
    cosine: Annotated[
        float | None,
        Field(description="The cosine of the old and the new vector; null: one is missing, or their widths differ."),
    ]


class ReprocessAnswer(Shape):
    """The result, as far as there is one in the given time."""

    state: Literal["indexed", "failed", "waiting"]
    before: ReadingAnswer
    after: Annotated[ReadingAnswer | None, Field(description="null: it could not be read, or was not read yet.")]
    vector: VectorAnswer
    failure: Reason | None


_QUEUED = Answer("It is queued, before all other photos.", QueuedAnswer)

REPROCESS = Operation[PhotoParameters, ReprocessContent](
    "POST",
    "/api/assets/{id}/reprocess",
    "reprocess",
    "Read one's own photo again",
    PhotoParameters,
    {200: Answer("What was read before and after. For a request that waits.", ReprocessAnswer), 202: _QUEUED},
    content=ReprocessContent,
    permissions=("asset.read", "asset.update"),
    errors=(NotFoundError, ConflictError),
)
RETRY = Operation[PhotoParameters, RetryContent](
    "POST",
    "/api/assets/{id}/retry",
    "retry",
    "Try one's own photo again that failed",
    PhotoParameters,
    {202: _QUEUED},
    content=RetryContent,
    permissions=("asset.read", "asset.update"),
    errors=(NotFoundError, ConflictError),
)


@dataclass(frozen=True)
class Outcome:
    """The result of a request, as far as there is one in the given time."""

    state: Literal["indexed", "failed", "waiting"]
    failure: Failure | None = None


class Reprocess:
    """Has the indexer read photos again.

    Args:
        library: Immich's database.
        completions: tells when an indexer has finished a photo.
        metrics: where to count.
        pace: how often to look at a photo that a request waits for.
    """

    def __init__(self, library: Library, completions: Completions, metrics: Metrics, pace: ApiPace = USUAL) -> None:
        self.gate = Gate("photos to be read again", _AT_ONCE)
        self._library = library
        self._completions = completions
        self._metrics = metrics
        self._pace = pace

    def endpoints(self) -> list[Endpoint[PhotoParameters, ReprocessContent] | Endpoint[PhotoParameters, RetryContent]]:
        """To be added to the API."""
        return [Endpoint(REPROCESS, self._reprocess), Endpoint(RETRY, self._retry)]

    async def _reprocess(self, asked: Asked[PhotoParameters, ReprocessContent]) -> web.Response:
        user, asset = asked.person.account.id, asked.parameters.id
        tasks, wait = list(dict.fromkeys(asked.content.tasks or _TASKS)), asked.content.wait
        with self.gate(), self._metrics.timed("reprocess"):
            before = await require_photo(self._library, user, asset, own=True)
            if not wait:
                await self._request(asset, tasks)
                return as_json(QueuedAnswer(state="waiting").as_json, 202)
            async with self._completions.of(asset) as event:
                await self._request(asset, tasks)
                outcome = await self._wait(asset, event, before, wait)
            after = await require_photo(self._library, user, asset, own=True)
        return as_json(_compared(before, after, outcome).as_json)

    async def _retry(self, asked: Asked[PhotoParameters, RetryContent]) -> web.Response:
        asset = asked.parameters.id
        with self.gate(), self._metrics.timed("retry"):
            photo = await require_photo(self._library, asked.person.account.id, asset, own=True)
            if photo.failure is None:
                raise ConflictError(f"this photo has not failed: it is {photo.state}")
            await self._library.need(lambda pool: requests.enqueue(pool, [asset], _TASKS, Priority.REQUEST))
        return as_json(QueuedAnswer(state="waiting").as_json, 202)

    async def _request(self, asset: UUID, tasks: list[Task]) -> None:
        async def enqueue(pool: Pool) -> int | None:
            try:
                return await requests.request(pool, [asset], tasks)
            except RequestError:
                return None

        queued = await self._library.need(enqueue)
        if queued is None:
            raise NotFoundError("there is no such photo")
        if not queued:
            raise ConflictError("this photo cannot be read: it is offline, or Immich has made no preview of it yet")

    async def _wait(self, asset: UUID, event: asyncio.Event, before: Shown, seconds: float) -> Outcome:
        """Wait until the photo was read, or has failed, or the time is over."""
        known = before.failure.failed_at if before.failure else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    event.clear()
                    with contextlib.suppress(UnavailableError):  # the request is kept; the database may come back
                        state = await self._library.need(lambda pool: backlog.state(pool, asset))
                        if state is None:
                            return Outcome("indexed")
                        if state.failure is not None and state.failure.failed_at != known:
                            return Outcome("failed", state.failure)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._pace.poll):
                            await event.wait()
        return Outcome("waiting")


def _compared(before: Shown, after: Shown, outcome: Outcome) -> ReprocessAnswer:
    old, new = before.reading, after.reading
    done = outcome.state == "indexed"
    return ReprocessAnswer(
        state=outcome.state,
        before=reading(old),
        after=reading(new) if done else None,
        vector=VectorAnswer(
            changed=done and differ(old.vector, new.vector), cosine=cosine(old.vector, new.vector) if done else None
        ),
        failure=None if outcome.failure is None else status.reason(outcome.failure),
    )
