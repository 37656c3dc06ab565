"""The face models' weight files: where they lie, where they come from, and whether they are genuine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import WeightsError
from indexer.models.weights import HUGGING_FACE, Progress, Report, download, sha256_of


@dataclass(frozen=True)
class FaceFile:
    """One published file: its name here, its path in huggingface.co/immich-app/<model>, size in bytes and SHA-256."""

    name: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FaceFiles:
    """The two networks of one model: one finds faces, one tells them apart."""

    detection: FaceFile
    recognition: FaceFile

    def __iter__(self) -> Iterator[FaceFile]:
        return iter((self.detection, self.recognition))


# Immich's own copy of InsightFace's pack of the same name (release v0.7), under InsightFace's file names: a pack that
# InsightFace has unpacked in its own folder is found there.
FILES = {
    "buffalo_l": FaceFiles(
        FaceFile(
            "det_10g.onnx",
            "detection/model.onnx",
            16923827,
            "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
        ),
        FaceFile(
            "w600k_r50.onnx",
            "recognition/model.onnx",
            174383860,
            "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        ),
    ),
}


_RELEASE = "https://github.com/deepinsight/insightface/releases/download/v0.7"


def files_of(model: str) -> FaceFiles:
    """The published files of a model name.

    Raises:
        WeightsError: no such model.
    """
    try:
        return FILES[model]
    except KeyError:
        raise WeightsError(f"unknown FACE_MODEL {model!r}: use {' or '.join(FILES)}") from None


def find(model: str, download_root: Path) -> tuple[Path, Path]:
    """The model's files in `download_root`/<model>: for detection, for recognition.

    Raises:
        WeightsError: one is not there; the text says which file to put where, and which command fetches it.
    """
    files = files_of(model)
    for file in files:
        path = download_root / model / file.name
        if not path.is_file():
            raise WeightsError(
                f"weights of the face model {model} are missing: {path}\n"
                f"fetch them:  immich-indexer models fetch --faces   (HF_ENDPOINT=... names a mirror of Hugging Face)\n"
                f"or offline:  download {address(model, file)}\n"
                f"             and put the file ({file.size} bytes) there, or unpack InsightFace's own\n"
                f"             {_RELEASE}/{model}.zip in {path.parent}\n"
                "or let Immich's own server see to faces: IMMICH_ML_URL=http://immich-machine-learning:3003"
            )
    return download_root / model / files.detection.name, download_root / model / files.recognition.name


def check(model: str, download_root: Path) -> list[Report]:
    """Read both files and compare them with what was published.

    Raises:
        WeightsError: one is not there or cannot be read.
    """
    find(model, download_root)
    return [_report(download_root / model / file.name, file) for file in files_of(model)]


def address(model: str, file: FaceFile, host: str | None = None) -> str:
    """The download address, at Hugging Face or at the mirror `host`."""
    return f"{host or HUGGING_FACE}/immich-app/{model}/resolve/main/{file.path}"


def fetch(model: str, download_root: Path, progress: Progress | None = None, host: str | None = None) -> list[Path]:
    """Download what is missing or not genuine into `download_root`/<model>; see `weights.fetch`.

    Raises:
        WeightsError: as `weights.fetch`.
    """
    paths = []
    for file in files_of(model):
        path = download_root / model / file.name
        if not (path.is_file() and _report(path, file).genuine):
            download(address(model, file, host), path, file.size, file.sha256, progress)
        paths.append(path)
    return paths


def _report(path: Path, file: FaceFile) -> Report:
    try:
        return Report(path, path.stat().st_size, sha256_of(path), file.sha256)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
