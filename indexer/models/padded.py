"""A network on a processor whose inputs are padded to few widths, because to plan for a width takes long."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class Padded:
    """A session, as of ONNX Runtime, whose inputs are padded.

    The last axis becomes a multiple of `step`. What is added is its last value.
    """

    def __init__(self, session: Any, step: int) -> None:
        self._session = session
        self._step = step
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """The outputs, as of that session."""
        padded = {name: self._padded(values) for name, values in input_feed.items()}
        outputs: list[Any] = self._session.run(output_names, padded)
        return outputs

    def _padded(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        lacking = -values.shape[-1] % self._step
        return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, lacking)], mode="edge") if lacking else values
