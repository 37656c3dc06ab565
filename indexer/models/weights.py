"""The five published Chinese-CLIP weight files: where they lie, where they come from, and whether they are genuine."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from indexer.errors import WeightsError

Source = Literal["huggingface", "modelscope"]
Progress = Callable[[int, int], None]
"""Called with the bytes present so far and the bytes of the whole file."""

HUGGING_FACE = "https://huggingface.co"
MODELSCOPE = "https://www.modelscope.cn"

_CHUNK = 1 << 20
_TIMEOUT = 60.0
"""Seconds without a byte before a connection is given up."""


@dataclass(frozen=True)
class WeightFile:
    """One published file; `size` in bytes, `sha256` as Hugging Face publishes it with the file."""

    repository: str
    name: str
    size: int
    sha256: str


# Each file was uploaded once (9 November 2022) and never changed; size and digest are those of its Git LFS pointer in
# huggingface.co/OFA-Sys/<repository>. The keys and file names are cn_clip's.
FILES = {
    "ViT-B-16": WeightFile(
        "chinese-clip-vit-base-patch16",
        "clip_cn_vit-b-16.pt",
        753196934,
        "5997ef32c50de18f3ac06eb5d746c324a639053c3bed8f2986f97ebb22b2ecde",
    ),
    "ViT-L-14": WeightFile(
        "chinese-clip-vit-large-patch14",
        "clip_cn_vit-l-14.pt",
        1625135766,
        "26a0d4ac248fcea33e8c1e32c22a80def0fe9b1770b429129dfcc04bcd978d28",
    ),
    "ViT-L-14-336": WeightFile(
        "chinese-clip-vit-large-patch14-336px",
        "clip_cn_vit-l-14-336.pt",
        1626446358,
        "53b9a3141f14b2e87366b0857ce78ac1c4c99e028d4d3d832ca8107deae0775b",
    ),
    "ViT-H-14": WeightFile(
        "chinese-clip-vit-huge-patch14",
        "clip_cn_vit-h-14.pt",
        3830716726,
        "4549b1a9775db38806dfa398e8e97be4e27299b84b71250d8d2ef0472e708aee",
    ),
    "RN50": WeightFile(
        "chinese-clip-rn50",
        "clip_cn_rn50.pt",
        308316425,
        "b196ee3ee528b70be1158ab1aafb1d2f1c801ad2d9ffb3bae31b0d305f82fc88",
    ),
}


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


def file_of(model: str) -> WeightFile:
    """The published file of a model name.

    Raises:
        WeightsError: no such model.
    """
    try:
        return FILES[model]
    except KeyError:
        raise WeightsError(
            f"unknown CLIP model {model!r}: use one of {', '.join(FILES)}, or a path to a .pt file"
        ) from None


def find(model: str, download_root: Path) -> Path:
    """The model's file in `download_root`.

    Raises:
        WeightsError: it is not there; the text says which file to put where, and which command fetches it.
    """
    file = file_of(model)
    path = download_root / file.name
    if not path.is_file():
        raise WeightsError(
            f"the weights of {model} are missing: {path}\n"
            f"fetch them:  immich-indexer models fetch {model}\n"
            f"or offline:  download {address(file, 'huggingface')}\n"
            f"             or {address(file, 'modelscope')}\n"
            f"             and put the file ({file.size} bytes) at {path}"
        )
    return path


def check(path: Path) -> Report:
    """Read the whole file and compare it with what was published under its name (seconds per gigabyte).

    Raises:
        WeightsError: it cannot be read.
    """
    expected = next((file.sha256 for file in FILES.values() if file.name == path.name), None)
    try:
        return Report(path, path.stat().st_size, sha256_of(path), expected)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def address(file: WeightFile, source: Source, host: str | None = None) -> str:
    """The download address, at that host, such as a mirror's `https://hf-mirror.com`, or at the source's own."""
    if source == "huggingface":
        return f"{host or HUGGING_FACE}/OFA-Sys/{file.repository}/resolve/main/{file.name}"
    return f"{host or MODELSCOPE}/models/AI-ModelScope/{file.repository}/resolve/master/{file.name}"


def fetch(
    model: str,
    download_root: Path,
    source: Source = "huggingface",
    progress: Progress | None = None,
    host: str | None = None,
) -> Path:
    """Download the model's file into `download_root`; nothing happens if a genuine one is there.

    `model` may be the path of a file of one's own, which only has to be there. `host` as in `address`.

    The bytes go to `<name>.part` beside it, are checked against the published digest, and only then renamed: what
    `find` returns is always whole. An interrupted download is resumed by the next call.

    Raises:
        WeightsError: the model is unknown, the server does not answer or has not the file, the connection broke, the
            disk is full, or what arrived is not what was published; or a file of one's own is not there.
    """
    if model.endswith(".pt"):
        own = Path(model)
        if not own.is_file():
            raise WeightsError(
                f"there is no file {own}: put it there, and its shape beside it as {own.with_suffix('.json').name}; "
                f"only published models can be fetched, which are {', '.join(FILES)}"
            )
        return own
    file = file_of(model)
    path = download_root / file.name
    if not (path.is_file() and check(path).genuine):
        download(address(file, source, host), path, file.size, file.sha256, progress)
    return path


def download(url: str, path: Path, size: int, sha256: str, progress: Progress | None = None) -> None:
    """Bring the file of `size` bytes and digest `sha256` to `path`, by way of `<path>.part`. Raises as `fetch`."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part, size, progress or (lambda done, total: None))
        found = sha256_of(part)
    except urllib.error.HTTPError as error:
        raise WeightsError(f"{url} answered {error.code} {error.reason}; try the other source, or a mirror") from error
    except (OSError, EOFError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(f"{url}: {reason}; what has arrived is kept in {part}, fetch again to go on") from error
    if found != sha256:
        part.unlink()
        raise WeightsError(
            f"{url} delivered another file than was published: SHA-256 {found}, expected {sha256}; it was deleted"
        )
    part.replace(path)


def _download(url: str, part: Path, size: int, progress: Progress) -> None:
    """Bring `part` to `size` bytes, going on where an earlier call stopped."""
    done = part.stat().st_size if part.is_file() else 0
    if done > size:
        part.unlink()
        done = 0
    if done == size:
        return
    headers = {"User-Agent": "immich-indexer"} | ({"Range": f"bytes={done}-"} if done else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - both hosts are named above or by the operator
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
        if response.status != 206:  # the server ignores ranges and begins at the start
            done = 0
        promised = done + int(response.headers.get("Content-Length") or size - done)
        if promised != size:  # a login page, most likely; not worth writing down
            raise WeightsError(f"{url} delivers {promised} bytes, the published file has {size}")
        with part.open("ab" if done else "wb") as output:
            while chunk := response.read(_CHUNK):
                output.write(chunk)
                done += len(chunk)
                progress(done, size)
            output.flush()
            os.fsync(output.fileno())
    if done < size:
        raise EOFError(f"the connection ended after {done} of {size} bytes")


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
