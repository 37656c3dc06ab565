"""What a person types, and what it asks for."""

from datetime import date

import pytest

from indexer.errors import QueryError
from indexer.text import dates
from indexer.text.fields import ALBUM, CAMERA, DESCRIPTION, FIELDS, FILE, PERSON, PLACE, TAG, Field
from indexer.text.parser import parse
from indexer.text.query import parse as parse_for_texts
from indexer.text.question import Question

TODAY = date(2026, 11, 29)


def shape(text: str) -> list[tuple[bool, list[str]]]:
    """Each clause: whether it must be absent, and its terms as `field:phrase`."""

    def said(question: Question) -> list[tuple[bool, list[str]]]:
        return [
            (clause.absent, [f"{_place(term.fields, text=term.text)}:{term.phrase}" for term in clause.terms])
            for clause in question.clauses
        ]

    return said(parse(text, today=TODAY))


def _place(fields: tuple[Field, ...], *, text: bool) -> str:
    if fields == FIELDS and text:
        return ""
    return "text" if text else ",".join(field.name for field in fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("张三 发票", [(False, [":张三"]), (False, [":发票"])]),
        ("张三 -发票", [(False, [":张三"]), (True, [":发票"])]),
        ('"a b" c', [(False, [":a b"]), (False, [":c"])]),
        ("person:张三", [(False, ["person:张三"])]),
        ("人物：张三 地点:上海", [(False, ["person:张三"]), (False, ["place:上海"])]),
        ("標籤:旅行 相機:Canon", [(False, ["tag:旅行"]), (False, ["camera:canon"])]),
        ('Album:"北海道 2024" -TAG:x', [(False, ["album:北海道2024"]), (True, ["tag:x"])]),
        ("文件:IMG_0001 描述:火锅", [(False, ["file:img 0001"]), (False, ["description:火锅"])]),
        ("ocr:发票 张三", [(False, ["text:发票"]), (False, [":张三"])]),
        ("猫 OR 狗 海边", [(False, [":猫", ":狗"]), (False, [":海边"])]),
        ("person:张三 OR tag:家人 OR 合影", [(False, ["person:张三", "tag:家人", ":合影"])]),
        ("a b a OR c", [(False, [":a"]), (False, [":b"]), (False, [":a", ":c"])]),
        ("OR", [(False, [":or"])]),
        ("猫 OR", [(False, [":猫"]), (False, [":or"])]),
        ("or 猫", [(False, [":or"]), (False, [":猫"])]),
        (
            "http://example.org 12:30 foo:bar",
            [(False, [":http example org"]), (False, [":12 30"]), (False, [":foo bar"])],
        ),
        ('foo:"bar baz"', [(False, [":foo"]), (False, [":bar baz"])]),
        ("a a", [(False, [":a"])]),
        (' : - "" ', []),
        ("", []),
    ],
)
def test_what_is_asked_for(text: str, expected: list[tuple[bool, list[str]]]):
    assert shape(text) == expected


@pytest.mark.parametrize(
    "text",
    ["发票", "發票 -餐饮", '"no. 123" 合计', 'cafe crème -"a b"', "发 票", "—发票", "   ", "«»", "a:b", "2024"],
)
def test_plain_words_are_the_same_as_in_texts(text: str):
    if text == "—发票":
        with pytest.raises(QueryError):
            parse(text)
        return
    plain = parse(text).plain
    assert plain is not None
    assert plain == parse_for_texts(text)
    assert plain.typed == parse_for_texts(text).typed
    only = parse(text, texts_only=True)
    assert only.plain == plain
    if only:
        assert only.sieve(None).replace("(", "").replace(")", "") == plain.sieve.replace("(", "").replace(")", "")


@pytest.mark.parametrize("text", ["person:张三", "发票 OR 收据", "type:video 海"])
def test_what_is_more_is_not_plain(text: str):
    assert parse(text).plain is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("person:", "person: says nothing to look for: write it without a space, as in person:张三"),
        ("标签: 旅行", "标签: says nothing"),
        ('person:""', "person: says nothing"),
        ("type:song", "type: image or video, not 'song'"),
        ("date:soon", "date: 'soon' is no date like 2024, 2024-05"),
        ("date:2024-13", "is no date like"),
        ("date:2024-06..2024-05", "ends before it begins"),
        ("date:..", "date: says nothing"),
        ("-发票", "only words to leave out"),
        ("-person:张三", "only words to leave out"),
        ("猫 OR -狗", "OR joins words to look for"),
        ("-猫 OR 狗", "OR joins words to look for"),
        ("x" * 201, "at most 200 characters"),
    ],
)
def test_what_cannot_be_searched_for_is_said(text: str, words: str):
    with pytest.raises(QueryError) as error:
        parse(text, today=TODAY)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024", ["2024"]),
        ("2024-05", ["2024 05"]),
        ("2024年5月", ["2024 05"]),
        ("2024/5/1", ["2024 05 01"]),
        ("2024-05-30..2024-07-02", ["2024 05 30", "2024 05 31", "2024 06", "2024 07 01", "2024 07 02"]),
        ("2023-12..2025", ["2023 12", "2024", "2025"]),
        ("2086..", ["2086"]),
        ("..1827-01", ["1826", "1827 01"]),
        ("去年", ["2025"]),
        ("本月", ["2026 11"]),
        ("上个月", ["2026 10"]),
        ("昨天", ["2026 11 28"]),
        ("五月", ["五月"]),
        ("May", ["may"]),
    ],
)
def test_dates(text: str, expected: list[str]):
    assert dates.lexemes(text, TODAY) == expected


@pytest.mark.parametrize("day", [date(2024, 2, 29), date(1999, 12, 31), date(2030, 1, 1)])
def test_each_date_has_exactly_one_word_of_a_time_that_contains_it(day: date):
    words = set(dates.words(day))
    for text in (f"{day.year}", f"{day.year}-{day.month}", f"{day}", f"1990..{day}", f"{day}..2040", "1990..2040"):
        assert len(words & set(dates.lexemes(text, TODAY))) == 1, text
    assert not words & set(dates.lexemes(f"{day.year + 1}", TODAY))
    for word in ("2024年2月", "二月", "february", "february 2024", "20240229", "2024 02 29"):
        assert (word in words) == (day == date(2024, 2, 29))
        assert dates.may_be(word)


def test_people_tags_and_albums_count_for_their_owner_alone():
    """Wherever they are in a tsquery, it also demands the owner."""
    for text in ("张三", "张三 发票", "person:张三", "-tag:家 猫", "album:a OR b"):
        question = parse(text)
        for query in (
            question.literal(" own"),
            question.sieve(" own"),
            *(query for _, _, query in question.grades(" own")),
        ):
            for part in query.split("|"):
                assert ("' -" in part) <= ("' own'" in part), part
        assert "' own'" not in question.literal(None)


FACTS = {
    PERSON: ["张三"],
    PLACE: ["上海"],
    DESCRIPTION: ["去外婆家" + "很远" * 200],
    TAG: [],
    ALBUM: [],
    FILE: ["a.jpg"],
    CAMERA: [],
}


@pytest.mark.parametrize(
    ("text", "lines", "fields"),
    [
        ("发票", (1,), []),
        ("张三 发票", (1,), [("person", "张三")]),
        ("上海 张三", (), [("place", "上海"), ("person", "张三")]),
        ("张三 李四", None, None),
        ("张三 -上海", None, None),
        ("张三 -北京", (), [("person", "张三")]),
        ("地点:张三", None, None),
        ("ocr:张三 发票", None, None),
        ("李四 OR 张三", (), [("person", "张三")]),
        ("发票 date:2024", (1,), [("date", "date:2024")]),
        ("发票 2024年5月", (1,), [("date", "2024年5月")]),
        ("发票 type:video", None, None),
    ],
)
def test_why_a_photo_matches(text: str, lines: tuple[int, ...] | None, fields: list[tuple[str, str]] | None):
    exact = [*(f" ={word}" for word in dates.words(date(2024, 5, 1))), " :image"]
    seen = parse(text).see(["合计", "增值税发票"], FACTS, exact)
    if lines is None:
        assert seen is None
        return
    assert seen is not None
    assert seen.lines == lines
    assert sorted((field, value) for field, value, _ in seen.fields) == sorted(fields or [])


def test_of_a_long_value_the_part_around_the_word_is_shown():
    facts = {DESCRIPTION: ["很远" * 200 + "外婆家" + "很远" * 200]}
    seen = parse("外婆").see([], facts, [])
    assert seen is not None
    [(_, value, _)] = seen.fields
    assert "外婆家" in value
    assert len(value) <= 202


@pytest.mark.parametrize(
    ("text", "shown", "conditions"),
    [
        ("海边", "海边", False),
        ("person:张三 海边 日落", "海边 日落", True),
        ("person:张三", "", True),
        ("猫 OR 狗", "猫 狗", False),
        ("海边 -人", "", False),
        ("type:video 海边", "海边", True),
    ],
)
def test_what_a_photo_must_show(text: str, shown: str, conditions: bool):
    question = parse(text)
    assert question.shown == shown
    assert bool(question.filter) == conditions
