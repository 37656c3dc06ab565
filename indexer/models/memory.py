"""How much memory the models need, and a warning before they are loaded into a container with less.

Measured as proportional set size (PSS) of each process after it read 12 pages: the process that calls the models, the
process of CLIP, the process of OCR. Each half of CLIP takes four bytes for each of its parameters.
"""

from typing import Literal

import structlog

from indexer import limits
from indexer.settings import Settings

log = structlog.get_logger()

Tower = Literal["image", "text"]

_MB = 1 << 20
_OURS = 200 * _MB  # the process that calls the models
_CLIP = 150 * _MB  # Python and torch, in a process of their own
_OCR = 400 * _MB  # its three models in a process of their own, with the pictures and lines in work

# Parameters of each half. They were counted, because importing torch here would take the memory that we want to save.
NUMBERS: dict[str, dict[Tower, int]] = {
    "RN50": {"image": 38_316_896, "text": 37_886_208},
    "ViT-B-16": {"image": 86_192_640, "text": 101_677_056},
    "ViT-L-14": {"image": 303_966_208, "text": 101_677_056},
    "ViT-L-14-336": {"image": 304_293_888, "text": 101_677_056},
    "ViT-H-14": {"image": 632_076_800, "text": 324_472_832},
}


def needed(settings: Settings, towers: tuple[Tower, ...], *, ocr: bool) -> int:
    """Bytes for these halves of the CLIP model in the settings, and for OCR, as far as TASKS has them.

    For a model file of your own only its process counts: its parameters are not known.
    """
    bytes_ = _OURS + (_OCR if ocr and "ocr" in settings.tasks else 0)
    if "clip" in settings.tasks:
        numbers = NUMBERS.get(settings.clip_model, {})
        bytes_ += _CLIP + 4 * sum(numbers.get(tower, 0) for tower in towers)
    return bytes_


def warn(need: int) -> None:
    """Log a warning where the container's limit is lower: otherwise the kernel kills a process without a message."""
    limit = limits.read().memory
    if limit is not None and limit < need:
        log.warning(
            f"this container may use {limit // _MB} MB of memory, and the models need some {need // _MB} MB: the "
            "kernel kills such a process without a message. Raise the limit (mem_limit in the compose file), or "
            "set a smaller CLIP_MODEL, such as RN50, or TASKS=ocr"
        )
