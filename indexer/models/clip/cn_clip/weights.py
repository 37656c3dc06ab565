"""The five published Chinese-CLIP weight files: where they are, where they come from, and whether they are genuine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import WeightsError
from indexer.models.files.published import PublishedFile, Report, Source, report


@dataclass(frozen=True)
class WeightFile:
    """One published file.

    Attributes:
        repository: of Hugging Face and ModelScope.
        name: of the file.
        size: in bytes.
        sha256: as Hugging Face publishes it with the file.
        shape: of the model: names of two files in cn_clip's `model_configs`, vision and text.
    """

    repository: str
    name: str
    size: int
    sha256: str
    shape: tuple[str, str]


# Each file was uploaded once (9 November 2022) and has not changed. Size and digest are those of its Git LFS pointer in
# huggingface.co/OFA-Sys/<repository>. The keys, file names and shapes are cn_clip's.
FILES = {
    "ViT-B-16": WeightFile(
        "chinese-clip-vit-base-patch16",
        "clip_cn_vit-b-16.pt",
        753196934,
        "5997ef32c50de18f3ac06eb5d746c324a639053c3bed8f2986f97ebb22b2ecde",
        ("ViT-B-16", "RoBERTa-wwm-ext-base-chinese"),
    ),
    "ViT-L-14": WeightFile(
        "chinese-clip-vit-large-patch14",
        "clip_cn_vit-l-14.pt",
        1625135766,
        "26a0d4ac248fcea33e8c1e32c22a80def0fe9b1770b429129dfcc04bcd978d28",
        ("ViT-L-14", "RoBERTa-wwm-ext-base-chinese"),
    ),
    "ViT-L-14-336": WeightFile(
        "chinese-clip-vit-large-patch14-336px",
        "clip_cn_vit-l-14-336.pt",
        1626446358,
        "53b9a3141f14b2e87366b0857ce78ac1c4c99e028d4d3d832ca8107deae0775b",
        ("ViT-L-14-336", "RoBERTa-wwm-ext-base-chinese"),
    ),
    "ViT-H-14": WeightFile(
        "chinese-clip-vit-huge-patch14",
        "clip_cn_vit-h-14.pt",
        3830716726,
        "4549b1a9775db38806dfa398e8e97be4e27299b84b71250d8d2ef0472e708aee",
        ("ViT-H-14", "RoBERTa-wwm-ext-large-chinese"),
    ),
    "RN50": WeightFile(
        "chinese-clip-rn50",
        "clip_cn_rn50.pt",
        308316425,
        "b196ee3ee528b70be1158ab1aafb1d2f1c801ad2d9ffb3bae31b0d305f82fc88",
        ("RN50", "RBT3-chinese"),
    ),
}


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


def published(model: str, download_root: Path, sources: Sequence[Source] = ()) -> PublishedFile:
    """The model's file in `download_root`, with its addresses at `sources`.

    Raises:
        WeightsError: no such model.
    """
    file = file_of(model)
    addresses = tuple(address(file, source) for source in sources)
    return PublishedFile(download_root / file.name, file.size, file.sha256, addresses)


def find(model: str, download_root: Path) -> Path:
    """The model's file in `download_root`.

    Raises:
        WeightsError: it is missing. The text says which file to put where, and which command downloads it.
    """
    file = published(model, download_root, Source.all())
    if not file.path.is_file():
        first, *_, last = file.addresses
        raise WeightsError(
            f"the weights of {model} are missing: {file.path}\n"
            f"`immich-indexer run` downloads them; to watch it:  immich-indexer models fetch {model}\n"
            f"or offline:  download {first}\n"
            f"             or {last}\n"
            f"             and put the file ({file.size} bytes) at {file.path}"
        )
    return file.path


def check(path: Path) -> Report:
    """Read the whole file and compare it with the one published under its name (seconds per gigabyte).

    Raises:
        WeightsError: it cannot be read.
    """
    return report(path, next((file.sha256 for file in FILES.values() if file.name == path.name), None))


def address(file: WeightFile, source: Source) -> str:
    """The file's address at `source`."""
    if source.kind == "huggingface":
        return f"{source.host}/OFA-Sys/{file.repository}/resolve/main/{file.name}"
    return f"{source.host}/models/AI-ModelScope/{file.repository}/resolve/master/{file.name}"
