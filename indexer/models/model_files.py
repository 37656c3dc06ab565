"""The weight files that a model needs, and which of them are present."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from indexer.errors import words_of
from indexer.models.clip.makers import maker_of
from indexer.models.faces import weights as face_weights
from indexer.models.files.published import Kind, ModelFiles, PublishedFile, Source, Use, megabytes
from indexer.settings import Settings

Signature = tuple[int, int, int]
"""Number, size and time of a file: if they differ, the file is another one."""


@dataclass(frozen=True)
class DownloadState:
    """The state of one model's weights.

    Attributes:
        use: what the model is for.
        model: its name.
        missing: what is missing, in a sentence that stays the same during the download. Empty where nothing is.
        arrived: bytes that are present.
        size: bytes of all files. 0 where it is not known, as for a model of your own.
        host: the host that is delivering now. Empty where none is.
        trouble: why it cannot be downloaded at the moment.
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
        """For the API and the console."""
        at = None if self.next_try is None else self.next_try.isoformat(timespec="seconds")
        return asdict(self) | {"next_try": at}

    @property
    def sentence(self) -> str:
        """The whole state as a sentence for a person."""
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
    """The files of one model on this machine. A file is read again only when it has changed."""

    def __init__(self, wanted: ModelFiles) -> None:
        self._wanted = wanted
        self._genuine: dict[Path, Signature] = {}
        self._wrong: dict[Path, Signature] = {}

    def lacking(self) -> str:
        """What is missing, in a sentence. Empty where nothing. Takes seconds per gigabyte of new files."""
        wanted = self._wanted
        if absent := [path for path in wanted.own if _signature(path) is None]:
            names = " and ".join(str(path) for path in absent)
            return f"the model {wanted.model} is not there yet: put {names} there; it is then taken up by itself"
        if wanted.repository is not None:
            return (
                f"the weights of {wanted.model} are not there yet: {wanted.repository.folder} is missing, and which "
                f"files belong there, {wanted.repository.name} of Hugging Face has not told yet"
            )
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
        """Whether the file was found to be genuine and has not changed since."""
        signature = _signature(file.path)
        return signature is not None and self._genuine.get(file.path) == signature

    def arrived(self, file: PublishedFile) -> int:
        """Bytes of the file that are present. A wrong file counts as 0."""
        if self.has(file):
            return file.size
        part = _signature(file.part)
        return 0 if part is None else min(part[1], file.size)

    @property
    def all_arrived(self) -> int:
        """Bytes of all its files that are present."""
        return sum(self.arrived(file) for file in self._wanted.files)


def state_of(wanted: ModelFiles) -> DownloadState:
    """The present state of these files, for code that neither downloads nor waits."""
    local = LocalFiles(wanted)
    missing = local.lacking()
    return replace(DownloadState(wanted.use, wanted.model, missing, size=wanted.size), arrived=local.all_arrived)


def all_files(settings: Settings) -> list[ModelFiles]:
    """The files for these settings. Those of a face model only without other server, and if InsightFace is installed.

    Raises:
        WeightsError: a model is unknown.
    """
    found = [clip_files(settings, settings.clip_model)] if "clip" in settings.tasks else []
    if not settings.ml_urls and importlib.util.find_spec("insightface") is not None:
        found.append(face_files(settings))
    return found


def clip_files(settings: Settings, model: str) -> ModelFiles:
    """The files of that CLIP model. Raises WeightsError: it is unknown."""
    return maker_of(model).files(model, settings.clip_download_root, _sources(settings))


def face_files(settings: Settings) -> ModelFiles:
    """The files of FACE_MODEL. Raises WeightsError: it is unknown."""
    model = settings.face_model
    return ModelFiles("faces", model, face_weights.published(model, settings.face_download_root, _sources(settings)))


def _sources(settings: Settings) -> Sequence[Source]:
    first: Kind = "modelscope" if settings.weights_source == "modelscope" else "huggingface"
    return Source.all(first, settings.hf_endpoint, settings.modelscope_endpoint)


def _why_not(path: Path) -> str:
    """Why we cannot look at a file: its folder may belong to another user."""
    trouble = _trouble(path)
    if trouble is None or isinstance(trouble, FileNotFoundError):
        return "is missing"
    return f"cannot be looked at: {words_of(trouble)}"


def is_closed(wanted: ModelFiles) -> bool:
    """Whether its folder exists but we may not look into it. Then no file can be downloaded."""
    return any(not isinstance(error, FileNotFoundError) for path in wanted.paths if (error := _trouble(path)))


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
