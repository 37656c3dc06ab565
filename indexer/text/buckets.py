"""Photos in buckets by the day they were taken, so that an index without order can be asked for the newest first.

A GIN index returns all matches, in no order. So each document also has a lexeme for each bucket it is in: aligned spans
of 32, of 256 and of 2048 days. A window is two neighbouring buckets of one size, without the window of the next smaller
size. The index intersects the window with the words of the query, and reads little more than the smaller of the two.
Each lexeme of a query costs a look-up for each match, so a window consists of few lexemes.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from uuid import UUID

EVER = ""
"""The window of all days."""

_EPOCH = date(1970, 1, 1).toordinal()
_FIRST = date(1826, 1, 1).toordinal() - _EPOCH  # the year of the oldest photograph
_SIZES = (32, 256, 2048)  # days
_FUTURE = 12  # of the largest buckets: how far ahead a camera's clock may be, where there is an `after`


def marks(owner: UUID, taken: datetime) -> list[str]:
    """The lexemes of a photo's document for its owner and for when it was taken."""
    day = _day(taken)
    return [owner_mark(owner), *(_mark(size, day // size) for size in _SIZES)]


def owned(owners: Iterable[UUID]) -> str:
    """A tsquery that finds the photos of any of `owners`, and perhaps a few of others."""
    return _any(owner_mark(owner) for owner in owners)


def windows(now: datetime, after: datetime | None, before: datetime | None) -> Iterator[str]:
    """The tsqueries of disjoint windows of days, newest first, that cover at least `after` to `before`.

    The last one includes the future: cameras with a wrong clock date photos there.
    """
    past = before is not None and before < now
    newest = _day(before if past and before is not None else now)
    oldest = _day(after) if after is not None else _FIRST
    inner: list[str] = []
    for size in _SIZES:
        number = newest // size
        buckets = [_mark(size, number), _mark(size, number - 1)]
        yield " & ".join([_any(buckets), *_none(inner)])
        inner = buckets
        if oldest >= (number - 1) * size:
            break
    else:
        number -= 2
        if past:
            if older := [_mark(size, n) for n in range(number, oldest // size - 1, -1)]:
                yield _any(older)
        else:
            yield " & ".join(_none(inner))
            return
    if not past:
        first = max(newest, oldest)
        future = [_mark(_SIZES[-1], first // _SIZES[-1] + n) for n in range(_FUTURE)]
        yield " & ".join([_any(future), *_none(inner)])


def _any(marks: Iterable[str]) -> str:
    return "(" + " | ".join(f"'{mark}'" for mark in marks) + ")"


def _none(marks: Iterable[str]) -> list[str]:
    return [f"!'{mark}'" for mark in marks]


def owner_mark(owner: UUID) -> str:
    """The lexeme of an owner's photos, and perhaps of a few of others."""
    return f" o{owner.hex[:8]}"


def _mark(size: int, number: int) -> str:
    return f" {size}/{number}"


def _day(moment: datetime) -> int:
    return moment.astimezone(UTC).date().toordinal() - _EPOCH
