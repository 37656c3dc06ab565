"""Fields and their values, each apart from the words of a search."""

from datetime import date

import pytest

from indexer.errors import QueryError
from indexer.text.filters import clauses
from indexer.text.parser import parse

TODAY = date(2024, 5, 1)


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ("person:张三", "person:张三"),
        ("人物：Anna Lee", '人物:"Anna Lee"'),
        ('person:the "boss": x', 'person:"the boss x"'),
        ("-tag:work", "-tag:work x"),
        ("date:2024-05-01..2024-06-15", "date:2024-05-01..2024-06-15"),
        ("DATE:去年", "date:去年"),
        ("type:video", "type:video"),
        (" ocr:发票 ", "ocr:发票"),
    ],
)
def test_a_filter_is_what_the_field_would_be(given: str, typed: str):
    [clause] = clauses([given], TODAY)
    [wanted, *_] = parse(typed, today=TODAY).clauses
    assert (clause.absent, clause.query(None)) == (wanted.absent, wanted.query(None))


@pytest.mark.parametrize(
    "given", ["张三", "nobody:x", "person:", "person: ,", "date:soon", "type:song", "", ":x", "a b:c"]
)
def test_what_is_no_filter_is_told(given: str):
    with pytest.raises(QueryError, match=r"\w+ \w+"):
        clauses([given], TODAY)


def test_filters_narrow_a_search_that_only_leaves_words_out():
    with pytest.raises(QueryError):
        parse("-餐饮")
    question = parse("-餐饮", filters=clauses(["person:张三"]))
    assert question
    assert question.plain is None
    assert question.shown == ""
