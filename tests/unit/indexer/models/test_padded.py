"""Inputs padded to few widths."""

from types import SimpleNamespace

import numpy as np
import pytest

from indexer.models.padded import Padded


@pytest.mark.parametrize(("width", "padded"), [(1, 16), (15, 16), (16, 16), (17, 32)])
def test_inputs_are_padded_with_their_last_column(width, padded):
    asked = []

    def run(names, feed):
        asked.append((names, feed))
        return ["answered"]

    session = Padded(SimpleNamespace(run=run, get_inputs=lambda: ["x"], get_outputs=lambda: ["y"]), 16)
    line = np.random.default_rng(width).standard_normal((1, 3, 4, width), dtype=np.float32)
    assert session.run(["y"], {"x": line}) == ["answered"]
    [(names, feed)] = asked
    assert names == ["y"]
    assert feed["x"].shape == (1, 3, 4, padded)
    np.testing.assert_array_equal(feed["x"][..., :width], line)
    assert (feed["x"][..., width:] == line[..., -1:]).all()
    assert (session.get_inputs(), session.get_outputs()) == (["x"], ["y"])
