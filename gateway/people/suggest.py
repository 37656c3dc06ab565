"""`GET /api/suggest`: what a person may be typing. It tells of nothing that Immich does not show them."""

from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import Field

from gateway.answers import as_json
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import Parameters, Whole
from indexer.database.pool import Pool
from indexer.search import suggest
from indexer.search.suggest import Kind, Suggestions
from indexer.search.viewer import viewer
from indexer.views.shapes import Shape

_LONGEST = 200  # characters of a query
_AT_ONCE = 32


class SuggestParameters(Parameters):
    """What was typed so far."""

    q: str = Field("", max_length=_LONGEST, description="What was typed so far. Its last word is completed.")
    limit: Whole = Field(4, ge=1, le=20, description="The most suggestions of each kind.")


class SuggestedWord(Shape):
    """What may be meant by the last word."""

    kind: Annotated[Kind, Field(description="`word`: of the text in photos. The others are fields of a search.")]
    value: Annotated[str, Field(description="As Immich has it; a word as it is written in most photos.")]
    person_id: Annotated[UUID | None, Field(description="Of a person, for `/api/people/{id}/thumbnail`.")]


class SuggestAnswer(Shape):
    """Suggestions: people, places, albums, tags, words, the best of each kind first."""

    before: Annotated[str, Field(description="What was typed before the last word, without its field.")]
    items: list[SuggestedWord]


SUGGEST = Operation[SuggestParameters, None](
    "GET",
    "/api/suggest",
    "suggest",
    "Completions of what is being typed",
    SuggestParameters,
    {200: Answer("Suggestions; perhaps none.", SuggestAnswer)},
    text="People, tags, albums and words are those of one's own photos, places also those of partners' photos.",
    permissions=("asset.read",),
)


class Suggest:
    """Answers with suggestions.

    Args:
        library: Immich's database.
        metrics: where to count.
    """

    def __init__(self, library: Library, metrics: Metrics) -> None:
        self.gate = Gate("suggestions", _AT_ONCE)
        self._library = library
        self._metrics = metrics

    def endpoints(self) -> list[Endpoint[SuggestParameters, None]]:
        """To be added to the API."""
        return [Endpoint(SUGGEST, self._suggest)]

    async def _suggest(self, asked: Asked[SuggestParameters, None]) -> web.Response:
        given, user = asked.parameters, asked.person.account.id

        async def question(pool: Pool) -> Suggestions:
            return await suggest.suggest(pool, given.q, await viewer(pool, user), limit=given.limit)

        with self.gate(), self._metrics.timed("suggest"):
            found = await self._library.need(question)
        items = [SuggestedWord(kind=each.kind, value=each.value, person_id=each.person) for each in found.items]
        return as_json(SuggestAnswer(before=found.before, items=items).as_json)
