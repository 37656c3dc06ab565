"""Vectors as texts: what pgvector reads has to be the same number, to the last bit."""

import numpy as np
import pytest

from indexer.photos.vectors import as_column, literal


@pytest.mark.parametrize("width", [512, 1024, 1536])
def test_each_number_is_read_as_it_was(width):
    vector = np.random.default_rng(3).normal(size=512).astype(np.float32)
    column = as_column(vector / np.linalg.norm(vector), width, "增值税发票 No.123")
    read = np.array(literal(column)[1:-1].split(","), dtype=np.float64).astype(np.float32)
    assert read.tobytes() == column.tobytes()


def test_numbers_of_any_size():
    column = np.array([0, 1, -1, 65504, 65520, 1e-8, 3e38, -6e-8, 0.1, np.nan, np.inf], dtype=np.float32)
    read = np.array(literal(column)[1:-1].split(","), dtype=np.float64).astype(np.float32)
    assert read.tobytes() == column.tobytes()
