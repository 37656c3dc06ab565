"""The shapes of CLIP models. They are known without the weights and without torch."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from indexer.errors import WeightsError
from indexer.models.clip.cn_clip import weights
from indexer.models.files.json_object import read_object

Config = dict[str, Any]
"""The arguments of `cn_clip.clip.model.CLIP`: the keys of one vision and one text file of cn_clip's `model_configs`,
in one mapping."""


def configuration(model: str) -> Config:
    """The shape of a model, by its name or the path of its checkpoint. The weights may be missing.

    Raises:
        WeightsError: unknown model, or the JSON of a checkpoint is missing or cannot be used.
    """
    if model.endswith(".pt"):
        return _beside(Path(model))
    return packaged_config(model)


def dimensions(model: str) -> int:
    """The width of the model's vectors. Errors as `configuration`."""
    try:
        return int(configuration(model)["embed_dim"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"the configuration of {model} has no embed_dim that is a number") from error


def packaged_config(model: str) -> Config:
    """The shape of a named model, from the files in cn_clip. Raises WeightsError: unknown model."""
    found = importlib.util.find_spec("cn_clip")  # an import of cn_clip would import torch
    assert found is not None  # noqa: S101 - we depend on it
    folder = Path((found.submodule_search_locations or [""])[0]) / "clip" / "model_configs"
    config: Config = {}
    for part in weights.file_of(model).shape:
        config |= json.loads((folder / f"{part}.json").read_text("utf-8"))
    if isinstance(config.get("vision_layers"), str):  # cn_clip writes the ResNet's as "[3,4,6,3]" and evaluates it
        config["vision_layers"] = json.loads(config["vision_layers"])
    return config


def _beside(path: Path) -> Config:
    config_path = path.with_suffix(".json")
    return read_object(config_path, f"{path} needs its configuration beside it: {config_path}")
