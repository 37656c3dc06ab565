"""Photos on shelves by the day they were taken, so that an index without order is asked for the newest first.

A GIN index finds all matches or none in particular. So each document also holds a lexeme for each span of days it lies
in: spans of 16, 64, 256, 1024 and 4096 days, aligned. A query for a window of days is the alternative of the few spans
that make it up, and costs no more than the photos of that window.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from uuid import UUID

_EPOCH = date(1970, 1, 1).toordinal()
_SPANS = (4096, 1024, 256, 64, 16)  # days
_SHORT = _SPANS[-1]
_WINDOWS = (32, 256, 2048)  # days, the newest first
_FUTURE = 16 * 4096


def marks(owner: UUID, taken: datetime) -> list[str]:
    """The lexemes of a photo's document that say whose it is, and when it was taken."""
    day = _day(taken)
    return [_owner_mark(owner), *(_mark(span, day // span) for span in _SPANS)]


def owned(owners: Iterable[UUID]) -> str:
    """The tsquery of the photos of any of `owners`, and of few others."""
    return _any(f"'{_owner_mark(owner)}'" for owner in owners)


def windows(now: datetime, after: datetime | None, before: datetime | None) -> Iterator[str]:
    """The tsqueries of successive windows of days that cover those from `after` to `before`, disjoint and newest first.

    The last of them is the future, where cameras with a wrong clock take their photos; and what is left, where there is
    no `after`. Both ends are a span too generous.
    """
    today = _day(now) // _SHORT * _SHORT + 2 * _SHORT
    newest = today if before is None else min(today, _day(before) // _SHORT * _SHORT + 2 * _SHORT)
    oldest = None if after is None else _day(after) // _SHORT * _SHORT - _SHORT
    end = newest
    seen: list[str] = []
    for days in _WINDOWS:
        start = end - days if oldest is None else max(end - days, oldest)
        if start < end:
            seen += (cover := list(_cover(start, end)))
            yield _any(cover)
            end = start
    if oldest is None:
        yield " & ".join(f"!{mark}" for mark in seen)
    else:
        if oldest < end:
            yield _any(_cover(oldest, end))
        if newest == today:
            yield _any(_cover(max(oldest, today), max(oldest, today) + _FUTURE))


def _any(marks: Iterable[str]) -> str:
    return f"({' | '.join(marks)})"


def _cover(start: int, end: int) -> Iterator[str]:
    """The fewest aligned spans that make up the days from `start` to before `end`, both multiples of the shortest."""
    while start < end:
        span = next(span for span in _SPANS if start % span == 0 and start + span <= end)
        yield f"'{_mark(span, start // span)}'"
        start += span


def _owner_mark(owner: UUID) -> str:
    return f" o{owner.hex[:8]}"


def _mark(span: int, number: int) -> str:
    return f" {span}/{number}"


def _day(moment: datetime) -> int:
    return moment.astimezone(UTC).date().toordinal() - _EPOCH
