"""Finds photos by pieces of the text in them, and of what else is known of them, best first.

Ranking has to read a document for each match, so it is limited: matches are taken newest first, in blocks of `BLOCK`,
and ranked within their block: first those in the script of Chinese that was typed, then those in the other; what the
photo says before its description and names, and these before its place, camera and date. So where a
query has more matches, the newest block comes first, however well older photos match. Every match can be reached with
`offset`.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.photos import pinyin, places
from indexer.text import buckets
from indexer.text.parser import parse
from indexer.text.query import Query, any_of
from indexer.text.question import ELSEWHERE, IN_NAMES, IN_TEXT, Question
from indexer.text.spoken import Spoken, keys, known, understand

BLOCK = 500
POSSIBLE = 8000  # photos that may match and are put in the order of time, at most: each has to be looked up
MANY = 60  # where so many of the newest photos match, those of a year are enough for a block
_NEAR = 200  # photos in which a misread character is searched for
_SQL = queries("search")


@dataclass(frozen=True)
class Scope:
    """Which photos are searched. Never trashed, deleted, hidden or locked ones.

    `owners` None: everybody's. `after` and `before` limit the time when it was taken ("fileCreatedAt"), as Immich's
    takenAfter and takenBefore. `archived`: Immich 3.1's smart search finds archived photos, that of 2.7 does not.
    `user`: whose people, tags and albums are searched, None: everybody's.
    """

    owners: tuple[UUID, ...] | None = None
    after: datetime | None = None
    before: datetime | None = None
    archived: bool = True
    user: UUID | None = None

    @property
    def own(self) -> str | None:
        """The lexeme of the photos whose people, tags and albums are searched. None: of all."""
        return None if self.user is None else buckets.owner_mark(self.user)


@dataclass(frozen=True)
class Candidate:
    """A photo that matches.

    `forgiven`: it matches only if one character was misread. `as_typed`: not only in the other script of Chinese.
    `grade`: how good the places are in which the words are, from 1 to 3 (question.py). `pinyin`: it matches only as
    pinyin.
    """

    asset_id: UUID
    score: float
    forgiven: bool
    as_typed: bool = True
    grade: float = IN_TEXT
    pinyin: bool = False


@dataclass(frozen=True, kw_only=True)
class Hit(Candidate):
    """A photo that was found, with its visible text, lines separated by newlines."""

    file_name: str
    text: str


EVERYTHING = Scope()


class _TooManyError(Exception):
    """More photos may match than are looked at one by one."""


async def search(
    connection: Connection | Pool, text: str, *, scope: Scope = EVERYTHING, limit: int = 50, offset: int = 0
) -> list[Hit]:
    """Photos that match `text` (see parser.py), best first. None for a text without letters or digits.

    Raises:
        QueryError: `text` cannot be searched for.
    """
    found = await candidates(connection, parse(text), scope=scope, limit=limit, offset=offset)
    rows = {
        row["asset_id"]: row
        for row in await connection.fetch(_SQL["described"], [candidate.asset_id for candidate in found])
    }
    return [
        Hit(**vars(candidate), file_name=row["file_name"], text=row["text"])
        for candidate in found
        if (row := rows.get(candidate.asset_id)) is not None
    ]


async def candidates(
    connection: Connection | Pool, question: Question, *, scope: Scope = EVERYTHING, limit: int = BLOCK, offset: int = 0
) -> list[Candidate]:
    """The matching photos from number `offset` on, at most `limit`, best first within each block of `BLOCK`.

    After those that match literally come those that match as pinyin (spoken.py). Where there are none of both: photos
    that match with one character misread. For this only some of the newest possible photos are read.
    """
    if not question or scope.owners == ():
        return []
    question = await placed(connection, question)
    found, before = await _page(connection, question, scope, limit, offset)
    if len(found) < limit and (spoken := await hear(connection, question)):
        more, heard = await _page(connection, spoken, scope, limit - len(found), max(offset - before, 0))
        found += [replace(candidate, pinyin=True) for candidate in more]
        before += heard
    return found if found or before else (await _forgiven(connection, question, scope))[offset : offset + limit]


async def placed(connection: Connection | Pool, question: Question) -> Question:
    """A question without the ways to write places in Latin letters that the library does not have."""
    latin = question.latin
    return question.placed(await places.known(connection, latin)) if latin else question


async def hear(connection: Connection | Pool, question: Question) -> Spoken:
    """A question as it is said: what its words in Latin letters may be in pinyin, of what the library has."""
    spoken = await asyncio.to_thread(understand, question)  # the first time it reads the tables of pinyin
    return known(spoken, await pinyin.heard(connection, keys(spoken))) if spoken else spoken


async def _page(
    connection: Connection | Pool, question: Question | Spoken, scope: Scope, limit: int, offset: int
) -> tuple[list[Candidate], int]:
    """The matches from number `offset` on, at most `limit`. If these are fewer also the number of all matches."""
    found: list[Candidate] = []
    first = start = offset // BLOCK * BLOCK
    while len(found) < offset % BLOCK + limit:
        block = await _block(connection, question, scope, start)
        found += block
        start += BLOCK
        if len(block) < BLOCK:
            break
    count = first + len(found)
    if first and not found:  # there are fewer than that
        count = len((await _page(connection, question, scope, first, 0))[0])
    return found[offset % BLOCK : offset % BLOCK + limit], count


async def _block(
    connection: Connection | Pool, question: Question | Spoken, scope: Scope, start: int
) -> list[Candidate]:
    """The matches from number `start` on: the newest, ranked."""
    own = scope.own
    check = (None, None) if question.sieved else (question.literal(own), json.dumps(question.conditions(own)))
    # Cover density takes long for the many lexemes that a sound may be. Short texts come first without it.
    ranking = "" if isinstance(question, Spoken) else None
    grades = question.grades(own)
    if all(grade == IN_TEXT for _, grade, _ in grades):
        grades = []
    search = partial(
        _ranked, connection, question.words, scope, question.sieve(own), check, grades=grades, ranking=ranking
    )
    windows = _windows(scope)
    if scope.after or scope.before or question.wanted < 2:
        return await search(windows, (start, BLOCK))
    # Several words are usually on few photos. Then one look-up for all times takes less than one for each window.
    newest = [] if question.wanted > 2 else await search(windows[:1], (0, MANY if start else BLOCK))
    if len(newest) < MANY:
        with suppress(_TooManyError):
            return await search([buckets.EVER], (start, BLOCK), possible=POSSIBLE)
    if start or question.wanted > 2:
        return await search(windows, (start, BLOCK))
    left = BLOCK - len(newest)
    return sorted(newest + (await search(windows[1:], (0, left)) if left else []), key=_order)


def _windows(scope: Scope) -> list[str]:
    return list(buckets.windows(datetime.now(UTC), scope.after, scope.before))


def _order(candidate: Candidate) -> tuple[bool, float, float, UUID]:
    """As the SQL statement `ranked` orders them."""
    return not candidate.as_typed, -candidate.grade, -candidate.score, candidate.asset_id


async def _forgiven(connection: Connection | Pool, question: Question, scope: Scope) -> list[Candidate]:
    query = question.plain
    if query is None or query.forgiving is None:
        return []
    ranking = query.ranking.replace(" & ", " | ")
    near = await _ranked(
        connection, query, scope, query.forgiving, (None, None), _windows(scope), (0, _NEAR), ranking=ranking
    )
    rows = await connection.fetch(_SQL["described"], [candidate.asset_id for candidate in near])
    # In a thread: it reads up to a million characters.
    answers = await asyncio.to_thread(query.forgiven, [row["text"] for row in rows])
    forgiven = {row["asset_id"] for row, answer in zip(rows, answers, strict=True) if answer}
    return [replace(candidate, forgiven=True) for candidate in near if candidate.asset_id in forgiven]


async def _ranked(
    connection: Connection | Pool,
    words: Query,
    scope: Scope,
    tsquery: str,
    check: tuple[str | None, str | None],
    windows: Sequence[str],
    span: tuple[int, int],
    *,
    grades: Sequence[tuple[int, int, str]] = (),
    ranking: str | None = None,
    possible: int = 0,
) -> list[Candidate]:
    """Of the photos that `tsquery` finds in the `windows` of time, one after the other, those of the `span`, ranked.

    `possible`: of one window so many photos are put in the order of time. Raises _TooManyError: it has more.
    """
    if scope.owners is not None:
        tsquery += f" & {buckets.owned(scope.owners)}"
    rows = await connection.fetch(
        _SQL["ranked"],
        scope.owners,
        scope.after,
        scope.before,
        ["timeline", "archive"] if scope.archived else ["timeline"],
        [f"({tsquery}) & {window}" if window else tsquery for window in windows],
        *check,
        words.ranking if ranking is None else ranking,
        *span,
        words.words,
        " ".join(words.phrases),
        words.typed,
        *_by_grade(grades),
        possible,
    )
    if possible and rows[0]["possible"] == possible:
        raise _TooManyError
    return [
        Candidate(row["asset_id"], row["score"], forgiven=False, as_typed=row["as_typed"], grade=row["grade"])
        for row in rows
        if row["asset_id"] is not None
    ]


def _by_grade(grades: Sequence[tuple[int, int, str]]) -> list[list[str | None]]:
    """For each grade, the best first, the tsqueries of the words. None: such a place is not asked for."""
    found: dict[int, dict[int, list[str]]] = {}
    for number, grade, query in grades:
        found.setdefault(number, {}).setdefault(grade, []).append(query)
    return [
        [any_of(word.get(grade, ())) or None for word in found.values()] for grade in (IN_TEXT, IN_NAMES, ELSEWHERE)
    ]
