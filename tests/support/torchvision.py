"""torchvision for cn_clip's own preparation of pictures, with which ours is compared."""

import importlib

import torch

from indexer.models.clip.cn_clip.imported import import_cn_clip

# Names that torchvision's Python code refers to during its import.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# The definitions of a library disappear with the object, so it has to live as long as the process.
_library: torch.library.Library | None = None


def give_cn_clip_torchvision() -> None:
    """Give cn_clip torchvision, however it was imported.

    torchvision from PyPI is built for CUDA. Beside a torch without CUDA its compiled operators do not load, and the
    import fails on `torchvision::nms`. Two declarations without an implementation are enough.
    """
    global _library
    try:
        transforms = importlib.import_module("torchvision.transforms")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            _library.define(schema)  # type: ignore[no-untyped-call]
        transforms = importlib.import_module("torchvision.transforms")
    import_cn_clip()
    utils = importlib.import_module("cn_clip.clip.utils")
    for name in ("Compose", "ToTensor", "Normalize", "Resize", "InterpolationMode"):
        setattr(utils, name, getattr(transforms, name))
