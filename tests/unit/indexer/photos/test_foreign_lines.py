"""Which of two recognisers' lines stay, where one cannot write the other's letters."""

import pytest

from indexer.photos.foreign_lines import is_foreign, merge
from indexer.photos.lines import StoredLine

ALPHABET = frozenset("abcxyzABCMy0123456789发票合计é，.")


def line(text: str, top: float = 0.1, score: float = 0.95, left: float = 0.1, right: float = 0.9) -> StoredLine:
    corners = (left, top, right, top, right, top + 0.05, left, top + 0.05)
    return StoredLine(text, corners, 0.9, score)


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("发票 12.50", False),
        ("чек", True),
        ("합계 12", True),
        ("é", False),
        ("ＡＢ１２", False),
        ("№ ★ 12", False),
        ("", False),
    ],
)
def test_letters_that_are_not_in_the_alphabet(text, foreign):
    assert is_foreign(text, ALPHABET) is foreign


def test_what_only_they_can_read_stays_beside_ours():
    ours, theirs = [line("发票", 0.1)], [line("发票", 0.1), line("12", 0.5), line("чек", 0.8)]
    assert merge(ours, theirs, [], ALPHABET) == [line("发票", 0.1), line("чек", 0.8)]


def test_where_both_read_the_same_place_the_likelier_reading_stays():
    theirs = [line("합계 12", 0.1), line("АВС", 0.5, score=0.9)]
    ours = [line("12", 0.1, score=0.99, left=0.7), line("ABC", 0.5, score=0.98)]
    assert merge(ours, theirs, [], ALPHABET) == [line("ABC", 0.5, score=0.98), line("합계 12", 0.1)]


def test_what_immich_has_now_counts_before_what_we_kept_of_it():
    stored = [line("abc", 0.1), line("чек", 0.5)]
    assert merge(stored, [line("12", 0.3)], stored, ALPHABET) == [line("abc", 0.1)], "it read the photo anew"
    assert merge(stored, [], stored, ALPHABET) == stored, "it emptied its table"
    assert merge([line("abc", 0.1)], [], stored, ALPHABET) == stored, "and we read the photo anew"


def test_lines_that_two_jobs_of_immichs_doubled_stay_once():
    assert merge([], [line("чек"), line("чек"), line("касса")], [], ALPHABET) == [line("чек"), line("касса")]
