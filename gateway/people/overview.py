"""`GET /api/status`: how far the indexing of one's own photos is. Administrators of Immich may ask about all photos."""

import asyncio
from typing import Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from gateway.answers import as_json
from gateway.errors import ForbiddenError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.identity import Person
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.pace import USUAL, ApiPace
from gateway.people.parameters import Parameters
from indexer.views import status
from indexer.views.figures import Figures
from indexer.views.status import Status

_PATIENCE = 30.0  # seconds that making the figures may take, in a large library
_AT_ONCE = 32
_KEPT = 1000  # persons whose figures are kept


class ScopeParameters(Parameters):
    """Whose photos."""

    scope: Literal["own", "all"] = Field(
        "own", description="One's own photos, or everybody's, for administrators of Immich alone."
    )


STATUS = Operation[ScopeParameters, None](
    "GET",
    "/api/status",
    "getStatus",
    "How far the indexing is",
    ScopeParameters,
    {200: Answer("The figures.", Figures)},
    permissions=("asset.read",),
)


class Overview:
    """Makes the figures, once for all who ask for the same ones at the same time or soon after.

    Args:
        library: Immich's database, with connections that no urgent request needs.
        metrics: where to count.
        lease: seconds without a heartbeat, after which an indexer counts as dead.
        pace: how long figures are kept.
    """

    def __init__(self, library: Library, metrics: Metrics, *, lease: float, pace: ApiPace = USUAL) -> None:
        self.gate = Gate("figures", _AT_ONCE)
        self._library = library
        self._metrics = metrics
        self._lease = lease
        self._pace = pace
        self._made: dict[UUID | None, asyncio.Task[Status]] = {}
        self._until: dict[UUID | None, float] = {}

    async def __call__(self, owner: UUID | None) -> Status:
        """The figures of the photos of `owner`. None: of all photos.

        Raises:
            BusyError: too many figures are being made.
            UnavailableError: the database does not answer.
        """
        made = self._made.get(owner)
        if made is None or (made.done() and not self._is_good(owner, made)):
            while len(self._made) >= _KEPT:
                oldest = next(iter(self._made))
                self._made.pop(oldest)
                self._until.pop(oldest, None)
            self._made.pop(owner, None)
            made = self._made[owner] = asyncio.create_task(self._make(owner))
            made.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # marks the error as seen: all who asked may be gone
        return await asyncio.shield(made)

    def _is_good(self, owner: UUID | None, made: asyncio.Task[Status]) -> bool:
        failed = made.cancelled() or made.exception() is not None
        return not failed and asyncio.get_running_loop().time() < self._until.get(owner, 0)

    async def _make(self, owner: UUID | None) -> Status:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with self.gate(), self._metrics.timed("status"):
            found = await self._library.need(
                lambda pool: status.look(pool, owner=owner, lease=self._lease), patience=_PATIENCE
            )
        end = loop.time()
        self._until[owner] = end + max(self._pace.fresh, self._pace.share * (end - start))
        return found

    def close(self) -> None:
        """Stop making figures."""
        for made in self._made.values():
            made.cancel()


class StatusEndpoint:
    """Answers `GET /api/status`."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def endpoints(self) -> list[Endpoint[ScopeParameters, None]]:
        """To be added to the API."""
        return [Endpoint(STATUS, self._status)]

    async def _status(self, asked: Asked[ScopeParameters, None]) -> web.Response:
        found = await self._overview(owner_of(asked.parameters, asked.person))
        return as_json(found.figures(asked.person.account.id).as_json)


def owner_of(parameters: ScopeParameters, person: Person) -> UUID | None:
    """Whose photos are asked about. None: everybody's.

    Raises:
        ForbiddenError: they ask about everybody's, and are no administrator.
    """
    if parameters.scope == "own":
        return person.account.id
    if not person.account.is_admin:
        raise ForbiddenError("the whole queue is shown only to administrators of Immich")
    return None
