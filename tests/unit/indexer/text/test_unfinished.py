"""The word at the end of a search."""

import pytest

from indexer.text.fields import ALBUM, PERSON, PLACE
from indexer.text.unfinished import Unfinished, unfinished


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("发", Unfinished("", "发")),
        ("发票 上", Unfinished("发票 ", "上")),
        ("發票 -餐", Unfinished("發票 -", "餐")),
        ("person:张", Unfinished("", "张", (PERSON,))),
        ("票 人物：", Unfinished("票 ", "", (PERSON,))),
        ('a place:"New Y', Unfinished("a ", "new y", (PLACE,))),
        ("-album:春", Unfinished("-", "春", (ALBUM,))),
        ("ocr:发", Unfinished("ocr:", "发", ())),
        ("OCR：发票 开", Unfinished("OCR:发票 ", "开", ())),
        ("票 ocr:开", Unfinished("票 ocr:", "开", ())),
        ("x:上", Unfinished("", "x 上")),
        ('"增值', Unfinished("", "增值")),
        ('"增值税" 专', Unfinished('"增值税" ', "专")),
        ("dog OR ca", Unfinished("dog OR ", "ca")),
        ("发票 ", None),
        ("", None),
        ('"发票"', None),
        ("date:20", None),
        ("type:vi", None),
    ],
)
def test_the_last_word(text: str, last: Unfinished | None):
    assert unfinished(text) == last
