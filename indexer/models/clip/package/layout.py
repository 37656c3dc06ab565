"""A CLIP model as Immich's machine-learning server keeps it: a folder of two ONNX models and what belongs to them.

    config.json                 text_cfg.context_length, text_cfg.tokenizer_kwargs.clean
    textual/model.onnx          textual/tokenizer.json, textual/tokenizer_config.json (pad_token)
    visual/model.onnx           visual/preprocess_cfg.json (size, mean, std)

The ONNX models may keep their weights in files beside them. The rules are those of Immich 3.1's own server.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from indexer.errors import WeightsError
from indexer.models.clip import names
from indexer.models.clip.maker import Tower
from indexer.models.files.json_object import read_object
from indexer.models.files.published import sha256_of
from indexer.models.pixels import Cropped
from indexer.models.runtimes import onnx_weights

FOLDERS: dict[Tower, str] = {"image": "visual", "text": "textual"}
CONFIG = "config.json"
MODEL = "model.onnx"
_BESIDE: dict[Tower, tuple[str, ...]] = {
    "image": ("preprocess_cfg.json",),
    "text": ("tokenizer.json", "tokenizer_config.json"),
}
NAMED = (CONFIG, *(f"{FOLDERS[tower]}/{name}" for tower in FOLDERS for name in (MODEL, *_BESIDE[tower])))
"""The files that every package has."""

_CONTEXT = 77  # tokens, where the configuration says nothing


@dataclass(frozen=True)
class Package:
    """A folder in Immich's layout. Every property raises WeightsError where a file is missing or cannot be used."""

    folder: Path

    @property
    def label(self) -> str:
        """Its name for people: that of the folder, which Immich calls by the model's name."""
        return self.folder.name

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return _read(self.folder / CONFIG)

    @property
    def note(self) -> str | None:
        """A note that it is no model for a library of photographs."""
        note = self.config.get("note")
        return note if isinstance(note, str) else None

    @property
    def dimensions(self) -> int | None:
        """The width of its vectors, as its configuration says. None where it does not."""
        found = self.config.get("embed_dim")
        return found if isinstance(found, int) else None

    @property
    def context(self) -> int:
        """How many tokens the text tower takes: texts are cut, or padded, to so many."""
        return int(self._text.get("context_length", _CONTEXT))

    @property
    def is_canonical(self) -> bool:
        """Whether texts lose their case and their ASCII punctuation."""
        kwargs = self._text.get("tokenizer_kwargs")
        return isinstance(kwargs, dict) and kwargs.get("clean") == "canonicalize"

    @property
    def by_language(self) -> bool:
        """Whether a text begins with the token of its language. Immich decides it by the model's name."""
        return self.label.startswith("nllb")

    @property
    def pad_token(self) -> str:
        """What texts are padded with."""
        path = self.file("text", "tokenizer_config.json")
        token = _read(path).get("pad_token")
        if not isinstance(token, str):
            raise WeightsError(f"{path} has no pad_token")
        return token

    @property
    def preparation(self) -> Cropped:
        """From a picture to the input of the image tower."""
        path = self.file("image", "preprocess_cfg.json")
        config = _read(path)
        try:
            size = config["size"]
            side = int(size[0] if isinstance(size, list) else size)
            mean, std = (tuple(map(float, config[key])) for key in ("mean", "std"))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise WeightsError(f"{path} has no size, mean and std that are numbers: {error!r}") from error
        if side < 1 or len(mean) not in (1, 3) or len(std) not in (1, 3) or 0 in std:
            raise WeightsError(f"{path}: size {size}, mean {mean} and std {std} do not describe an RGB picture")
        return Cropped(side, mean, std)

    @property
    def _text(self) -> dict[str, Any]:
        found = self.config.get("text_cfg")
        if not isinstance(found, dict):
            raise WeightsError(f"{self.folder / CONFIG} has no text_cfg: it is no package in Immich's layout")
        return found

    def file(self, tower: Tower, name: str) -> Path:
        """The path of a tower's file."""
        return self.folder / FOLDERS[tower] / name

    def files(self, tower: Tower) -> list[Path]:
        """All files of one tower: its ONNX model, external weights and what is beside them."""
        return [*onnx_weights.files_of(self.file(tower, MODEL)), *(self.file(tower, name) for name in _BESIDE[tower])]

    def size(self, tower: Tower) -> int:
        """Bytes of the weights of one tower."""
        return sum(path.stat().st_size for path in onnx_weights.files_of(self.file(tower, MODEL)))

    def name(self, known: Mapping[Path, str] | None = None) -> str:
        """Identity of exactly this package, from the SHA-256 of each of its files.

        Files whose digest is not `known` are read (seconds per gigabyte).
        """
        known, demo = known or {}, self.note is not None
        paths = [self.folder / CONFIG, *self.files("text"), *self.files("image")]
        try:
            listed = sorted(f"{path.relative_to(self.folder)} {known.get(path) or sha256_of(path)}" for path in paths)
        except OSError as error:
            raise WeightsError(f"cannot read {error.filename}: {error.strerror or error}") from error
        digest = hashlib.sha256("\n".join(listed).encode()).hexdigest()
        return names.name_of("clip", self.label, digest, demo=demo)


def _read(path: Path) -> dict[str, Any]:
    return read_object(path, f"{path} is missing: it belongs to every package in Immich's layout")
