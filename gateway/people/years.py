"""`GET /api/search/years`: how many photos a search finds by words, by year."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from gateway.answers import as_json
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.search import WantedParameters
from indexer.database.pool import Pool
from indexer.search import years
from indexer.search.viewer import viewer
from indexer.search.years import Year
from indexer.views.shapes import Shape

_AT_ONCE = 16


class YearCount(Shape):
    """A year, and photos taken in it."""

    year: int
    photos: Annotated[int, Field(description=f"That match by words, up to {years.MOST}.")]


class YearsAnswer(Shape):
    """The years that have photos, the newest first."""

    years: list[YearCount]


YEARS = Operation[WantedParameters, None](
    "GET",
    "/api/search/years",
    "countYears",
    "Photos that a search finds by words, by year",
    WantedParameters,
    {200: Answer("The counts; none for a search by meaning alone.", YearsAnswer)},
    text="`filter=date:2024` narrows a search to a year.",
    permissions=("asset.read",),
)


class Years:
    """Answers with counts.

    Args:
        library: Immich's database.
        metrics: where to count.
        deadline: seconds for one request.
    """

    def __init__(self, library: Library, metrics: Metrics, *, deadline: float) -> None:
        self.gate = Gate("counts", _AT_ONCE)
        self._library = library
        self._metrics = metrics
        self._deadline = deadline

    def endpoints(self) -> list[Endpoint[WantedParameters, None]]:
        """To be added to the API."""
        return [Endpoint(YEARS, self._years)]

    async def _years(self, asked: Asked[WantedParameters, None]) -> web.Response:
        wanted, user = asked.parameters.wanted, asked.person.account.id

        async def question(pool: Pool) -> list[Year]:
            return await years.years(pool, wanted, await viewer(pool, user))

        with self.gate(), self._metrics.timed("years"):
            found = await self._library.need(question, patience=self._deadline)
        return as_json(YearsAnswer(years=[YearCount(year=each.year, photos=each.photos) for each in found]).as_json)
