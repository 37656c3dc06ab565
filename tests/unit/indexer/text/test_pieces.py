"""The pieces by which texts are compared."""

import pytest

from indexer.text.pieces import pieces_of


@pytest.mark.parametrize(
    ("lines", "pieces"),
    [
        (["增值税专用发票"], ["增值税", "值税专", "税专用", "专用发", "用发票"]),
        (["發票 No 62580417", "发票"], ["发票", "62580417"]),
        (["Total: 88.00 EUR, total"], ["total", "eur"]),
        (["共 5 元"], []),
        (["", "，。"], []),
    ],
)
def test_pieces(lines: list[str], pieces: list[str]):
    assert pieces_of(lines, 10) == pieces


def test_of_a_long_text_they_are_from_everywhere():
    lines = [f"word{number}" for number in range(100)]
    pieces = pieces_of(lines, 10)
    assert pieces == [f"word{number}" for number in range(0, 100, 10)]
    assert len(pieces_of(lines[:15], 10)) == len(set(pieces_of(lines[:15], 10))) == 10
