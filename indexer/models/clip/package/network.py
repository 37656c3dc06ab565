"""The network of a package's tower, in ONNX: what it takes, and the vectors that it gives, whatever computes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from indexer.errors import WeightsError
from indexer.models.clip.maker import EQUAL, Vector
from indexer.models.clip.unit import unit
from indexer.models.engines.messages import lacks_memory

Rows = Mapping[str, npt.NDArray[Any]]
"""Arrays for the inputs of those names, each with as many rows."""

_TYPES: dict[str, Any] = {
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


class Session(Protocol):
    """What computes: as a session of ONNX Runtime."""

    def run(self, output_names: Sequence[str] | None, input_feed: Rows) -> Sequence[Any]:
        """Its outputs."""


@dataclass(frozen=True)
class Input:
    """An input of a network: the type as ONNX Runtime calls it, and the size of each axis. No number: any size."""

    type: str
    shape: tuple[int | str | None, ...]


class Network:
    """A network whose inputs all have the batch as their first axis. Its first output are vectors.

    Attributes:
        path: its file in the package, for messages.
        inputs: by their names.
        batch: the only size of a batch that it takes, None where it takes any.
    """

    def __init__(self, path: Path, session: Session, inputs: Mapping[str, Input], batch: int | None) -> None:
        self.path = path
        self.inputs = dict(inputs)
        self.batch = batch
        self._session = session

    def size(self, name: str, axis: int) -> int | None:
        """The size of an input's axis. None where it may be any."""
        shape = self.inputs[name].shape
        size = shape[axis] if axis < len(shape) else None
        return size if isinstance(size, int) else None

    def check(self, names: Sequence[str], axes: Mapping[str, Mapping[int, int]]) -> None:
        """Raise WeightsError unless it has exactly inputs of these `names`, of types and sizes that we can give."""
        if set(self.inputs) != set(names):
            raise WeightsError(f"{self.path} takes {', '.join(self.inputs)}, where {' and '.join(names)} is expected")
        for name, node in self.inputs.items():
            if node.type not in _TYPES:
                raise WeightsError(f"{self.path} takes {name} as {node.type}, which no package of Immich's does")
            for axis, wanted in axes[name].items():
                if self.size(name, axis) not in (None, wanted):
                    raise WeightsError(
                        f"{self.path} takes {name} of shape {list(node.shape)}, but its configuration says {wanted} "
                        f"for axis {axis}"
                    )

    def __call__(self, rows: Rows) -> Vector:
        """Vectors of length 1, (n, dimensions) float32, for arrays of n rows each. n may be any number but 0."""
        count = len(next(iter(rows.values())))
        step = self.batch or count
        parts = [
            self._run({name: values[start : start + step] for name, values in rows.items()})
            for start in range(0, count, step)
        ]
        vectors = np.concatenate(parts)[:count].astype(np.float32, copy=False)
        return unit(vectors, str(self.path))

    def try_batch(self, rows: Rows) -> int:
        """Take one row at a time from now on, unless all `rows` together give the vectors of each alone.

        Immich's server sends single rows, so a package may name a free axis and yet be made for one. Returns the width
        of the vectors.
        """
        count = len(next(iter(rows.values())))
        apart = [self({name: values[number : number + 1] for name, values in rows.items()}) for number in range(count)]
        if self.batch is None:
            try:
                alike = np.sum(self(rows) * np.concatenate(apart), axis=1)
            except Exception as error:
                if lacks_memory(error):
                    raise
                alike = np.zeros(count)
            if alike.min() < EQUAL:
                self.batch = 1
        return len(apart[0][0])

    def _run(self, rows: Rows) -> npt.NDArray[Any]:
        feed = {}
        for name, values in rows.items():
            typed = values.astype(_TYPES[self.inputs[name].type], copy=False)
            lacking = (self.batch or 0) - len(typed)
            if lacking > 0:  # a batch of a fixed size is filled up; what comes of it is cut off
                typed = np.concatenate([typed, np.repeat(typed[-1:], lacking, axis=0)])
            feed[name] = typed
        output: npt.NDArray[Any] = self._session.run(None, feed)[0]
        if output.ndim != 2 or len(output) != len(typed):
            shape = " x ".join(map(str, output.shape))
            raise WeightsError(f"{self.path} gives {shape} numbers, where a vector of each input is expected")
        return output
