"""The likeliest class of each row."""

import numpy as np
import pytest

from indexer.models.runtimes.best import Best


def test_it_answers_as_the_output_itself():
    output = np.random.default_rng(0).random((3, 5, 40), dtype=np.float32)
    best = Best.of(output)
    for axis in (2, -1):
        np.testing.assert_array_equal(best.argmax(axis=axis), output.argmax(axis=2))
        np.testing.assert_array_equal(best.max(axis=axis), output.max(axis=2))


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_only_the_last_axis_is_known(axis):
    best = Best.of(np.zeros((3, 5, 40), np.float32))
    for asked in (best.argmax, best.max):
        with pytest.raises(ValueError, match="last axis"):
            asked(axis=axis)


def test_it_keeps_nothing_of_the_output():
    output = np.random.default_rng(0).random((1, 4, 6), dtype=np.float32)
    expected = output.max(axis=2)
    best = Best.of(output)
    output[:] = 0
    np.testing.assert_array_equal(best.max(axis=2), expected)
