"""Text as it is searched: Immich's own tokens, one spelling for all, and n-grams that find every piece."""

import re
import sys

import pytest

from indexer.immich import tokens as immich
from indexer.text import tokens
from indexer.text.normalise import clean, normalise
from indexer.text.query import parse

# Immich's tokenisation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n\x00\x1f ", []),  # every unit up to 32 separates
        ("hello", ["hello"]),
        ("hello  world\n", ["hello", "world"]),
        ("票", ["票"]),  # a single unit stays
        ("发票", ["发票"]),
        ("增值税专用发票", ["增值", "值税", "税专", "专用", "用发", "发票"]),
        ("发票 NO123", ["发票", "NO123"]),
        ("发票NO123号", ["发票", "NO123", "号"]),  # other runs end where Chinese begins, and the other way round
        ("合计：88.00元", ["合计", "：88.00", "元"]),  # full-width punctuation is an ordinary character
        ("你好，世界！", ["你好", "，", "世界", "！"]),
        ("发票\u3000合计", ["发票", "\u3000", "合计"]),  # and so is the ideographic space
        ("Ａ\u3000B", ["Ａ\u3000B"]),
        ("\u00a0", ["\u00a0"]),
        ("ラーメン", ["ラー", "ーメ", "メン"]),
        ("すしと寿司", ["すし", "しと", "と寿", "寿司"]),  # kana and Chinese are one run
        ("안녕하세요", ["안녕", "녕하", "하세", "세요"]),
        ("ｱｲｳ", ["ｱｲｳ"]),  # half-width kana is none of Immich's ranges
        ("㐀䶵", ["㐀䶵"]),
        ("\u4dc0易", ["\u4dc0", "易"]),  # a hexagram, just between two ranges
        ("豈", ["豈"]),
        ("𠮷", ["𠮷"]),  # two surrogates, each an ordinary unit
        ("𠮷野家で", ["𠮷", "野家", "家で"]),
        ("a𠮷b", ["a𠮷b"]),
        ("🎉好", ["🎉", "好"]),
    ],
)
def test_immichs_tokens(text: str, expected: list[str]):
    assert immich.tokens(text) == expected


@pytest.mark.parametrize("unit", [0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xAC00, 0xD7AF, 0x3040, 0x309F, 0x30A0, 0x30FF])
def test_the_ends_of_immichs_ranges_are_in_them(unit: int):
    assert immich.tokens(f"a{chr(unit) * 3}a") == ["a", chr(unit) * 2, chr(unit) * 2, "a"]


@pytest.mark.parametrize("unit", [0x33FF, 0x4DC0, 0xABFF, 0xD7B0, 0x303F, 0x3100, 0xF900, 33])
def test_what_is_next_to_them_is_not(unit: int):
    assert immich.tokens(f"a{chr(unit) * 3}a") == [f"a{chr(unit) * 3}a"]


def test_half_a_surrogate_pair_is_no_trouble():
    assert immich.tokens("a\ud842 发票\udfb7") == ["a\ud842", "发票", "\udfb7"]


def test_the_searchable_text_is_every_lines_tokens():
    assert immich.search_text(["发票 NO123", "", "合计"]) == "发票 NO123 合计"
    assert immich.search_text([]) == ""
    assert immich.search_text([" ", "\n"]) == ""


# One spelling


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ＡＢＣ１２３", "abc123"),
        ("Straße", "STRASSE"),
        ("發票", "发票"),
        (
            "乾隆皇帝",
            "干隆皇帝",
        ),  # character by character, or a piece of it would not be a piece of its simplified form
        ("ﾗｰﾒﾝ", "ラーメン"),
        ("ガ", "カ\u3099"),
        ("①㎡№", "1m2no"),
        ("發\u200b票\ufeff", "发票"),
        ("soft\u00adhyphen", "softhyphen"),
        ("❤\ufe0f", "❤"),
        ("葛\U000e0100城", "葛城"),  # a variant of an ideograph
        ("a\u034f\u061c\u115f\u3164\uffa0b", "ab"),
        ("共 88 元", "共88\n元"),
        ("豈", "岂"),  # a compatibility ideograph
        ("\x00发\ud842票", "发票"),
    ],
)
def test_spellings_that_are_the_same(one: str, other: str):
    assert normalise(one) == normalise(other)


def test_different_characters_stay_different():
    assert len({normalise(text) for text in ("己", "已", "巳", "未", "末", "l", "1", "o", "0")}) == 9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café", "cafe"),
        ("Cafe\u0301", "cafe"),
        ("Hóa đơn giá trị", "hoa don gia tri"),
        ("Résumé", "RESUME"),
        ("nǐ hǎo lǜ", "ni hao lu"),
        ("ёлка", "елка"),
        ("Ώρα", "ωρα"),
        ("Øre Łódź Œuvre İstanbul", "ore lodz oeuvre istanbul"),
        ("x\u0301\u0302y", "xy"),
    ],
)
def test_accents_are_no_difference(one: str, other: str):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("が", "か"),
        ("パ", "ハ"),
        ("й", "и"),
        ("ї", "і"),
        ("가", "ㄱ"),
        ("น้ำ", "นำ"),
        ("कि", "क"),
        ("שׁ", "ש"),
        ("ñandu", "mandu"),
    ],
)
def test_marks_that_make_another_letter_stay(one: str, other: str):
    assert normalise(one) != normalise(other)


def test_an_accent_does_not_move_what_is_marked():
    assert tokens.locate(["Œuvre", "Crème"]).lines[1:-1] == (0,) * 7 + (1,) * 5
    assert parse("creme").lines(["Œuvre", "Crème", "x"]) == [1]


def test_normalising_twice_changes_nothing():
    changed = [
        character
        for code in (*range(0x30000), *range(0xE0000, 0xE0200))
        if normalise(once := normalise(character := chr(code))) != once
    ]
    assert changed == []


def test_a_piece_of_a_text_is_a_piece_of_its_normal_form():
    text = "乾隆皇帝的後宮，臺灣麵條 ＡＢＣ 頭髮發財 國際機場"
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            assert normalise(text[start:end]) in normalise(text)


def test_clean_takes_only_what_postgresql_cannot_store():
    assert clean("a\x00b\ud800c\udfff") == "abc"
    kept = "\x01\t\n發票 𠮷 🎉 \u200b Ａ"
    assert clean(kept) == kept
    clean(kept).encode()


# N-grams


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("，。！ _", []),
        ("发票 NO.123", ["发票no", "123"]),
        ("发票NO123", ["发票no123"]),
        ("上海\n测试 公司", ["上海测试公司"]),  # lines wrap, and Chinese has no spaces
        ("two words", ["two", "words"]),
        ("价格 88\n元", ["价格88元"]),  # nor around a number, where some put it and OCR sees it
        ("甲・ ・乙", ["甲", "乙"]),
        ("゛゛ ・ 甲", ["甲"]),
        ("snake_case", ["snake", "case"]),
        ("𠮷野家", ["𠮷野家"]),
    ],
)
def test_runs(text: str, expected: list[str]):
    assert tokens.runs(text) == expected


def test_a_document_has_every_pair_and_where_it_is():
    assert tokens.document(["发票，12"]).ngrams == (
        "'发' '票' '1' '2' ' 发':1A '发票':2A '票 ':3A ' 1':4A '12':5A,7D '2 ':6A"
    )
    assert tokens.document(["哈哈哈"]).ngrams == "'哈' ' 哈':1A '哈哈':2A,3A '哈 ':4A"
    assert tokens.document([]).ngrams == tokens.document(["", "，"]).ngrams == ""


def test_large_lines_weigh_more():
    document = tokens.document(["，甲，", "x", "，丙"], heights=[0.01, 0.1, 0.03], marks=[" mark"]).ngrams
    assert document == "'甲' 'x':5D '丙' ' 甲':1C '甲 ':2C ' x':3A 'x ':4A ' 丙':5B '丙 ':6B ' mark'"


def test_whole_words_are_those_of_other_scripts():
    words = re.findall(r"'(\w+)':\d+D", tokens.document(["发票No123号 cafe"]).ngrams)
    assert words == ["no123", "cafe"]


def test_a_hyphenated_word_is_found_whole_and_in_pieces():
    assert (
        tokens.locate(["a well-", "known informa-", "tion"]).text == " a well known informa tion wellknown information "
    )
    assert tokens.locate(["1-", "2"]).text == " 1 2 "


def test_a_text_too_long_for_a_tsvector_says_so():
    long = tokens.document(["".join(chr(0x4E00 + number % 20000) for number in range(30000))])
    positions = [int(place) for place in re.findall(r":(\d+)A", long.ngrams)]
    assert max(positions) == 16383
    assert long.overflow is not None
    assert len(long.overflow) == 30002
    assert len(tokens.document(["长" * 100_000]).overflow or "") == 50_000  # and one space
    assert tokens.document(["哈" * 255]).overflow is None
    assert tokens.document(["哈" * 257]).overflow is not None


def test_no_character_breaks_out_of_its_quotes():
    everything = " ".join(chr(code) for code in range(sys.maxunicode + 1))
    assert not {"'", "\\"} & set("".join(tokens.runs(everything)))
