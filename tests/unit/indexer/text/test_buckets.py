"""Windows of days: together all days that are asked for, and none twice."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.text import buckets

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER, OTHER = UUID(int=1 << 120), UUID(int=2 << 120)

moments = st.floats(-45_000, 15_000).map(lambda days: NOW + timedelta(days=days)) | st.floats(-700, 50).map(
    lambda days: NOW + timedelta(days=days)
)


def matches(tsquery: str, marks: list[str]) -> bool:
    for sign, word in (("!", " not "), ("&", " and "), ("|", " or ")):
        tsquery = tsquery.replace(sign, word)
    return bool(eval(re.sub(r"'([^']*)'", lambda mark: str(mark[1] in marks), tsquery).strip()))


@settings(max_examples=1000)
@given(taken=moments, after=st.none() | moments, before=st.none() | moments)
def test_every_photo_is_in_one_window(taken: datetime, after: datetime | None, before: datetime | None):
    windows = list(buckets.windows(NOW, after, before))
    times = sum(matches(window, buckets.marks(OWNER, taken)) for window in windows)
    asked = (after is None or taken >= after) and (before is None or taken <= before)
    assert times == 1 or (times == 0 and not asked)


@given(days=st.integers(40, 3000))
def test_the_newer_is_in_no_later_window(days: int):
    windows = list(buckets.windows(NOW, None, None))

    def number(taken: datetime) -> int:
        return next(n for n, window in enumerate(windows) if matches(window, buckets.marks(OWNER, taken)))

    assert number(NOW) == 0
    assert number(NOW - timedelta(days=days)) <= number(NOW - timedelta(days=days + 1))


def test_marks_tell_people_apart():
    marks = buckets.marks(OWNER, NOW)
    assert matches(buckets.owned([OTHER, OWNER]), marks)
    assert not matches(buckets.owned([OTHER]), marks)
