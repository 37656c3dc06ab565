"""`GET /api/assets/{id}/similar`: photos like a photo, of those that Immich shows whoever asks."""

from functools import partial
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from gateway.answers import as_json
from gateway.errors import NotFoundError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import PhotoParameters, Whole
from gateway.people.search import FoundPhoto, item_of
from indexer.database.pool import Pool
from indexer.search import alike
from indexer.search.alike import Alike, Missing
from indexer.search.viewer import viewer
from indexer.views.shapes import Shape

_AT_ONCE = 32


class SimilarParameters(PhotoParameters):
    """Like which photo, how, and which page of the photos found."""

    by: Literal["meaning", "words"] = Field(
        "meaning", description="Photos that show something similar, or that say something similar."
    )
    limit: Whole = Field(50, ge=1, le=100, description="Photos on a page.")
    offset: Whole = Field(0, ge=0, le=alike.MOST, description=f"Photos before the page, of the {alike.MOST} found.")


class SimilarAnswer(Shape):
    """A page of the photos found, the most similar first."""

    by: Literal["meaning", "words"]
    file_name: Annotated[str, Field(description="Of the photo that they are like.")]
    items: list[FoundPhoto]
    next: Annotated[int | None, Field(description="The offset of the next page; null: there is none.")]
    missing: Annotated[
        Missing | None,
        Field(
            description="Why nothing could be compared: the photo has no vector, was not read yet, or has no text. "
            "null: it could."
        ),
    ]


SIMILAR = Operation[SimilarParameters, None](
    "GET",
    "/api/assets/{id}/similar",
    "getSimilar",
    "Photos like a photo",
    SimilarParameters,
    {200: Answer("What was found.", SimilarAnswer)},
    text="`why.kind` is `meaning` or `text`; `why.text` has the lines of the photo found that share words.",
    permissions=("asset.read",),
    errors=(NotFoundError,),
)


class Similar:
    """Answers with similar photos.

    Args:
        library: Immich's database.
        metrics: where to count.
        deadline: seconds for one request.
    """

    def __init__(self, library: Library, metrics: Metrics, *, deadline: float) -> None:
        self.gate = Gate("searches for similar photos", _AT_ONCE)
        self._library = library
        self._metrics = metrics
        self._deadline = deadline

    def endpoints(self) -> list[Endpoint[SimilarParameters, None]]:
        """To be added to the API."""
        return [Endpoint(SIMILAR, self._similar)]

    async def _similar(self, asked: Asked[SimilarParameters, None]) -> web.Response:
        given, user = asked.parameters, asked.person.account.id

        async def question(pool: Pool) -> Alike | None:
            eyes = await viewer(pool, user)
            return await alike.alike(pool, given.id, eyes, given.by, limit=given.limit, offset=given.offset)

        with self.gate(), self._metrics.timed(f"similar.{given.by}"):
            find = partial(self._library.need, question, patience=self._deadline)
            found = await (self._library.unmixed(find) if given.by == "meaning" else find())
        if found is None:
            raise NotFoundError("there is no such photo")
        answer = SimilarAnswer(
            by=given.by,
            file_name=found.file_name,
            items=[item_of(each) for each in found.items],
            next=given.offset + given.limit if found.more else None,
            missing=found.missing,
        )
        return as_json(answer.as_json)
