"""`GET /api/assets/{id}`: what was read of one photo, and its state."""

import asyncio
from functools import partial
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from gateway.answers import as_json
from gateway.errors import NotFoundError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import PhotoParameters, refuse
from indexer.database.pool import Pool
from indexer.errors import QueryError
from indexer.search import words
from indexer.search.hybrid import SearchRequest
from indexer.text.question import Question
from indexer.text.spoken import Spoken
from indexer.views import photo as shown
from indexer.views import status
from indexer.views.figures import Reason
from indexer.views.photo import Shown, ShownResult, State
from indexer.views.shapes import Moment, Shape

_LONGEST = 200  # characters of a query
_AT_ONCE = 64


class AssetParameters(PhotoParameters):
    """Which photo, and what to look for in it."""

    q: str = Field("", max_length=_LONGEST, description="As in a search: the answer names the lines that match.")

    @field_validator("q")
    @classmethod
    def _searchable(cls, q: str) -> str:
        try:
            _query(q)
        except QueryError as error:
            refuse(str(error))
        return q


class Line(Shape):
    """A line of text."""

    text: str
    box: Annotated[
        list[float],
        Field(
            min_length=8,
            max_length=8,
            description="Corners x1, y1, .. x4, y4, 0 to 1, clockwise from the top left of the picture Immich shows.",
        ),
    ]
    score: Annotated[float, Field(description="How sure the engine is of the text, 0 to 1.")]


class ReadingAnswer(Shape):
    """What was read of a photo, and by which models. All is empty if it was not read."""

    lines: Annotated[list[Line], Field(description="Without those that an edit has cut away.")]
    ocr_model: str | None
    clip_model: str | None
    indexed_at: Moment | None


class AssetAnswer(ReadingAnswer):
    """A photo, what was read of it, and its state."""

    asset_id: UUID
    file_name: str
    taken_at: Moment
    own: Annotated[bool, Field(description="Whether it belongs to whoever asks.")]
    type: Annotated[str, Field(description="As Immich names it: `IMAGE`, `VIDEO`.")]
    edited: Annotated[bool, Field(description="Whether Immich shows it edited.")]
    current: Annotated[bool, Field(description="Read from the preview there is, by the models in use.")]
    state: Annotated[State, Field(description="`missing`: not read, and nothing is queued.")]
    failure: Annotated[Reason | None, Field(description="Of the last attempt.")]
    immich: Annotated[str | None, Field(description="Its page in Immich; null: IMMICH_URL is not set.")]
    matched: Annotated[
        list[int] | SkipJsonSchema[None],
        Field(
            exclude_if=lambda matched: matched is None,
            description="Which lines match `q`, counted from 0; absent where nothing is looked for.",
        ),
    ] = None


ASSET = Operation[AssetParameters, None](
    "GET",
    "/api/assets/{id}",
    "getAsset",
    "What was read of a photo",
    AssetParameters,
    {200: Answer("The photo.", AssetAnswer)},
    permissions=("asset.read",),
    errors=(NotFoundError,),
)


class Assets:
    """Answers for single photos.

    Args:
        library: Immich's database.
        metrics: where to count.
        immich: address of Immich's pages, for links.
    """

    def __init__(self, library: Library, metrics: Metrics, immich: str) -> None:
        self.gate = Gate("photos", _AT_ONCE)
        self._library = library
        self._metrics = metrics
        self._immich = immich

    def endpoints(self) -> list[Endpoint[AssetParameters, None]]:
        """To be added to the API."""
        return [Endpoint(ASSET, self._asset)]

    async def _asset(self, asked: Asked[AssetParameters, None]) -> web.Response:
        query = _query(asked.parameters.q)
        spoken: Spoken | None = None
        with self.gate(), self._metrics.timed("asset"):
            photo = await require_photo(self._library, asked.person.account.id, asked.parameters.id)
            if query is not None:
                spoken = await self._library.need(partial(words.hear, question=query))
        # In a thread: a photo may hold much text, and the event loop must not wait.
        matched = None if query is None else await asyncio.to_thread(_matched, query, spoken, photo)
        return as_json(self._told(photo, matched).as_json)

    def _told(self, photo: Shown, matched: list[int] | None) -> AssetAnswer:
        return AssetAnswer(
            asset_id=photo.asset_id,
            file_name=photo.file_name,
            taken_at=photo.taken_at,
            own=photo.own,
            type=photo.kind,
            edited=photo.edits.drawn,
            **dict(reading(photo.reading)),
            current=photo.current,
            state=photo.state,
            failure=None if photo.failure is None else status.reason(photo.failure),
            immich=f"{self._immich}/photos/{photo.asset_id}" if self._immich else None,
            matched=matched,
        )


def reading(found: ShownResult) -> ReadingAnswer:
    """What was read, as the API shows it."""
    return ReadingAnswer(
        lines=[Line(text=line.text, box=line.box, score=line.score) for line in found.lines],
        ocr_model=found.ocr_model,
        clip_model=found.clip_model,
        indexed_at=found.indexed_at,
    )


async def require_photo(library: Library, user: UUID, asset: UUID, *, own: bool = False) -> Shown:
    """A photo as Immich shows it to `user`. `own`: only if it belongs to them.

    Raises:
        NotFoundError: Immich shows them no photo of that id, whether it exists or not.
        UnavailableError: the database does not answer.
    """

    async def question(pool: Pool) -> Shown | None:
        async with pool.acquire() as connection:
            return await shown.look(connection, user, asset)

    photo = await library.need(question)
    if photo is None or (own and not photo.own):
        raise NotFoundError("there is no such photo")
    return photo


def _query(text: str) -> Question | None:
    """The query in `text`. None: there is none, but blanks. Raises QueryError."""
    return SearchRequest.parse(text, "hybrid").words if text.strip() else None


def _matched(question: Question, spoken: Spoken | None, photo: Shown) -> list[int]:
    """The numbers of the lines with words of the query, as written or else as pinyin, or with one character misread."""
    lines = [line.text for line in photo.reading.lines]
    return question.lines(lines) or (spoken.lines(lines) if spoken else []) or question.near(lines)
