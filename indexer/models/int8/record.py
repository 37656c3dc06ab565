"""What was measured of a model in int8, and where its networks are.

The files are in the folder `int8` below CLIP_DOWNLOAD_ROOT: each network as OpenVINO reads it, and one record. `make`
writes them.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from indexer.models.files.json_object import read_object
from indexer.models.files.published import sha256_of
from indexer.models.runtimes import processor

FORMAT = 3  # raised when other files are written than before
MOST_OF_TIME = 0.9
"""With more than this part of the time that the model takes otherwise it is not worth it."""

_LABEL = 60  # characters of a model's name in the names of its files


@dataclass(frozen=True)
class Record(ABC):
    """What was measured, on photos that the model was not calibrated on.

    Attributes:
        name: the model.
        photos: how many were compared.
        time: seconds of a photo, as a part of what the model takes without int8.
        digests: SHA-256 of the weights of each network, by its part.
    """

    name: str
    photos: int
    time: float
    digests: Mapping[str, str]

    @property
    @abstractmethod
    def likeness(self) -> str:
        """How much its results are like those without int8."""

    @property
    @abstractmethod
    def difference(self) -> str:
        """Why its results differ too much: a sentence. Empty if they do not."""

    @property
    def refused(self) -> str:
        """Why it is not used: a sentence. Empty if it is."""
        if self.difference:
            return self.difference
        return f"it would take {self.time:.0%} of the time here" if self.time > MOST_OF_TIME else ""

    @property
    def sentence(self) -> str:
        """All of it, for a person."""
        measured = f"compared on {self.photos} photos: {self.likeness}, {self.time:.0%} of the time"
        return f"not used: {self.refused}; {measured}" if self.refused else f"used; {measured}"


R = TypeVar("R", bound=Record)


def network(name: str, part: str, root: Path) -> Path:
    """Where a network of that model is: an .xml file, with its weights in a .bin beside."""
    place = _place(name, root)
    return place.with_name(f"{place.stem}-{part}.xml")


def read(kind: type[R], name: str, root: Path) -> R | None:
    """What was measured of that model, on this processor. None where nothing was, or the files are not whole."""
    with suppress(Exception):  # whatever is wrong with the files: they are made again
        stored = read_object(_place(name, root), "")
        here = stored.pop("processor") == processor.described()
        if stored.pop("format") == FORMAT and here and stored["name"] == name:
            record = kind(**stored)
            if record.refused or record.digests == digests(name, record.digests, root):
                return record
    return None


def usable(kind: type[R], name: str, root: Path) -> tuple[R | None, str]:
    """The record of that model, if the model may be used. Otherwise None, and why not."""
    record = read(kind, name, root)
    if record is None:
        return None, "it was not measured here yet"
    return (None, record.refused) if record.refused else (record, "")


def digests(name: str, parts: Mapping[str, object] | tuple[str, ...], root: Path) -> dict[str, str]:
    """SHA-256 of the weights of that model's networks. Raises OSError: one is missing."""
    return {part: sha256_of(network(name, part, root).with_suffix(".bin")) for part in parts}


def write(record: Record, root: Path) -> None:
    """Store what was measured. It is written last: where it is, the networks are."""
    place = _place(record.name, root)
    part = place.with_suffix(".part")
    stored = {"format": FORMAT, "processor": processor.described(), **asdict(record)}
    part.write_text(json.dumps(stored, indent=2), encoding="utf-8")
    part.replace(place)


def discard(record: Record, root: Path) -> None:
    """Delete the networks of a model that is refused. What was measured is kept."""
    for part in record.digests:
        for suffix in (".xml", ".bin"):
            network(record.name, part, root).with_suffix(suffix).unlink(missing_ok=True)


def _place(name: str, root: Path) -> Path:
    label = "".join(letter if letter.isalnum() else "-" for letter in name)[:_LABEL]
    return root / "int8" / f"{label}-{hashlib.sha256(name.encode()).hexdigest()[:12]}.json"
