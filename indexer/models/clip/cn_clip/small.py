"""A tiny Chinese-CLIP with random weights: tests and the demo run the real code without a download."""

import json
import math
from pathlib import Path

import torch

from indexer.models.clip.cn_clip.imported import import_cn_clip
from indexer.models.clip.cn_clip.shapes import Config

NOTE = "model of random weights: its vectors mean nothing"
"""The note in such files. `doctor` repeats it, and the log when the model is loaded."""


def small_config(dimensions: int = 512) -> Config:
    """A shape with two layers and width 128 in each half. The vocabulary is cn_clip's own and cannot be smaller."""
    return {
        "embed_dim": dimensions,
        "image_resolution": 224,
        "vision_layers": 2,
        "vision_width": 128,
        "vision_patch_size": 32,
        "vision_head_width": 64,
        "vocab_size": 21128,
        "text_attention_probs_dropout_prob": 0.1,
        "text_hidden_act": "gelu",
        "text_hidden_dropout_prob": 0.1,
        "text_hidden_size": 128,
        "text_initializer_range": 0.02,
        "text_intermediate_size": 512,
        "text_max_position_embeddings": 64,
        "text_num_attention_heads": 2,
        "text_num_hidden_layers": 2,
        "text_type_vocab_size": 2,
    }


def write_small_checkpoint(path: Path, *, dimensions: int = 512, seed: int = 0) -> None:
    """Write a tiny model to `path` (`.pt`, a few megabytes) and its configuration beside it (`.json`).

    `load_clip(str(path))` loads it. Different inputs have different vectors, but the vectors mean nothing: the halves
    were never trained. The same seed gives the same file.
    """
    config = small_config(dimensions)
    write_random_checkpoint(path, config, seed=seed)


def write_random_checkpoint(path: Path, config: Config, *, seed: int = 0, note: str | None = NOTE) -> None:
    """Write a model of any of cn_clip's shapes, with seeded random weights in fp16, and its JSON beside it.

    `note` is stored in the file.
    """
    import_cn_clip()
    from cn_clip.clip.model import CLIP

    with torch.device("meta"):
        model = CLIP(**config)
    generator = torch.Generator().manual_seed(seed)
    state = {name: _random(name, empty, generator) for name, empty in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "note": note}, path)
    path.with_suffix(".json").write_text(json.dumps(config, indent=2), "utf-8")


def _random(name: str, empty: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Weights that keep the size of a signal from layer to layer, so that vectors depend on the input."""
    if not empty.is_floating_point():
        return torch.zeros(empty.shape, dtype=empty.dtype)
    if name == "logit_scale":
        return torch.tensor(math.log(1 / 0.07))
    if empty.ndim < 2:
        value = 1.0 if name.endswith(("weight", "gamma", "running_var")) else 0.0
        if "embedding" not in name:
            return torch.full(empty.shape, value)
    fan_in = empty[0].numel() if empty.ndim > 1 else empty.numel()
    scaled: torch.Tensor = torch.randn(empty.shape, generator=generator) * fan_in**-0.5
    return scaled.half()
