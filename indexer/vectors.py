"""The one form in which vectors go into Immich's column, and in which Immich's questions are answered."""

import numpy as np
import numpy.typing as npt


def halved(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`vector` rounded to half precision, as our own table keeps it; float32 again."""
    return vector.astype(np.float16).astype(np.float32)


def as_column(vector: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    """`vector` as a column of `width` dimensions holds it: in half precision, filled up with zeros.

    Raises:
        ValueError: the vector is wider than the column.
    """
    if len(vector) > width:
        raise ValueError(f"a vector of {len(vector)} dimensions does not fit into {width}")
    column = np.zeros(width, dtype=np.float32)
    column[: len(vector)] = halved(vector)
    return column
