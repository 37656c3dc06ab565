"""A weight file that somebody published: where it lies here, where it can be had, and whether what lies there is it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from indexer.errors import WeightsError

HUGGING_FACE = "https://huggingface.co"
MIRROR = "https://hf-mirror.com"
MODELSCOPE = "https://www.modelscope.cn"

Kind = Literal["huggingface", "modelscope"]


@dataclass(frozen=True)
class Source:
    """A host that has published files: `kind` says how its addresses look, `host` begins them."""

    kind: Kind
    host: str

    @classmethod
    def all(cls, first: Kind = "huggingface", hf_endpoint: str = "", modelscope_endpoint: str = "") -> "list[Source]":
        """Those to ask in turn: of the `first` kind first, and a host that somebody has named before the known ones."""
        hosts: dict[Kind, list[str]] = {
            "huggingface": [hf_endpoint, HUGGING_FACE, MIRROR],
            "modelscope": [modelscope_endpoint, MODELSCOPE],
        }
        kinds = sorted(hosts, key=lambda kind: kind != first)
        named = [cls(kind, host.rstrip("/")) for kind in kinds for host in hosts[kind] if host]
        return list(dict.fromkeys(named))


@dataclass(frozen=True)
class PublishedFile:
    """One file.

    Attributes:
        path: where it lies here, or is to lie.
        size: in bytes.
        sha256: in hexadecimal.
        addresses: where it can be had, to be asked in this order: all have the very same bytes.
    """

    path: Path
    size: int
    sha256: str
    addresses: tuple[str, ...]

    @property
    def part(self) -> Path:
        """Where what has arrived of it is kept until it is whole."""
        return self.path.with_name(self.path.name + ".part")

    def is_genuine(self) -> bool:
        """Whether what lies there is what was published (seconds per gigabyte); False where nothing lies there."""
        try:
            return self.path.stat().st_size == self.size and sha256_of(self.path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class Report:
    """What a check found: the file's size and digest, and the digest it should have (None: not a published file)."""

    path: Path
    size: int
    sha256: str
    expected: str | None

    @property
    def genuine(self) -> bool:
        """Whether the file is what was published; True too where nothing is known of it."""
        return self.expected in (None, self.sha256)

    def __str__(self) -> str:
        said = "as it should be" if self.genuine else f"damaged or not what was published, expected {self.expected}"
        return f"{self.path}: SHA-256 {self.sha256}, {said}"


def report(path: Path, expected: str | None) -> Report:
    """Read the whole file (seconds per gigabyte).

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return Report(path, path.stat().st_size, sha256_of(path), expected)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def megabytes(size: int) -> str:
    """A size for a person."""
    return f"{size / 1e6:.0f} MB"
