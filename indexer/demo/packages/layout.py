"""The files of a package in Immich's layout, beside its two ONNX models."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from indexer.models.clip.package.layout import CONFIG, FOLDERS


@dataclass(frozen=True)
class Layout:
    """What the files say. `side`: of the square picture. `clean`: of texts, as in open_clip. `note`: see `Package`."""

    dimensions: int
    context: int
    pad: str
    side: int
    mean: Sequence[float] = (0.5, 0.5, 0.5)
    std: Sequence[float] = (0.5, 0.5, 0.5)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    clean: str | None = None
    note: str | None = None

    def write(self, folder: Path, tokeniser: Tokenizer) -> None:
        """Write all but the models into the folder."""
        text, image = folder / FOLDERS["text"], folder / FOLDERS["image"]
        for part in (text, image):
            part.mkdir(parents=True, exist_ok=True)
        kwargs = {} if self.clean is None else {"tokenizer_kwargs": {"clean": self.clean}}
        config = {"embed_dim": self.dimensions, "text_cfg": {"context_length": self.context, **kwargs}}
        look = {"size": [self.side, self.side], "mode": "RGB", "mean": list(self.mean), "std": list(self.std)}
        look |= {"interpolation": self.interpolation, "resize_mode": self.resize_mode}
        tokeniser.save(str(text / "tokenizer.json"))
        _dump(text / "tokenizer_config.json", {"pad_token": self.pad})
        _dump(image / "preprocess_cfg.json", look)
        _dump(folder / CONFIG, config if self.note is None else config | {"note": self.note})


def _dump(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2), "utf-8")
