"""A network on a GPU: its inputs are padded to few shapes, because to plan for a shape takes long there."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]
Run = Callable[[Array], Sequence[Array]]
"""From an input of one shape to the outputs."""

KEPT = 16
"""Shapes of one network for which a plan is kept: more than the photos of a library usually have."""


class FixedShapes:
    """A network with a plan for each of the shapes used last.

    It must have one input, and outputs whose first dimension is the batch. Outputs of four dimensions are maps as large
    as the input. What padding adds to outputs is cut off. One thread does all runs: the GPU does one after the other
    anyway, and each thread takes memory of its own there.

    Args:
        shape: from the shape of an input to the shape that it is padded to, with zeros. No dimension may be smaller,
            except the first, the batch: a longer batch is run in parts.
        plan: makes the plan for a shape.
        make_room: frees memory of the GPU. It is called when a run has failed, and no plan is kept any more.
    """

    def __init__(
        self, shape: Callable[[Shape], Shape], plan: Callable[[Shape], Run], make_room: Callable[[], None]
    ) -> None:
        self._shape = shape
        self._plan = plan
        self._make_room = make_room
        self._runs: dict[Shape, Run] = {}  # the one used last is at the end
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpu")

    def __call__(self, values: Array) -> list[Array]:
        """The outputs. May be called from any thread."""
        shape = self._shape(values.shape)
        parts = [self._part(shape, values[start : start + shape[0]]) for start in range(0, len(values), shape[0])]
        return parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _part(self, shape: Shape, values: Array) -> list[Array]:
        padded = np.zeros(shape, dtype=values.dtype)
        padded[tuple(slice(length) for length in values.shape)] = values
        outputs = self._thread.submit(self._run, shape, padded).result()
        rows, *_, height, width = values.shape
        return [output[:rows, :, :height, :width] if output.ndim == 4 else output[:rows] for output in outputs]

    def _run(self, shape: Shape, padded: Array) -> Sequence[Array]:
        try:
            return self._planned(shape)(padded)
        except Exception:  # probably no memory: other plans hold it, or another model
            self._runs.clear()
            self._make_room()
            return self._planned(shape)(padded)

    def _planned(self, shape: Shape) -> Run:
        run = self._runs.pop(shape) if shape in self._runs else self._plan(shape)
        self._runs[shape] = run
        if len(self._runs) > KEPT:
            del self._runs[next(iter(self._runs))]
        return run
