"""Published weight files: their paths here, their addresses, and whether the files here are the published ones."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from indexer.errors import WeightsError

HUGGING_FACE = "https://huggingface.co"
MIRROR = "https://hf-mirror.com"
MODELSCOPE = "https://www.modelscope.cn"

Kind = Literal["huggingface", "modelscope"]
Use = Literal["clip", "faces"]


@dataclass(frozen=True)
class Source:
    """A host of published files. `kind`: the form of its addresses. `host`: their beginning."""

    kind: Kind
    host: str

    @classmethod
    def all(cls, first: Kind = "huggingface", hf_endpoint: str = "", modelscope_endpoint: str = "") -> "list[Source]":
        """The hosts, in the order to ask: the `first` kind first, a host from the settings before the known ones."""
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
        path: where it is, or will be, on this machine.
        size: in bytes.
        sha256: in hexadecimal.
        addresses: where it can be downloaded, in the order to ask. All have exactly the same bytes.
    """

    path: Path
    size: int
    sha256: str
    addresses: tuple[str, ...]

    @property
    def part(self) -> Path:
        """The file for what has arrived, until it is complete."""
        return self.path.with_name(self.path.name + ".part")

    def is_genuine(self) -> bool:
        """Whether the file here is the published one (seconds per gigabyte). False where there is no file."""
        try:
            return self.path.stat().st_size == self.size and sha256_of(self.path) == self.sha256
        except OSError:
            return False


class Repository(Protocol):
    """Published files of which is not known yet which there are."""

    @property
    def name(self) -> str:
        """OWNER/NAME, as at Hugging Face."""

    @property
    def folder(self) -> Path:
        """Where its files are, or will be, on this machine."""

    def known(self) -> "ModelFiles | None":
        """Its files, if somebody has asked for them meanwhile, or has put them there."""

    def ask(self) -> "ModelFiles":
        """Ask a host for them, and write them down. Blocks. Raises WeightsError: no host tells."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model: published ones, and (for a model of your own) files that only a person can provide.

    `repository`: where to ask which published files there are, as long as that is not known.
    """

    use: Use
    model: str
    files: tuple[PublishedFile, ...] = ()
    own: tuple[Path, ...] = ()
    repository: Repository | None = None

    @property
    def size(self) -> int:
        """Bytes of the published files. 0 where they are not known."""
        return sum(file.size for file in self.files)

    @property
    def is_published(self) -> bool:
        """Whether it can be downloaded."""
        return bool(self.files) or self.repository is not None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The published files on this machine, or a file in their folder where they are not known."""
        unknown = () if self.repository is None else (self.repository.folder / "config.json",)
        return (*(file.path for file in self.files), *unknown)


@dataclass(frozen=True)
class Report:
    """The result of a check: the file's size and digest, and the right digest (None: not a published file)."""

    path: Path
    size: int
    sha256: str
    expected: str | None

    @property
    def genuine(self) -> bool:
        """Whether the file is the published one. Also True where there is none to compare with."""
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
