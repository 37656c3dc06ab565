import random
import re

import pytest

from indexer.text import similar
from indexer.text.query import Query


def variants(phrase: str) -> re.Pattern[str]:
    """One character replaced, missing or too many: what it is, written out."""
    written = []
    for at in range(len(phrase)):
        head, rest, tail = (re.escape(part) for part in (phrase[:at], phrase[at:], phrase[at + 1 :]))
        written += [f"{head}.?{tail}", f"{head}.{rest}"]
    return re.compile("|".join(written))


def test_it_is_what_all_variants_find():
    choose = random.Random(1)
    for _ in range(3000):
        phrase = "".join(choose.choices("ab发", k=choose.randint(4, 8)))
        text = "".join(choose.choices("ab发 ", k=choose.randint(0, 16)))
        pattern = variants(phrase)
        assert similar.says(phrase, text) == bool(pattern.search(text)), (phrase, text)
        for start, end in similar.spans(phrase, text):
            assert pattern.fullmatch(text[start:end]), (phrase, text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("专用发票", ["专用发票"]),
        ("x专甲发票x", ["专甲发票"]),
        ("专用甲发票", ["专用甲发票"]),
        ("用发票", ["用发票"]),
        ("专用发票专用发要", ["专用发票", "专用发要"]),
        ("专票", []),
    ],
)
def test_where_it_is(text, found):
    assert [text[start:end] for start, end in similar.spans("专用发票", text)] == found


class Read(str):
    """Counts the characters that are taken out of it."""

    taken = 0

    def __getitem__(self, key):
        Read.taken += len(range(*key.indices(len(self)))) if isinstance(key, slice) else 1
        return str.__getitem__(self, key)


@pytest.mark.parametrize("text", ["a" * 20_000, ("a" * 99 + "bb") * 200, "a" * 100 + "c" * 20_000])
def test_the_work_grows_with_the_text_alone(text):
    for phrase in ("a" * 200, "a" * 100 + "b" * 100):
        Read.taken = 0
        list(similar.spans(phrase, Read(text)))
        assert Read.taken <= 10 * len(text)


def test_only_so_much_is_read():
    query = Query(("专用发票",))
    page = "甲" * 600_000 + "\n"
    assert query.forgiven(["专甲发票", page, page, "专甲发票"]) == [True, False, False, False]
