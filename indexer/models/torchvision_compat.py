"""Lets `cn_clip` import torchvision where torchvision's compiled part does not fit the installed torch."""

import importlib

import torch

# What torchvision's Python code refers to by name while it is imported; nothing here ever calls them.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# A library's definitions vanish with the object, so it lives as long as the process.
_library: torch.library.Library | None = None


def ensure_torchvision() -> None:
    """Import torchvision, declaring the two operators it misses if its own library did not bring them.

    A torchvision from PyPI is built for CUDA; beside a CPU-only torch its compiled operators do not load, and the
    import fails on `torchvision::nms`. cn_clip needs only its pure Python image transforms, so two declarations
    without an implementation are enough. Where torchvision is whole, this merely imports it.
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
