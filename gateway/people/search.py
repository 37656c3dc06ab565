"""`GET /api/search`: find photos by words and by meaning. Everybody finds only what Immich shows them."""

import asyncio
from functools import partial
from typing import Annotated, Self
from uuid import UUID

from aiohttp import web
from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from gateway.answers import as_json
from gateway.errors import ModelAwayError, NarrowColumnError, UnsupportedError
from gateway.gate import Gate
from gateway.library import Library, Vector
from gateway.metrics import Metrics
from gateway.ml.text import Texts
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import DateOrTime, MustBe, Parameters, Whole, refuse
from indexer.database.pool import Pool
from indexer.errors import QueryError
from indexer.search import hybrid
from indexer.search.hybrid import FactField, Found, Kind, Mode, Page, SearchRequest
from indexer.search.viewer import viewer
from indexer.views.shapes import Moment, Shape

_LONGEST = 200  # characters of a query
_FILTERS = 20
_DEEPEST = 1000  # photos of one search that can be paged through
_AT_ONCE = 32


class WantedParameters(Parameters):
    """What to look for."""

    q: Annotated[
        Annotated[str, Field(max_length=_LONGEST, pattern=r"\S")] | SkipJsonSchema[None],
        MustBe("say what to look for, as in ?q=发票"),
    ] = Field(
        None,
        description='All words must occur, in the photo or in what else is known of it. `"in this order"`, `-without`, '
        "`one OR other`, `person:`, `place:`, `tag:`, `album:`, `file:`, `camera:`, `description:`, `date:2024-05`, "
        "`type:video`. `ocr:` in front: search for words in the photo alone.",
    )
    mode: Mode = Field(
        "hybrid", description="By words and by meaning, by words alone (`ocr`) or by meaning alone (`clip`)."
    )
    filter: Annotated[list[str], MustBe(f"at most {_FILTERS}, each a field and its value, as in person:张三")] = Field(
        [],
        max_length=_FILTERS,
        description="What photos must be besides: a field of `q` and its value, as in `person:张三` or "
        "`date:2024-05-01..2024-06-15`, without quotes; with `-` in front what they must not be. May be given again.",
    )
    after: DateOrTime = Field(None, description="Taken at this time or later; UTC where no zone is given.")
    before: DateOrTime = Field(None, description="Taken at this time or earlier; UTC where no zone is given.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.after is not None and self.before is not None and self.after > self.before:
            refuse("after: later than before, so nothing can be found")
        if not (self.q or self.filter):
            refuse("q: say what to look for, as in ?q=发票")
        try:
            self.wanted.clauses  # noqa: B018 - raises QueryError
        except QueryError as error:
            refuse(f"filter: {error}")
        try:
            self.wanted.meant, self.wanted.words  # noqa: B018 - raise QueryError
        except QueryError as error:
            refuse(f"q: {error}")
        return self

    @property
    def wanted(self) -> SearchRequest:
        """What to look for."""
        return SearchRequest.parse(self.q or "", self.mode, self.after, self.before, self.filter)


class SearchParameters(WantedParameters):
    """What to look for, and which page of the photos found."""

    limit: Whole = Field(50, ge=1, le=100, description="Photos on a page.")
    offset: Whole = Field(
        0, ge=0, le=_DEEPEST, description=f"Photos before the page. At most {_DEEPEST} photos can be paged through."
    )

    @model_validator(mode="after")
    def _pages(self) -> Self:
        if self.offset + self.limit > _DEEPEST:
            refuse(f"offset: at most {_DEEPEST} photos can be paged through; look for something rarer")
        return self


class MatchedFact(Shape):
    """What is known of a photo and matches."""

    field: Annotated[FactField, Field(description="People, tags and albums only of one's own photos.")]
    value: Annotated[str, Field(description="As Immich has it; of a long one the part around the word.")]
    word: Annotated[str, Field(description="The word as it was typed; of pinyin, the piece that sounds so.")]


class Why(Shape):
    """Why a photo was found."""

    kind: Kind
    text: Annotated[str, Field(description="The visible lines that match, separated by newlines.")]
    boxes: Annotated[
        list[Annotated[list[float], Field(min_length=8, max_length=8)]],
        Field(
            description="Each line's corners x1, y1, .. x4, y4, 0 to 1, clockwise from the top left of the picture "
            "before it was edited."
        ),
    ]
    fields: Annotated[list[MatchedFact], Field(description="What else is known of the photo and matches.")]
    forgiven: Annotated[bool, Field(description="It matches only if one character was misread.")]
    pinyin: Annotated[bool, Field(description="It matches only as pinyin: the words sound as what was typed.")]


class FoundPhoto(Shape):
    """A photo that was found."""

    asset_id: UUID
    file_name: str
    taken_at: Moment
    score: float
    why: Why


class SearchAnswer(Shape):
    """A page of what was found, best first."""

    mode: Annotated[Mode, Field(description="The mode that was used: `ocr:` in front of the text changes it.")]
    items: list[FoundPhoto]
    next: Annotated[int | None, Field(description="The offset of the next page; null: there is none.")]
    text_matches: Annotated[int, Field(description=f"Photos with the words, up to {hybrid.WORDS}.")]
    without_meaning: Annotated[
        bool, Field(description="Found by words alone, though meaning was asked for too: the model cannot be used now.")
    ]
    notes: Annotated[list[str], Field(description="What was not searched, and why.")]


SEARCH = Operation[SearchParameters, None](
    "GET",
    "/api/search",
    "search",
    "Photos by words and by meaning",
    SearchParameters,
    {200: Answer("What was found.", SearchAnswer)},
    permissions=("asset.read",),
    errors=(UnsupportedError,),
)


class Search:
    """Answers searches.

    Args:
        texts: makes vectors.
        library: Immich's database, with connections that no urgent request needs.
        metrics: where to count.
        weight: the share of words in a photo's score, 0 to 1.
        deadline: seconds for one request.
    """

    def __init__(self, texts: Texts, library: Library, metrics: Metrics, *, weight: float, deadline: float) -> None:
        self.gate = Gate("searches", _AT_ONCE)
        self._texts = texts
        self._library = library
        self._metrics = metrics
        self._weight = weight
        self._deadline = deadline

    def endpoints(self) -> list[Endpoint[SearchParameters, None]]:
        """To be added to the API."""
        return [Endpoint(SEARCH, self._search)]

    async def _search(self, asked: Asked[SearchParameters, None]) -> web.Response:
        given = asked.parameters
        wanted = given.wanted
        with self.gate(), self._metrics.timed(f"search.{wanted.mode}"):
            language = spoken(asked.request.headers.get("Accept-Language", ""))
            page, missing = await self._find(asked.person.account.id, wanted, language, given.limit, given.offset)
        end = given.offset + given.limit
        answer = SearchAnswer(
            mode=wanted.mode,
            items=[item_of(found) for found in page.items],
            next=end if page.more and end < _DEEPEST else None,
            text_matches=page.matches,
            without_meaning=bool(missing),
            notes=[f"{missing}: found by words alone"] if missing else [],
        )
        return as_json(answer.as_json)

    async def _find(
        self, user: UUID, wanted: SearchRequest, language: str | None, limit: int, offset: int
    ) -> tuple[Page, str]:
        """A page, and why it was not searched by meaning though that was asked for. Empty: nothing is missing."""
        find = partial(self._find_once, user, wanted, language, limit, offset)
        return await (self._texts.unmixed(find) if wanted.by_meaning and self._texts.has_clip else find())

    async def _find_once(
        self, user: UUID, wanted: SearchRequest, language: str | None, limit: int, offset: int
    ) -> tuple[Page, str]:
        async def find(vector: asyncio.Future[Vector] | None) -> Page:
            async def question(pool: Pool) -> Page:
                eyes = await viewer(pool, user)
                return await hybrid.search(pool, wanted, eyes, vector, weight=self._weight, limit=limit, offset=offset)

            return await self._library.need(question, patience=self._deadline)

        if not wanted.by_meaning:
            return await find(None), ""
        vector = asyncio.ensure_future(self._texts.embed(wanted.meant, language))
        vector.add_done_callback(lambda made: made.cancelled() or made.exception())  # marks the error as seen
        try:
            return await find(vector), ""
        except (ModelAwayError, UnsupportedError, NarrowColumnError) as error:
            if wanted.mode == "clip":
                raise
            return await find(None), str(error)
        finally:
            vector.cancel()


def spoken(accepted: str) -> str | None:
    """The language that a browser names first in Accept-Language, such as `zh-CN`. None where it names none."""
    first = accepted.partition(",")[0].partition(";")[0].strip()
    return None if first in ("", "*") else first


def item_of(found: Found) -> FoundPhoto:
    """A photo that was found, as the API shows it."""
    return FoundPhoto(
        asset_id=found.asset_id,
        file_name=found.file_name,
        taken_at=found.taken_at,
        score=found.score,
        why=Why(
            kind=found.kind,
            text=found.text,
            boxes=found.boxes,
            fields=[MatchedFact(field=fact.field, value=fact.value, word=fact.word) for fact in found.fields],
            forgiven=found.forgiven,
            pinyin=found.pinyin,
        ),
    )
