"""Counts the photos that match words, by the year in which they were taken."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from indexer.database.pool import Pool
from indexer.database.statements import queries
from indexer.search.hybrid import SearchRequest
from indexer.search.viewer import Viewer
from indexer.text import buckets

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

    A photo that matches only if one character was misread does not count.

    Raises:
        QueryError: the text cannot be searched for.
    """
    question = wanted.words
    owners: tuple[UUID, ...] = viewer.owners or ()
    if not question or not owners:
        return []
    own = viewer.scope().own
    sieve = f"{question.sieve(own)} & {buckets.owned(owners)}"
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
    return [Year(row["year"], row["photos"]) for row in rows]
