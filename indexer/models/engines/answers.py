"""Checks of what a model returns: the right number of results, of the right size, and finite."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from indexer.errors import ModelError
from indexer.models.results import Line


def check_vectors(vectors: npt.NDArray[np.float32], count: int, dimensions: int | None) -> None:
    """Raise ModelError unless there are `count` vectors of `dimensions`, all finite. PostgreSQL refuses others."""
    if np.shape(vectors) != (count, dimensions):
        found = " x ".join(map(str, np.shape(vectors)))
        raise ModelError(f"the CLIP model answered with {found} numbers, where {count} x {dimensions} are right")
    if not np.isfinite(vectors).all():
        raise ModelError("the CLIP model answered with values that are not finite numbers")


def check_lines(read: Sequence[Sequence[Line]], count: int) -> None:
    """Raise ModelError unless there are lines for `count` pictures, all with finite corners."""
    if len(read) != count:
        raise ModelError(f"the OCR engine answered for {len(read)} pictures, where {count} are right")
    numbers = [(*line.corners, line.box_score, line.text_score) for lines in read for line in lines]
    if not np.isfinite(numbers).all():
        raise ModelError("the OCR engine answered with values that are not finite numbers")
