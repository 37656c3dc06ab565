"""Lets `cn_clip` import torchvision even where torchvision's compiled part does not fit the installed torch."""

import importlib

import torch

# Names that torchvision's Python code refers to during its import. We never call them.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# The definitions of a library disappear with the object, so it has to live as long as the process.
_library: torch.library.Library | None = None


def ensure_torchvision() -> None:
    """Import torchvision. If its own library did not load, declare the two operators that the import needs.

    torchvision from PyPI is built for CUDA. Beside a torch without CUDA its compiled operators do not load, and the
    import fails on `torchvision::nms`. cn_clip only needs torchvision's pure Python image transforms, so two
    declarations without an implementation are enough. Where torchvision is complete, this only imports it.
    """
    global _library
    if _library is not None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            _library.define(schema)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")
