"""Words that texts contain, from their beginnings."""

import pytest

from indexer.text.completion import complete

INVOICES = [
    "增值税专用发票\n发票代码 011002100411",
    "电子发票\n发票号码 62580417",
    "發票號碼 8\nInvoice INV2024",
    "收据",
]


@pytest.mark.parametrize(
    ("form", "texts", "words"),
    [
        ("发", INVOICES, ["发票", "发票号码", "发票代码"]),
        ("发票", INVOICES, ["发票号码", "发票代码"]),
        ("inv", INVOICES, ["INV2024", "Invoice"]),
        ("62", INVOICES, ["62580417"]),
        ("580417", INVOICES, []),  # the end of a number is no word
        ("voice", INVOICES, []),
        ("税", ["含税价", "税"], ["税价"]),
        ("发票", ["发票"], []),
        ("cafe", ["Café Central", "CAFÉTERIA 1", "cafeteria"], ["CAFÉTERIA"]),
        ("a b", ["a bc"], []),
        ("", ["x"], []),
        ("一", ["一二三四五六七八九十"], []),  # a sentence of one photo alone is no word
        ("一", ["一二三四五六七八九十", "一二三四五六七八九十"], ["一二三四五六七"]),
        ("ss", ["Straße", "SSD"], ["SSD"]),
        ("wide", ["Ｗｉｄｅｒ"], ["Ｗｉｄｅｒ"]),
    ],
)
def test_words_are_completed(form: str, texts: list[str], words: list[str]):
    assert complete(form, texts) == words


def test_a_text_counts_once():
    assert complete("发", ["发票\n发票\n发票", "发现", "发现"]) == ["发现", "发票"]


def test_it_is_spelled_as_in_most_texts():
    assert complete("tot", ["TOTAL", "Total", "Total 5"]) == ["Total"]
