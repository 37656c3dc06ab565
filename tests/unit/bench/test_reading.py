"""The reading benchmark's verdict: lines paired, and chance ruled out."""

import numpy as np
import pytest

from bench.reading import Comparison
from bench.reading_pictures import Sample
from bench.reading_texts import lines


def compared(*pictures: tuple[list[str], list[str], list[str]]) -> Comparison:
    """Of (written, ours, the other's) for each picture."""
    comparison = Comparison()
    for written, ours, others in pictures:
        comparison.add(Sample(b"", written), ours, others)
    return comparison


def test_lines_are_paired_and_a_line_misread_is_a_false_one():
    comparison = compared((["出口", "入口", "茶"], ["出口", "八口"], ["入口", "出口"]), (["茶"], ["茶"], ["荼", "茶"]))
    assert comparison.figures() == {
        **{"written": 4, "exact": [2, 3], "only": [0, 1], "p": 1.0},
        **{"false": [1, 1], "more_false": [1, 1], "false_p": 1.0},
    }


def test_a_line_written_twice_has_to_be_read_twice():
    assert compared((["酒", "酒"], ["酒"], ["酒", "酒"])).only == [0, 1]


@pytest.mark.parametrize(("lost", "worse"), [(5, False), (6, True)])
def test_worse_is_what_chance_does_not_explain(lost, worse):
    # (1/2)^5 is 0.03 a side, 0.06 for both; (1/2)^6 half of that
    assert compared(*lost * [(["茶"], [], ["茶"])]).worse is worse
    assert compared(*lost * [([], ["口"], [])]).worse is worse
    assert not compared(*lost * [(["茶"], ["茶"], [])]).worse


def test_one_picture_full_of_false_lines_is_one_accident():
    assert not compared(([], ["口"] * 20, [])).worse


def test_pictures_do_not_repeat_a_few_sentences():
    written = [line for number in range(20) for line in lines(np.random.default_rng(number), 6)]
    assert len(set(written)) > 100
    assert len(set("".join(written))) > 250
