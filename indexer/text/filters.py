"""Filters: fields and their values, each apart from the words of a search, as `person:张三`."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime

from indexer.errors import QueryError
from indexer.text.normalise import clean, fold
from indexer.text.parser import KNOWN, named
from indexer.text.question import Clause

_FILTER = re.compile(r"(-?)([^\W_]+:)(.*)", re.DOTALL)


def clauses(filters: Iterable[str], today: date | None = None) -> list[Clause]:
    """What photos must be, or, with `-` in front, must not be. A value ends with its filter, so it needs no quotes.

    Raises:
        QueryError: one names no field, or says nothing.
    """
    return [_clause(text, today or datetime.now(UTC).date()) for text in filters]


def _clause(text: str, today: date) -> Clause:
    match = _FILTER.fullmatch(unicodedata.normalize("NFKC", clean(text)).strip())
    if match is None or fold(match[2][:-1]) not in KNOWN:
        raise QueryError(f"{text[:30]!r} is no field and its value, as in person:张三")
    return Clause((named(match[2], match[3], today),), bool(match[1]))
