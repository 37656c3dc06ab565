"""The weight files that a model needs, and what is there of them now."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from indexer.errors import words_of
from indexer.models import face_weights, weights
from indexer.models.published import Kind, PublishedFile, Source, megabytes
from indexer.settings import Settings

Use = Literal["clip", "faces"]
Signature = tuple[int, int, int]
"""Number, size and time of a file: another one, another file."""


@dataclass(frozen=True)
class ModelFiles:
    """What one model needs: published files, and (a model of one's own) files that only a person can put there."""

    use: Use
    model: str
    files: tuple[PublishedFile, ...] = ()
    own: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the published ones."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class DownloadState:
    """How it stands with the weights of one model.

    Attributes:
        use: what the model is for.
        model: its name.
        missing: what is missing, in a sentence that stays the same while it is fetched; empty where all is there.
        arrived: bytes that are there.
        size: bytes of all of it; 0 where it is not known, as of a model of one's own.
        host: who delivers now; empty where nobody does.
        trouble: why it cannot be had for now.
        next_try: when all sources are asked again.
    """

    use: Use
    model: str
    missing: str = ""
    arrived: int = 0
    size: int = 0
    host: str = ""
    trouble: str = ""
    next_try: datetime | None = None

    @property
    def as_json(self) -> dict[str, object]:
        """For those who show it."""
        at = None if self.next_try is None else self.next_try.isoformat(timespec="seconds")
        return asdict(self) | {"next_try": at}

    @property
    def sentence(self) -> str:
        """All of it, for a person."""
        if not self.missing:
            return f"the weights of {self.model} are there"
        said = [self.missing]
        if self.size and (self.arrived or self.host):
            share = f"{100 * self.arrived // self.size} % of {megabytes(self.size)}"
            said.append(f"{share} fetched" + (f", now from {self.host}" if self.host else ""))
        if self.trouble:
            at = "" if self.next_try is None else f" (next try at {self.next_try.astimezone():%H:%M:%S})"
            said.append(f"{self.trouble}{at}")
        return "; ".join(said)


class LocalFiles:
    """What is there of one model's files; reads a file only where it is another one than before."""

    def __init__(self, wanted: ModelFiles) -> None:
        self._wanted = wanted
        self._genuine: dict[Path, Signature] = {}
        self._wrong: dict[Path, Signature] = {}

    def lacking(self) -> str:
        """What is missing, in a sentence; empty where nothing is. Takes seconds per gigabyte of what is new."""
        wanted = self._wanted
        if absent := [path for path in wanted.own if _signature(path) is None]:
            names = " and ".join(str(path) for path in absent)
            return f"the model {wanted.model} is not there yet: put {names} there; it is then taken up by itself"
        lacking = []
        for file in wanted.files:
            signature = _signature(file.path)
            if signature is None:
                lacking.append(f"{file.path} ({file.size} bytes) {_why_not(file.path)}")
            elif not self.has(file):
                if self._wrong.get(file.path) != signature and file.is_genuine():
                    self._genuine[file.path] = signature
                    continue
                self._wrong[file.path] = signature
                unread = not os.access(file.path, os.R_OK)
                why = "may not be read by us" if unread else "is damaged or not what was published"
                lacking.append(f"{file.path} {why}")
        return f"the weights of {wanted.model} are not there yet: {' and '.join(lacking)}" if lacking else ""

    def has(self, file: PublishedFile) -> bool:
        """Whether it was found to be genuine, and is still the same."""
        signature = _signature(file.path)
        return signature is not None and self._genuine.get(file.path) == signature

    def arrived(self, file: PublishedFile) -> int:
        """Bytes of it that are there, a wrong file left out."""
        if self.has(file):
            return file.size
        part = _signature(file.part)
        return 0 if part is None else min(part[1], file.size)

    @property
    def all_arrived(self) -> int:
        """Bytes of all its files."""
        return sum(self.arrived(file) for file in self._wanted.files)


def state_of(wanted: ModelFiles) -> DownloadState:
    """How it stands with that now, for who neither fetches nor waits."""
    local = LocalFiles(wanted)
    missing = local.lacking()
    return replace(DownloadState(wanted.use, wanted.model, missing, size=wanted.size), arrived=local.all_arrived)


def all_files(settings: Settings) -> list[ModelFiles]:
    """What the settings ask for; a face model where no other server is named, and InsightFace is here.

    Raises:
        WeightsError: a model is unknown.
    """
    found = [clip_files(settings, settings.clip_model)] if "clip" in settings.tasks else []
    if not settings.ml_urls and importlib.util.find_spec("insightface") is not None:
        found.append(face_files(settings))
    return found


def clip_files(settings: Settings, model: str) -> ModelFiles:
    """What that CLIP model needs. Raises WeightsError: it is unknown."""
    if model.endswith(".pt"):
        path = Path(model)
        return ModelFiles("clip", path.stem, own=(path, path.with_suffix(".json")))
    return ModelFiles("clip", model, (weights.published(model, settings.clip_download_root, _sources(settings)),))


def face_files(settings: Settings) -> ModelFiles:
    """What FACE_MODEL needs. Raises WeightsError: it is unknown."""
    model = settings.face_model
    return ModelFiles("faces", model, face_weights.published(model, settings.face_download_root, _sources(settings)))


def _sources(settings: Settings) -> Sequence[Source]:
    first: Kind = "modelscope" if settings.weights_source == "modelscope" else "huggingface"
    return Source.all(first, settings.hf_endpoint, settings.modelscope_endpoint)


def _why_not(path: Path) -> str:
    """Why a file cannot be looked at: its folder may belong to somebody else."""
    trouble = _trouble(path)
    if trouble is None or isinstance(trouble, FileNotFoundError):
        return "is missing"
    return f"cannot be looked at: {words_of(trouble)}"


def is_closed(wanted: ModelFiles) -> bool:
    """Whether its folder exists and may not be looked into: then no file comes by itself."""
    return any(not isinstance(error, FileNotFoundError) for file in wanted.files if (error := _trouble(file.path)))


def _trouble(path: Path) -> OSError | None:
    try:
        path.stat()
    except OSError as error:
        return error
    return None


def _signature(path: Path) -> Signature | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)
