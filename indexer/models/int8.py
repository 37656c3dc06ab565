"""An image tower in int8, for processors: quantised on a person's own pictures, and used only if it is nearly the same.

The files are in the folder `int8` below CLIP_DOWNLOAD_ROOT: the network as OpenVINO reads it, and a record of what was
measured. `int8_make` writes them.
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexer.models import concurrency
from indexer.models.json_object import read_object
from indexer.models.maker import Vector
from indexer.models.openvino import OpenVinoSession
from indexer.models.pixels import Cropped, Preparation, Squeezed
from indexer.models.published import sha256_of
from indexer.models.unit import unit

FORMAT = 1  # raised when other files are written than before
LEAST_COSINE = 0.995
LEAST_KEPT = 0.95
MOST_OF_TIME = 0.9
"""With more than this part of the time that the model takes otherwise it is not worth it."""

NEIGHBOURS = 10
_PREPARATIONS: dict[str, Any] = {"squeezed": Squeezed, "cropped": Cropped}


@dataclass(frozen=True)
class Record:
    """What was measured of a model in int8, on photos that it was not calibrated on.

    Attributes:
        name: the model.
        photos: how many were compared.
        cosine: of its vectors and those in fp32, the mean.
        kept: the part of the ten photos nearest to a text that are among the ten nearest in fp32, the mean.
        time: seconds of a photo, as a part of what the model takes without int8.
        dimensions: the width of its vectors.
        preparation: the kind of its `Preparation`, and its arguments.
        digest: SHA-256 of the weights that were written.
    """

    name: str
    photos: int
    cosine: float
    kept: float
    time: float
    dimensions: int
    preparation: tuple[str, dict[str, Any]]
    digest: str

    @property
    def refused(self) -> str:
        """Why it is not used: a sentence. Empty if it is."""
        if self.cosine < LEAST_COSINE:
            return f"its vectors would differ (cosine {self.cosine:.4f}, at least {LEAST_COSINE} is asked for)"
        if self.kept < LEAST_KEPT:
            return f"of the photos nearest to a text only {self.kept:.0%} would stay (asked for are {LEAST_KEPT:.0%})"
        if self.time > MOST_OF_TIME:
            return f"it would take {self.time:.0%} of the time here"
        return ""

    @property
    def sentence(self) -> str:
        """All of it, for a person."""
        measured = (
            f"compared on {self.photos} photos: cosine {self.cosine:.4f}, {self.kept:.0%} of the nearest stay, "
            f"{self.time:.0%} of the time"
        )
        return f"not used: {self.refused}; {measured}" if self.refused else f"used; {measured}"


def place(name: str, root: Path) -> Path:
    """Where the network of that model is: an .xml file, with its weights in a .bin and the record in a .json beside."""
    label = "".join(letter if letter.isalnum() else "-" for letter in name)
    return root / "int8" / f"{label}-{hashlib.sha256(name.encode()).hexdigest()[:12]}.xml"


def read(name: str, root: Path) -> Record | None:
    """What was measured of that model. None where nothing was, or the files are not whole."""
    path = place(name, root)
    with suppress(Exception):  # whatever is wrong with the files: they are made again
        stored = read_object(path.with_suffix(".json"), "")
        if stored.pop("format") == FORMAT and stored["name"] == name:
            kind, arguments = stored.pop("preparation")
            record = Record(**stored, preparation=(kind, arguments))
            if record.refused or sha256_of(path.with_suffix(".bin")) == record.digest:
                return record
    return None


def told(name: str, root: Path) -> str:
    """What `doctor` says of it, after a name."""
    record = read(name, root)
    return f"; int8: {record.sentence if record else 'not measured yet'}"


def write(record: Record, root: Path) -> None:
    """Store what was measured. It is written last: where it is, the network is."""
    path = place(record.name, root).with_suffix(".json")
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"format": FORMAT, **asdict(record)}, indent=2), encoding="utf-8")
    part.replace(path)


def discard(name: str, root: Path) -> None:
    """Delete the network of a model that is refused. What was measured is kept."""
    for suffix in (".xml", ".bin"):
        place(name, root).with_suffix(suffix).unlink(missing_ok=True)


def described(preparation: Preparation) -> tuple[str, dict[str, Any]]:
    """A preparation as the record keeps it. Raises ValueError: it is of no kind that we know."""
    for kind, made in _PREPARATIONS.items():
        if isinstance(preparation, made):
            arguments: dict[str, Any] = json.loads(json.dumps(asdict(preparation)))  # tuples become lists
            return kind, arguments
    raise ValueError(f"{preparation!r} cannot be kept")


class Int8Images:
    """The image tower: an `ImageTower`, as it was measured."""

    def __init__(self, record: Record, path: Path, *, threads: int) -> None:
        self.name = record.name
        self.dimensions = record.dimensions
        kind, arguments = record.preparation
        self.preparation: Preparation = _PREPARATIONS[kind](**arguments)
        calls, each = concurrency.of(threads)
        self._calls = threading.Semaphore(calls)
        self._session = OpenVinoSession(path, callers=calls, threads=each)
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
    record = read(name, root)
    if record is None:
        return None, "it was not measured here yet"
    if record.refused:
        return None, record.refused
    return Int8Images(record, place(name, root), threads=threads), ""
