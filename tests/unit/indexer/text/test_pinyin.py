"""Pinyin as people type it, and how lexemes sound; names of places in Latin letters."""

import pytest

from indexer.text import pinyin, places
from indexer.text.parser import parse
from indexer.text.places import latin
from indexer.text.query import parse as query
from indexer.text.spoken import Heard, keys, known, understand
from tests.support import countries


@pytest.mark.parametrize(
    ("typed", "first", "count"),
    [
        *(
            (typed, "fa piao", 3)
            for typed in ("fapiao", "FaPiao", "fāpiào", "fa1piao4", "fa'piao", "fa’piao", "fa-piao")
        ),
        *((typed, "nv er", 1) for typed in ("nver", "nüer", "nǚ'ér", "nu:er", "nv3er2", "nu:3er2")),
        *(("lüe", "lve", 2), ("lue", "lve", 2), ("jv", "ju", 1), ("xian", "xian", 2), ("fangan", "fang an", 2)),
        *(("xi'an", "xi an", 1), ("e", "e", 1), ("ma", "ma", 1), ("er2", "er", 1)),
    ],
)
def test_how_a_word_is_cut_into_syllables(typed: str, first: str, count: int):
    ways = [pinyin.key(way) for way in pinyin.spellings(typed)]
    assert (ways[0], len(ways)) == (first, count)


@pytest.mark.parametrize(
    "typed",
    ["invoice", "iphone15", "12", "", "f", "'fa", "fa'", "fa--piao", "发票", "fa.piao", "fa12", "a" * 61, "ng", "й"],
)
def test_what_is_no_pinyin(typed: str):
    assert pinyin.spellings(typed) == ()


def test_a_word_with_very_many_ways_ends():
    assert len(pinyin.spellings("xian" * 15)) == 16
    assert pinyin.spellings("xian" * 14 + "xq") == ()


@pytest.mark.parametrize(
    ("typed", "letters"), [("zzs", "zzs"), ("FP", "fp"), ("f", ""), ("viu", ""), ("z2", ""), ("abcdefghj", "")]
)
def test_initials(typed: str, letters: str):
    assert pinyin.initials(typed) == letters


@pytest.mark.parametrize(
    ("lexeme", "some", "others"),
    [
        ("发票", {"fa piao"}, {"f.p", "fa"}),
        ("重庆", {"chong qing", "zhong qing"}, set()),
        ("干隆", {"qian long", "gan long"}, set()),  # 乾隆
        (" +火锅", {"huo guo"}, {"h.g"}),
        (" -张三", {"zhang san", "z.s"}, {"zhang"}),
        (" -猫", {"mao"}, {"m"}),
        ("增值税", {"z.z.s"}, {"zeng zhi shui", "zeng zhi"}),
    ],
)
def test_how_lexemes_sound(lexeme: str, some: set[str], others: set[str]):
    found = set(pinyin.sounds(lexeme))
    assert some <= found
    assert not others & found


@pytest.mark.parametrize("lexeme", ["猫", " +猫", "ab", "a发", " o12345678", " =2024年", "ひら", " 32/600"])
def test_what_has_no_sound(lexeme: str):
    assert pinyin.sounds(lexeme) == []


def test_what_a_question_may_be():
    """Single syllables are read together with their neighbours, other words need not be."""

    def ways(text: str) -> list[list[list[str]]]:
        said = understand(parse(text)).ways
        return [[[term.typed for term in clause.terms] for clause in way.clauses] for way in said]

    assert ways("fapiao") == [[["fapiao", "fapiao"]]]
    assert ways("fa piao") == [[["fa piao"]], [["fa", "fa"], ["piao", "piao"]]]
    assert ways("shanghai fapiao") == [[["shanghai", "shanghai"], ["fapiao", "fapiao"]]]
    assert ways("张三 fapiao -haha") == [[["张三"], ["fapiao", "fapiao"], ["haha"]]]
    assert ways("ma ma")[0] == [["ma ma"]]
    assert ways('"fapiao"') == ways("发票") == ways("invoice 12") == []
    assert len(ways("wo men de jia ting he xue xiao")) == 64
    assert 0 < len(ways("xian " * 40)) <= len(ways("a e o " * 30)) == 64, "and it ends"


def test_what_the_library_does_not_have_is_not_asked_for():
    spoken = understand(parse("fapiao zhangsan"))
    assert {"fa piao", "zhang san"} <= keys(spoken)
    assert not known(spoken, {})
    some = known(spoken, {("", "fa piao"): ["发票", "法票"]})
    [way] = some.ways
    assert [type(term) is Heard for clause in way.clauses for term in clause.terms] == [False, True, False]
    assert some.sieve(None).count("法票") == 1
    assert way.lines(["电子", "法票"]) == []
    assert some.lines(["电子", "法票"]) == [1]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *(("上海", "shanghai"), ("上海市", "shanghai"), ("西安", "xi an"), ("西安", "xian"), ("澳门", "macao")),
        *(
            ("乌鲁木齐市", "urumqi"),
            ("景德镇", "jingdezhen"),
            ("吕梁", "luliang"),
            ("日本", "japan"),
            ("义大利", "italy"),
        ),
    ],
)
def test_places(name: str, form: str):
    assert f" {form} " in latin(name)


def test_what_is_no_place():
    assert latin("沪") == latin("shanghai") == latin("上海x") == latin("一二三四五六七") == ()


def test_the_table_of_countries_is_what_immich_has():
    if not countries.PACKAGE.is_dir():
        pytest.skip("npm ci has not run")
    assert countries.FILE.read_text(encoding="utf-8") == countries.table()


def test_all_names_of_places_can_be_found():
    for chinese, names in places._names().items():
        assert query(chinese).phrases
        assert all(names)
