"""The weight files of the face models: where they are, where they come from, and whether they are genuine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import WeightsError
from indexer.models.files.published import PublishedFile, Report, Source, report


@dataclass(frozen=True)
class FaceFile:
    """One published file: its name here, its path in huggingface.co/immich-app/<model>, size in bytes and SHA-256."""

    name: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FaceFiles:
    """The two networks of one model: one detects faces, one recognises them."""

    detection: FaceFile
    recognition: FaceFile

    def __iter__(self) -> Iterator[FaceFile]:
        return iter((self.detection, self.recognition))


# Immich's copy of InsightFace's pack of the same name (release v0.7), with InsightFace's file names. So a pack that
# InsightFace has unpacked into its own folder is found there.
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


def published(model: str, download_root: Path, sources: Sequence[Source] = ()) -> tuple[PublishedFile, ...]:
    """The model's files in `download_root`/<model>, with their addresses at those of `sources` that have them.

    Raises:
        WeightsError: no such model.
    """
    hosts = [source.host for source in sources if source.kind == "huggingface"]
    return tuple(
        PublishedFile(
            download_root / model / file.name,
            file.size,
            file.sha256,
            tuple(f"{host}/immich-app/{model}/resolve/main/{file.path}" for host in hosts),
        )
        for file in files_of(model)
    )


def find(model: str, download_root: Path) -> tuple[Path, Path]:
    """The model's files in `download_root`/<model>: for detection, for recognition.

    Raises:
        WeightsError: a file is missing. The text says which file to put where, and which command downloads it.
    """
    detection, recognition = published(model, download_root, Source.all())
    for file in (detection, recognition):
        if not file.path.is_file():
            raise WeightsError(
                f"weights of the face model {model} are missing: {file.path}\n"
                "`immich-indexer run` downloads them where IMMICH_ML_URL names no server; to watch it:\n"
                "             immich-indexer models fetch --faces   (HF_ENDPOINT=... names a mirror of Hugging Face)\n"
                f"or offline:  download {file.addresses[0]}\n"
                f"             and put the file ({file.size} bytes) there, or unpack InsightFace's own\n"
                f"             {_RELEASE}/{model}.zip in {file.path.parent}\n"
                "or let Immich's own server find faces: IMMICH_ML_URL=http://immich-machine-learning:3003"
            )
    return detection.path, recognition.path


def missing(model: str, download_root: Path) -> str:
    """What is missing of the model, in a sentence; empty where nothing is. Raises WeightsError: no such model."""
    files_of(model)
    try:
        find(model, download_root)
    except WeightsError as error:
        return str(error)
    return ""


def check(model: str, download_root: Path) -> list[Report]:
    """Read both files and compare them with the published digests.

    Raises:
        WeightsError: a file is missing or cannot be read.
    """
    find(model, download_root)
    return [report(file.path, file.sha256) for file in published(model, download_root)]
