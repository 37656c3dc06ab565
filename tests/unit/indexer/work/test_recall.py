"""R@10 and its interval, against what one computes by hand."""

import numpy as np
import pytest

from indexer.work import recall

PHOTOS = np.eye(12, dtype=np.float32)
RANKING = np.linspace(1, 0.1, 12, dtype=np.float32)[None]  # the photos in their order


@pytest.mark.parametrize(
    ("fitting", "expected"),
    [
        ({0}, 1),
        ({9}, 1),
        ({10}, 0),
        ({0, 11}, 1 / 2),
        ({8, 9, 10, 11}, 2 / 4),
        (set(range(12)), 1),  # ten of ten that can be among the first ten
        (set(range(1, 12)), 9 / 10),
    ],
)
def test_recall_is_the_share_among_the_first_ten(fitting, expected):
    assert recall.recalls(RANKING, PHOTOS, [frozenset(fitting)]).tolist() == [expected]


def test_a_difference_by_chance_has_a_zero_in_its_interval():
    chance = np.random.default_rng(1)
    noise = chance.choice([-1.0, 0.0, 1.0], 200)
    low, high = recall.interval(noise - noise.mean())
    assert low < 0 < high
    low, high = recall.interval(noise - noise.mean() + 0.4)
    assert 0.2 < low < 0.4 < high < 0.6
    assert (low, high) == recall.interval(noise - noise.mean() + 0.4), "the same each time"
    spread = noise.std() / np.sqrt(200)
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_one_question_that_differs_proves_nothing():
    differences = np.zeros(100)
    differences[0] = 1
    assert recall.interval(differences)[0] == 0
