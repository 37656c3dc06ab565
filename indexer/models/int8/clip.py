"""An image tower of CLIP in int8."""

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexer.models.clip.maker import Vector
from indexer.models.clip.unit import unit
from indexer.models.int8.record import Record, network, usable
from indexer.models.pixels import Cropped, Preparation, Squeezed
from indexer.models.runtimes import concurrency
from indexer.models.runtimes.openvino import OpenVinoSession

LEAST_COSINE = 0.995
LEAST_KEPT = 0.95
PART = "image"
_PREPARATIONS: dict[str, Any] = {"squeezed": Squeezed, "cropped": Cropped}


@dataclass(frozen=True)
class ClipRecord(Record):
    """What was measured of a CLIP model's image tower.

    Attributes:
        cosine: of its vectors and those in fp32, the mean.
        kept: the part of the ten photos nearest to a text that are among the ten nearest in fp32, the mean.
        dimensions: the width of its vectors.
        preparation: its `Preparation`: the `kind`, and its arguments.
    """

    cosine: float
    kept: float
    dimensions: int
    preparation: dict[str, Any]

    @property
    def likeness(self) -> str:
        """How much its results are like those without int8."""
        return f"cosine {self.cosine:.4f}, {self.kept:.0%} of the nearest stay"

    @property
    def difference(self) -> str:
        """Why its results differ too much: a sentence. Empty if they do not."""
        if self.cosine < LEAST_COSINE:
            return f"its vectors would differ (cosine {self.cosine:.4f}, at least {LEAST_COSINE} is asked for)"
        if self.kept < LEAST_KEPT:
            return f"of the photos nearest to a text only {self.kept:.0%} would stay (asked for are {LEAST_KEPT:.0%})"
        return ""


def described(preparation: Preparation) -> dict[str, Any]:
    """A preparation as the record keeps it. Raises ValueError: it is of no kind that we know."""
    for kind, made in _PREPARATIONS.items():
        if isinstance(preparation, made):
            arguments: dict[str, Any] = json.loads(json.dumps(asdict(preparation)))  # tuples become lists
            return {"kind": kind, **arguments}
    raise ValueError(f"{preparation!r} cannot be kept")


class Int8Images:
    """The image tower: an `ImageTower`, as it was measured."""

    def __init__(self, record: ClipRecord, root: Path, *, threads: int) -> None:
        self.name = record.name
        self.dimensions = record.dimensions
        arguments = dict(record.preparation)
        self.preparation: Preparation = _PREPARATIONS[arguments.pop("kind")](**arguments)
        calls, each = concurrency.of(threads)
        self._calls = threading.Semaphore(calls)
        self._session = OpenVinoSession(network(record.name, PART, root), callers=calls, threads=each)
        [self._source] = self._session.get_inputs()

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        with self._calls:
            # One at a time: in int8 pictures more at once save no time, and some networks take only one.
            rows = [self._session.run(None, {self._source.name: one[None]})[0] for one in prepared]
        return unit(np.concatenate(rows).astype(np.float32, copy=False), self.name)


def opened(name: str, root: Path, *, threads: int) -> tuple[Int8Images | None, str]:
    """The tower in int8, or None and why not."""
    record, why = usable(ClipRecord, name, root)
    return Int8Images(record, root, threads=threads) if record else None, why
