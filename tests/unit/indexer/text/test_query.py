"""What a person types, and what of a photo's lines it means."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import QueryError
from indexer.text.normalise import normalise
from indexer.text.query import Query, parse
from indexer.text.tokens import canonical


@pytest.mark.parametrize(
    ("text", "phrases", "excluded"),
    [
        ("", (), ()),
        ("' & | ! :* <-> ()", (), ()),
        ("發票", ("发票",), ()),
        ("发票 合计  发票", ("发票", "合计"), ()),
        ("a'b & c:*", ("a b", "c"), ()),
        ("合计：88.00", ("合计 88 00",), ()),
        ('"two words" three', ("two words", "three"), ()),
        ("“发 票”　「合计 元」", ("发票", "合计元"), ()),
        ('"never closed', ("never closed",), ()),
        ("发票 -餐饮 －住宿", ("发票",), ("餐饮", "住宿")),
        ('发票 -"two words" e-mail --x', ("发票", "e mail"), ("two words", "x")),
        ("发票 - 餐饮", ("发票", "餐饮"), ()),
        ("发票 —餐饮", ("发票",), ("餐饮",)),  # made of a minus by a keyboard
        ("——鲁迅", ("鲁迅",), ()),
        ('"甲"-乙', ("甲", "乙"), ()),
    ],
)
def test_parsing(text: str, phrases: tuple[str, ...], excluded: tuple[str, ...]):
    assert parse(text) == Query(phrases, excluded)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("发票", ("发票",)),
        ("發票", ("發票",)),
        ("日落 62580", ()),  # the same in both scripts
        ("NO发票12 -车票", ("发票",)),
        ("“增值税　发票，合计”", ("增值税发票", "合计")),
    ],
)
def test_what_was_typed_in_one_of_two_scripts(text: str, typed: tuple[str, ...]):
    assert parse(text).typed == typed


@pytest.mark.parametrize(("text", "says"), [("-餐饮", "what to look for"), ("长" * 201, "at most 200")])
def test_what_cannot_be_searched_for(text: str, says: str):
    with pytest.raises(QueryError, match=says):
        parse(text)


@given(st.text())
def test_nothing_a_person_types_becomes_an_operator(text: str):
    try:
        query = parse(text)
    except QueryError:
        return
    for tsquery in (query.literal, query.sieve, query.ranking, query.words, query.forgiving or ""):
        outside = re.sub(r"'[^\W_]+'|'[^\W_]? [^\W_]?'", "", tsquery)
        assert re.fullmatch(r"(:[ABCD]+|[&|!()]|<->| )*", outside), tsquery


@given(st.text(st.sampled_from("发票 乾干aB1-，\n。"), min_size=1), st.data())
def test_a_piece_of_a_text_matches_it(text: str, data: st.DataObject):
    start = data.draw(st.integers(0, len(text) - 1))
    piece = text[start : data.draw(st.integers(start + 1, len(text)))]
    phrase = canonical(piece)
    assert phrase in canonical(text) or "-\n" in text
    assert normalise(piece) in normalise(text)
    if phrase:
        assert Query((phrase,)).lines(text.split("\n"))


@pytest.mark.parametrize(
    ("query", "lines", "expected"),
    [
        ("发票", ["合计", "发票", "增值税发票"], [1, 2]),
        ("专用发票", ["增值税专", "用发票", "合计"], [0, 1]),
        ("发票 合计", ["合计", "无关", "发票"], [0, 2]),
        ("发票 合计", ["无关", "发票"], []),
        ("发票 -合计", ["合计", "发票"], []),
        ("information", ["some informa-", "tion"], [0, 1]),
        ("票", ["發票", "", "，"], [0]),
        ("“甲 乙”", ["甲，", "乙"], []),  # a comma is not between them, but in their canonical form something is
        ("甲.乙", ["甲，", "乙"], [0, 1]),
    ],
)
def test_the_lines_that_match(query: str, lines: list[str], expected: list[int]):
    assert parse(query).lines(lines) == expected


@pytest.mark.parametrize(
    ("query", "text", "forgiven"),
    [
        ("专用发票", "专甲发票", True),
        ("专用发票", "专用甲发票", True),
        ("专用发票", "专发票", True),
        ("专用发票", "专用甲乙票", False),
        ("专用发票 合计", "专甲发票 合计", True),
        ("专用发票 合计", "专甲发票 合汁", False),  # one error in all
        ("专用发票 -合计", "专甲发票 合计", False),
        ("发票", "发标", False),
        ("发票NO123", "发票 NO123", True),
        ("information", "informa\ntion", True),
    ],
)
def test_one_misread_character(query: str, text: str, forgiven: bool):
    assert parse(query).forgives(text) == forgiven
    assert bool(parse(query).lines(text.split("\n"), forgiven=True)) == forgiven
