"""Finds photos by words and by meaning together, and says why each was found."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Literal, cast
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt

from indexer.database.pool import Pool
from indexer.database.statements import queries
from indexer.photos import facts as known
from indexer.photos import photo as photos
from indexer.photos.facts import Facts
from indexer.photos.lines import StoredLine, parse_lines
from indexer.photos.photo import Crop
from indexer.search import fusion, meaning, words
from indexer.search.fusion import Fused
from indexer.search.meaning import Near
from indexer.search.viewer import Viewer
from indexer.search.words import Candidate
from indexer.text.fields import Field
from indexer.text.filters import clauses as clauses_of
from indexer.text.parser import parse
from indexer.text.question import Clause, Question, Seen
from indexer.text.spoken import Spoken

Mode = Literal["hybrid", "ocr", "clip"]
FactField = Literal["description", "person", "place", "tag", "album", "file", "camera", "date", "type"]
Kind = Literal["text", "meaning", "both"]

WORDS = 1000  # the most photos found by words that are looked at
MEANINGS = 500  # the most photos found by meaning that are looked at
_ALSO = 0.5  # a candidate at least so far from the least to the most similar one counts as found by meaning, too

_SQL = queries("hybrid")


@dataclass(frozen=True)
class SearchRequest:
    """What a person searches for, in photos taken from `after` until `before`."""

    text: str
    mode: Mode = "hybrid"
    after: datetime | None = None
    before: datetime | None = None
    filters: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls,
        text: str,
        mode: Mode,
        after: datetime | None = None,
        before: datetime | None = None,
        filters: Sequence[str] = (),
    ) -> "SearchRequest":
        """`ocr:` before the text, as typed on any keyboard, means: by words only.

        Without a text nothing can be searched for by meaning, and only the filters count.
        """
        head, colon, rest = text.strip().replace("：", ":", 1).partition(":")
        if colon and head.strip().lower() == "ocr":
            return cls(rest.strip(), "ocr", after, before, tuple(filters))
        return cls(text.strip(), mode if text.strip() else "hybrid", after, before, tuple(filters))

    @cached_property
    def clauses(self) -> list[Clause]:
        """What the filters say. Raises QueryError."""
        return clauses_of(self.filters)

    @cached_property
    def words(self) -> Question:
        """What to search for in texts and facts. Empty for a search by meaning only. Raises QueryError."""
        return Question(()) if self.mode == "clip" else self._question

    @cached_property
    def filter(self) -> Question:
        """What the photos found by meaning must be. Empty for a text without fields. Raises QueryError."""
        return self._question.filter if self.mode != "ocr" else Question(())

    @property
    def meant(self) -> str:
        """The text whose vector is needed. Empty: none is.

        That is where no word says what the photo shows, or where one must be absent, which a vector cannot express.
        """
        if self.mode == "ocr":
            return ""
        question = self._question
        if self.mode == "clip":
            return (question.shown if question.filter else "") or self.text
        if question.plain is not None and not question.plain.excluded:
            return self.text
        return question.shown

    @cached_property
    def _question(self) -> Question:
        return parse(self.text, texts_only=self.mode == "ocr", filters=self.clauses)

    @property
    def by_meaning(self) -> bool:
        """Whether a vector is needed."""
        return bool(self.meant)


@dataclass(frozen=True)
class Matched:
    """A fact that matches: the name of its field, its value as Immich has it, and the word as it was typed."""

    field: FactField
    value: str
    word: str


@dataclass(frozen=True)
class Found:
    """A photo, and why it was found.

    `text`: the visible lines that match, separated by newlines. `boxes`: their corners x1, y1, .. x4, y4 in 0..1,
    clockwise from the top left of the unedited picture. `fields`: what else is known of it and matches.
    `forgiven`: it matches only if one character was misread. `pinyin`: it matches only as pinyin.
    """

    asset_id: UUID
    file_name: str
    taken_at: datetime
    score: float
    kind: Kind
    text: str
    boxes: list[list[float]]
    fields: list[Matched]
    forgiven: bool
    pinyin: bool


@dataclass(frozen=True)
class Page:
    """Photos, best first. `more`: whether there are more. `matches`: how many match by words, at most `WORDS`."""

    items: list[Found]
    more: bool
    matches: int


async def search(
    pool: Pool,
    wanted: SearchRequest,
    viewer: Viewer,
    vector: Awaitable[npt.NDArray[np.float32]] | None,
    *,
    weight: float,
    limit: int = 50,
    offset: int = 0,
) -> Page:
    """A page of the photos that `viewer` is shown for a request.

    Args:
        pool: connections that find Immich's tables.
        wanted: what to search for.
        viewer: for whom.
        vector: the CLIP vector of `wanted.meant`, perhaps still being computed. None: search by words only.
        weight: weight of the words in a photo's score, 0 to 1. The meaning has the rest.
        limit: photos on a page.
        offset: photos before this page.

    Raises:
        QueryError: the text cannot be searched for.
        SchemaError: Immich's vectors do not fit the model's, or Immich is changing them.
    """
    texts, nears = await candidates(pool, wanted, viewer, vector)
    fused = fusion.fuse(texts, nears, weight)
    page = dict(islice(fused.items(), offset, offset + limit))
    found = await describe(pool, page, wanted.words, viewer, {text.asset_id: text for text in texts})
    return Page(found, len(fused) > offset + limit, len(texts))


async def candidates(
    pool: Pool, wanted: SearchRequest, viewer: Viewer, vector: Awaitable[npt.NDArray[np.float32]] | None
) -> tuple[list[Candidate], list[Near]]:
    """What was found by words and what was found by meaning, as far as `viewer` may see it, each best first.

    Arguments and errors as `search`.
    """
    scope = viewer.scope(wanted.after, wanted.before)
    texts = await words.candidates(pool, wanted.words, scope=scope, limit=WORDS)
    nears: list[Near] = []
    if vector is not None:
        among = None
        if wanted.filter:
            fitting = await words.candidates(pool, wanted.filter, scope=scope, limit=WORDS)
            among = [candidate.asset_id for candidate in fitting]
        nears = await meaning.nearest(pool, await vector, viewer, scope, limit=MEANINGS, among=among)
    there = await shown(pool, viewer, {*(text.asset_id for text in texts), *(near.asset_id for near in nears)})
    return (
        [text for text in texts if text.asset_id in there],
        [near for near in nears if near.asset_id in there],
    )


async def shown(pool: Pool, viewer: Viewer, ids: Collection[UUID]) -> set[UUID]:
    """Those of `ids` that `viewer` is shown now."""
    if not ids:
        return set()
    rows = await pool.fetch(_SQL["shown"], list(ids), viewer.user, viewer.owners, viewer.archived)
    return {row["asset_id"] for row in rows}


async def describe(
    pool: Pool,
    page: dict[UUID, Fused],
    question: Question,
    viewer: Viewer,
    texts: Mapping[UUID, Candidate] | None = None,
) -> list[Found]:
    """Why each photo of a page was found: by words that match `question`, by what it shows, or by both.

    `texts`: how the photos match that were found by words.
    """
    if not page:
        return []
    texts = texts or {}
    ids = list(page)
    async with pool.acquire() as connection:
        rows = {row["asset_id"]: row for row in await connection.fetch(_SQL["described"], ids)}
        crops = await photos.crops(connection, ids)
        facts = await known.read(connection, ids)
    facts = {asset: each if viewer.user in (None, each.owner) else each.public for asset, each in facts.items()}
    said = any(asset in texts and texts[asset].pinyin for asset in ids)
    spoken = await words.hear(pool, question) if said else None
    return await asyncio.to_thread(_found, page, question, spoken, texts, rows, crops, facts)  # texts may be long


def _found(
    page: dict[UUID, Fused],
    question: Question,
    spoken: Spoken | None,
    texts: Mapping[UUID, Candidate],
    rows: dict[UUID, asyncpg.Record],
    crops: dict[UUID, Crop],
    facts: dict[UUID, Facts],
) -> list[Found]:
    found = []
    for asset, fused in page.items():
        row = rows.get(asset)
        if row is None:  # deleted just now
            continue
        lines = _visible(row["lines"], crops.get(asset)) if fused.words is not None else []
        seen = None
        forgiven = asset in texts and texts[asset].forgiven
        said = spoken if asset in texts and texts[asset].pinyin else None
        if fused.words is not None:
            seen = _seen(said or question, [line.text for line in lines], facts.get(asset), forgiven=forgiven)
        if seen is None and fused.meaning is None:  # an edit has just hidden or removed what matched
            continue
        matched = [lines[at] for at in seen.lines] if seen else []
        kind: Kind = "meaning" if seen is None else "both" if (fused.meaning or 0) >= _ALSO else "text"
        found.append(
            Found(
                asset,
                row["file_name"],
                row["taken_at"],
                round(fused.score, 6),
                kind,
                "\n".join(line.text for line in matched),
                [list(line.box) for line in matched],
                [Matched(cast(FactField, field), value, word) for field, value, word in seen.fields] if seen else [],
                seen is not None and forgiven,
                seen is not None and said is not None,
            )
        )
    return found


def _seen(question: Question | Spoken, lines: list[str], facts: Facts | None, *, forgiven: bool) -> Seen | None:
    if forgiven and isinstance(question, Question):
        near = question.near(lines)
        return Seen(tuple(near)) if near else None
    values: Mapping[Field, Sequence[str]] = facts.values if facts else {}
    return question.see(lines, values, facts.exact if facts else ())


def _visible(stored: str | None, crop: Crop | None) -> list[StoredLine]:
    """The visible lines. An edit that is newer than the stored lines is taken into account."""
    return [line for line in parse_lines(stored) if line.visible and line.cut(crop).visible]
