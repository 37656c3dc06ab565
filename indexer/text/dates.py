"""The words of a date: what a person may type to find a photo taken on it."""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from indexer.errors import QueryError
from indexer.text.tokens import canonical

_MONTHS = (
    *(("一", "january"), ("二", "february"), ("三", "march"), ("四", "april"), ("五", "may"), ("六", "june")),
    *(
        ("七", "july"),
        ("八", "august"),
        ("九", "september"),
        ("十", "october"),
        ("十一", "november"),
        ("十二", "december"),
    ),
)

_ENGLISH = "|".join(english for _, english in _MONTHS)
_CHINESE = "|".join(chinese for chinese, _ in _MONTHS)
_WORD = re.compile(f"[0-9][0-9 年月日]*|(?:{_CHINESE})月|(?:{_ENGLISH})(?: [0-9]+)?")
_DATE = re.compile(r"[0-9]{4}年?|[0-9]{4}(?:[-/.][0-9]{1,2}){1,2}|[0-9]{4}年[0-9]{1,2}月(?:[0-9]{1,2}[日号])?")
_NUMBERS = re.compile("[0-9]+")
_FIRST = 1826  # the year of the oldest photograph
_AHEAD = 60  # years: how far ahead a camera's clock may be


def words(day: date) -> list[str]:
    """The words of a date, in canonical form (see tokens.py), so that 2024-05-01 and 2024/05/01 are `2024 05 01`.

    Each is matched as a whole: a year is no match for each of its digits.
    """
    year, month, number = f"{day.year:04}", day.month, day.day
    chinese, english = _MONTHS[month - 1]
    found = [
        *(year, f"{year}年", f"{month}月", f"{month}月{number}日", f"{chinese}月"),
        *(f"{year}年{month}月", f"{year}年{month:02}月"),
        *(f"{year}年{month}月{number}日", f"{year}年{month:02}月{number:02}日"),
        *(f"{year} {month:02}", f"{year} {month:02} {number:02}", f"{year} {month}", f"{year} {month} {number}"),
        *(f"{year}{month:02}{number:02}", english, f"{english} {year}", f"{english} {number}"),
    ]
    return list(dict.fromkeys(found))


def may_be(word: str) -> bool:
    """Whether a word, in canonical form, may be one of the words of a date."""
    return bool(_WORD.fullmatch(word))


def lexemes(text: str, today: date) -> list[str]:
    """The words of which each photo taken at a time has one. The time is a date, or two with `..` in between.

    A date is a year, a month or a day as in 2024, 2024-05, 2024/5/1 or 2024年5月1日, or 去年, yesterday and so on. A
    month without a year is that month of every year.

    Raises:
        QueryError: this is no date.
    """
    begin, dots, end = text.strip().partition("..")
    if not dots:
        word = canonical(begin)
        if word and not word[0].isdigit() and may_be(word):
            return [word]
        first, last = _span(begin, today)
    else:
        first = _span(begin, today)[0] if begin else date(_FIRST, 1, 1)
        last = _span(end, today)[1] if end else date(today.year + _AHEAD, 12, 31)
        if not begin and not end:
            raise _no_date(text)
    if first > last:
        raise QueryError(f"date: {text[:30]} ends before it begins")
    return list(_pieces(first, last))


def _span(text: str, today: date) -> tuple[date, date]:
    """The first and the last day of a year, a month or a day."""
    if relative := _RELATIVE.get(canonical(text)):
        return relative(today)
    parts = [int(part) for part in _NUMBERS.findall(text)]
    try:
        if not _DATE.fullmatch(text.strip()):
            raise ValueError
        if len(parts) == 1:
            return _year(parts[0])
        return _month(parts[0], parts[1]) if len(parts) == 2 else (date(*parts), date(*parts))
    except ValueError:
        raise _no_date(text) from None


def _no_date(text: str) -> QueryError:
    return QueryError(f"date: {text[:30]!r} is no date like 2024, 2024-05, 2024-05-01..2024-06-15, 去年")


def _year(year: int) -> tuple[date, date]:
    return date(year, 1, 1), date(year, 12, 31)


def _month(year: int, month: int) -> tuple[date, date]:
    return date(year, month, 1), date(year, month, monthrange(year, month)[1])


def _month_before(today: date) -> tuple[date, date]:
    last = today.replace(day=1) - timedelta(days=1)
    return _month(last.year, last.month)


def _day(today: date, before: int) -> tuple[date, date]:
    day = today - timedelta(days=before)
    return day, day


_Relative = Callable[[date], tuple[date, date]]
_RELATIVE: dict[str, _Relative] = {
    **dict.fromkeys(("今年", "thisyear"), lambda today: _year(today.year)),
    **dict.fromkeys(("去年", "lastyear"), lambda today: _year(today.year - 1)),
    "前年": lambda today: _year(today.year - 2),
    **dict.fromkeys(("本月", "这个月", "thismonth"), lambda today: _month(today.year, today.month)),
    **dict.fromkeys(("上月", "上个月", "lastmonth"), _month_before),
    **dict.fromkeys(("今天", "today"), lambda today: _day(today, 0)),
    **dict.fromkeys(("昨天", "yesterday"), lambda today: _day(today, 1)),
    "前天": lambda today: _day(today, 2),
}


def _pieces(first: date, last: date) -> Iterator[str]:
    """Whole years, whole months and days, which together are the time from `first` to `last`."""
    day = first
    while day <= last:
        month_end = _month(day.year, day.month)[1]
        if (day.month, day.day) == (1, 1) and _year(day.year)[1] <= last:
            yield f"{day.year:04}"
            end = _year(day.year)[1]
        elif day.day == 1 and month_end <= last:
            yield f"{day.year:04} {day.month:02}"
            end = month_end
        else:
            yield f"{day.year:04} {day.month:02} {day.day:02}"
            end = day
        if end == date.max:
            return
        day = end + timedelta(days=1)
