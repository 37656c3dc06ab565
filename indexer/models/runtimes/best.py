"""The likeliest class of each row of a network's output, instead of the whole output."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Best:
    """The likeliest class of each row of an output (n, rows, classes), found where the output is.

    It answers what RapidOCR asks of the output itself: `argmax` and `max` over the last axis. The output of a
    recogniser is up to 190 MB for 16 lines.
    """

    places: npt.NDArray[np.int64]
    values: Array

    @classmethod
    def of(cls, output: Array) -> "Best":
        """The likeliest classes of `output`, (n, rows, classes). Nothing of it is kept."""
        places = output.argmax(axis=-1)
        return cls(places, np.take_along_axis(output, places[..., None], axis=-1)[..., 0])

    def argmax(self, axis: int) -> npt.NDArray[np.int64]:
        """(n, rows). Raises ValueError: another axis than the last is asked for."""
        _check_last(axis, self.places)
        return self.places

    def max(self, axis: int) -> Array:
        """As `argmax`."""
        _check_last(axis, self.places)
        return self.values


def _check_last(axis: int, found: npt.NDArray[Any]) -> None:
    if axis not in (-1, found.ndim):
        raise ValueError("only the last axis is known")
