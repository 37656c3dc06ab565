"""A Chinese-CLIP checkpoint on disk: its weights and the shape of the model they belong to."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer import allocator
from indexer.errors import WeightsError, words_of
from indexer.models.clip import names
from indexer.models.clip.cn_clip import weights
from indexer.models.clip.cn_clip.shapes import Config, configuration

if TYPE_CHECKING:  # its import takes seconds: only code that computes with it should wait
    import torch


@dataclass(frozen=True)
class Checkpoint:
    """A model's file, its shape and its SHA-256. `label` is the model's name for people."""

    label: str
    path: Path
    config: Config
    sha256: str

    @property
    def name(self) -> str:
        """Identity of exactly these weights, e.g. `cn-clip ViT-B-16 5997ef32c50d`. Stored with their results.

        It ends in `(demo)` where there is a `note`. Errors as `tensors`.
        """
        return names.name_of("cn-clip", self.label, self.sha256, demo=self.note is not None)

    @cached_property
    def note(self) -> str | None:
        """A note in the file that it is no model for a library of photographs. Errors as `tensors`."""
        content, _ = self._content()
        note = content.get("note")
        return note if isinstance(note, str) else None

    def tensors(self) -> "Tensors":
        """The weights by cn_clip's parameter names.

        Raises:
            WeightsError: the file is damaged, or is not a checkpoint of cn_clip.
        """
        content, mapped = self._content()
        state = content.get("state_dict")
        if not isinstance(state, dict) or not state:
            raise WeightsError(f"{self.path} holds no 'state_dict': not a checkpoint of cn_clip")
        # Training wraps the model in DistributedDataParallel, which puts "module." before every name.
        return Tensors({name.removeprefix("module."): tensor for name, tensor in state.items()}, mapped=mapped)

    def _content(self) -> tuple[dict[str, Any], bool]:
        """What the file contains, and whether it is mapped into memory, as its format mostly allows."""
        import torch

        mapped = True
        try:
            try:
                content = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # files of torch before 1.6 are no zip archives and cannot be mapped
                content, mapped = torch.load(self.path, map_location="cpu", weights_only=True), False
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise WeightsError(f"{self.path} is damaged or no torch checkpoint: {words_of(error)}") from error
        return content if isinstance(content, dict) else {}, mapped


class Tensors(dict[str, "torch.Tensor"]):
    """The weights of a file, by their names."""

    def __init__(self, tensors: "Mapping[str, torch.Tensor]", *, mapped: bool) -> None:
        super().__init__(tensors)
        self._mapped = mapped

    def release(self, name: str) -> None:
        """Take a tensor out of memory that was read. If it is read again, it comes from the file again."""
        if self._mapped:
            tensor = self[name]
            allocator.release_mapped(tensor.data_ptr(), tensor.nbytes)


def open_checkpoint(model: str, download_root: Path | None) -> Checkpoint:
    """Find a model's file, check it, and read its shape.

    Args:
        model: one of cn_clip's names (`ViT-B-16`, ...), or the path of a `.pt` file with `{"state_dict": ...}` as
            cn_clip writes it. Then its shape is in a file beside it, of the same name but ending in `.json` (see
            `Config` for the keys).
        download_root: the folder of the named models' files.

    Raises:
        WeightsError: a file is missing, is not what was published, or its JSON cannot be used.
    """
    if model in weights.FILES:
        path = weights.find(model, download_root or Path.home() / ".cache" / "clip")  # cn_clip's own default
        label = model
    elif model.endswith(".pt"):
        path, label = Path(model), Path(model).stem
        if not path.is_file():
            raise WeightsError(f"the CLIP checkpoint {path} does not exist")
    else:
        weights.file_of(model)  # raises, and names the existing models
        raise AssertionError(model)
    config = configuration(model)
    report = weights.check(path)
    if not report.genuine:
        raise WeightsError(
            f"{report}; it is downloaded again automatically, or with `immich-indexer models fetch {model}`"
        )
    return Checkpoint(label, path, config, report.sha256)
