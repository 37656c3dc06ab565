"""Packages in Immich's layout as a kind of CLIP model: a folder, a name of Immich's, OWNER/NAME of Hugging Face."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import WeightsError
from indexer.models.clip.maker import Identity, Precision, Tower
from indexer.models.clip.package import runtimes
from indexer.models.clip.package.immich_names import DIMENSIONS
from indexer.models.clip.package.layout import MODEL, NAMED, Package
from indexer.models.clip.package.repository import RECORD, HubRepository
from indexer.models.engines.messages import Opened
from indexer.models.files.published import HUGGING_FACE, ModelFiles, Source
from indexer.models.runtimes.device import choose_device

_IMMICH = "immich-app"  # where Immich publishes its packages
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_BESIDE_WEIGHTS = 1 << 30  # bytes of GPU memory for CUDA and a batch of pictures


@dataclass(frozen=True)
class Packages:
    """A `Maker`."""

    def makes(self, model: str) -> bool:
        """Whether it is a path, one of Immich's names, or OWNER/NAME."""
        return _is_folder(model) or model in DIMENSIONS or _REPOSITORY.fullmatch(model) is not None

    def files(self, model: str, root: Path, sources: Sequence[Source]) -> ModelFiles:
        """The published files; a person's own for a folder; or whom to ask which there are."""
        folder = _folder(model, root)
        if _is_folder(model):
            return ModelFiles("clip", folder.name, own=tuple(folder / name for name in NAMED))
        repository = HubRepository(_repository(model), folder, tuple(sources))
        return repository.known() or ModelFiles("clip", repository.name, repository=repository)

    def name(self, model: str, root: Path) -> str | None:
        """Not known before all files were read: `identify` does."""
        return None

    def dimensions(self, model: str, root: Path) -> int | None:
        """From the package's configuration if it is there, otherwise from Immich's table."""
        try:
            found = Package(_folder(model, root)).dimensions
        except WeightsError:
            found = None
        return found or DIMENSIONS.get(model.removeprefix(f"{_IMMICH}/"))

    def identify(self, model: str, root: Path) -> Identity:
        """By the contents of all its files."""
        package, name = _checked(self.files(model, root, ()), model, root)
        return Identity(name, package.folder, package.note, runtimes.told(name, package.label, root))

    def memory(self, model: str, root: Path, tower: Tower) -> int:
        """The size of its files."""
        try:
            return Package(_folder(model, root)).size(tower)
        except WeightsError:
            return 0

    def open(self, tower: Tower, model: str, root: Path, *, device: str, precision: Precision, threads: int) -> Opened:
        """One ONNX model, in the number format that it was made in; in bf16 if `precision` says so and it can.

        On a processor OpenVINO computes it where it gives the same vectors faster: see `runtimes`.
        """
        from indexer.models.clip.package.towers import PackageImages, PackageTexts

        package, name = _checked(self.files(model, root, ()), model, root)
        where, note = choose_device(device, package.size(tower) + _BESIDE_WEIGHTS)
        if where == "cuda":
            from indexer.models.runtimes.onnx import gpu_trouble

            if trouble := gpu_trouble(package.file(tower, MODEL)):
                where, note = "cpu", trouble
        kind = PackageImages if tower == "image" else PackageTexts
        return Opened(kind(package, name, device=where, threads=threads, precision=precision, root=root), where, note)


def _checked(files: ModelFiles, model: str, root: Path) -> tuple[Package, str]:
    """The package on this machine and its name, compared with what was written down of it.

    Raises:
        WeightsError: it is missing, or is not what was fetched first.
    """
    package = Package(_folder(model, root))
    if files.repository is not None:
        raise WeightsError(
            f"the weights of {files.model} are missing: {package.folder}\n"
            f"`immich-indexer run` downloads them; to watch it:  immich-indexer models fetch {model}\n"
            f"or offline:  download {HUGGING_FACE}/{files.model} and put its files into that folder"
        )
    for file in files.files:
        if not file.is_genuine():
            raise WeightsError(
                f"{file.path} is missing, damaged or not what {package.folder / RECORD} says; it is downloaded again "
                f"automatically, or with `immich-indexer models fetch {model}`. To take a newer revision, delete that "
                "folder"
            )
    return package, package.name({file.path: file.sha256 for file in files.files})


def _is_folder(model: str) -> bool:
    """Whether it is a path. A relative one looks like OWNER/NAME, unless it begins with a dot or exists."""
    return model.startswith(("/", "./", "../", "~")) or ("/" in model and Path(model).is_dir())


def _repository(model: str) -> str:
    return model if "/" in model else f"{_IMMICH}/{model}"


def _folder(model: str, root: Path) -> Path:
    return Path(model).expanduser() if _is_folder(model) else root / _repository(model)
