"""Counts the photos that match words, by the year in which they were taken."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from indexer.database.pool import Pool
from indexer.database.statements import queries
from indexer.search import words
from indexer.search.hybrid import SearchRequest
from indexer.search.viewer import Viewer
from indexer.text import buckets
from indexer.text.question import Question
from indexer.text.spoken import Spoken

MOST = 1000  # photos that are counted in a year

_FIRST = 1826  # the year of the oldest photograph
_AHEAD = 2  # years: how far ahead a camera's clock may be
_SQL = queries("years")


@dataclass(frozen=True)
class Year:
    """How many photos of a year match, at most `MOST`."""

    year: int
    photos: int


async def years(pool: Pool, wanted: SearchRequest, viewer: Viewer, *, most: int = MOST) -> list[Year]:
    """The years in which photos were taken that match by words, the newest first. None for a search by meaning alone.

    Also as pinyin. A photo that matches only if one character was misread does not count.

    Raises:
        QueryError: the text cannot be searched for.
    """
    question = await words.placed(pool, wanted.words)
    if not question or not viewer.owners:
        return []
    counts = Counter(await _count(pool, wanted, viewer, question, most))
    if spoken := await words.hear(pool, question):
        counts.update(await _count(pool, wanted, viewer, spoken, most))
    return [Year(year, min(counts[year], most)) for year in sorted(counts, reverse=True)]


async def _count(
    pool: Pool, wanted: SearchRequest, viewer: Viewer, question: Question | Spoken, most: int
) -> dict[int, int]:
    """How many photos match in each year, at most `most`."""
    owners: tuple[UUID, ...] = viewer.owners or ()
    own = viewer.scope().own
    sieve = f"({question.sieve(own)}) & {buckets.owned(owners)}"
    check = (None, None) if question.sieved else (question.literal(own), json.dumps(question.conditions(own)))
    asked = list(range(_FIRST, datetime.now(UTC).year + _AHEAD + 1))
    rows = await pool.fetch(
        _SQL["years"],
        viewer.user,
        owners,
        viewer.archived,
        wanted.after,
        wanted.before,
        asked,
        [f"{sieve} & ' ={year:04}'" for year in asked],
        *check,
        most,
    )
    return {row["year"]: row["photos"] for row in rows}
