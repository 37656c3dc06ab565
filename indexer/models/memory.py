"""How much memory the models of a process need, and a word before they are loaded into a container that has less.

Measured with cgroup 1 on two processors: the least limit under which a process loaded its models and read 12 pages, or
made vectors of 41 texts, and was not killed. It is what Python, torch and the OCR models take, and four bytes for each
number of a loaded half of CLIP.
"""

import structlog

from indexer import limits
from indexer.errors import WeightsError
from indexer.models.checkpoint import configuration
from indexer.models.torchvision_compat import ensure_torchvision
from indexer.models.towers import Tower
from indexer.settings import Settings

log = structlog.get_logger()

_MB = 1 << 20
_PYTHON = 400 * _MB  # with torch, and all of ours
_OCR = 300 * _MB  # its three models, and the pictures and lines they are at


def needed(settings: Settings, towers: tuple[Tower, ...], *, ocr: bool) -> int:
    """Bytes for those halves of the CLIP model that the settings name, and for OCR, where TASKS has them.

    A model of which nothing is known counts for nothing: whoever loads it says what is wrong.
    """
    bytes_ = _PYTHON + (_OCR if ocr and "ocr" in settings.tasks else 0)
    if "clip" in settings.tasks:
        bytes_ += 4 * sum(_numbers(settings.clip_model, tower) for tower in towers)
    return bytes_


def warn(need: int) -> None:
    """Say it in the log where the container's limit is below: the kernel will end the process, without a word."""
    limit = limits.read().memory
    if limit is not None and limit < need:
        log.warning(
            f"this container may use {limit // _MB} MB of memory, and the models need some {need // _MB} MB: the "
            "kernel ends such a process without another word. Raise the limit (mem_limit in the compose file), or "
            "set a smaller CLIP_MODEL, such as RN50, or TASKS=ocr"
        )


def _numbers(model: str, tower: Tower) -> int:
    import torch

    ensure_torchvision()
    from cn_clip.clip.model import CLIP

    try:
        with torch.device("meta"):  # nothing is allocated
            whole = CLIP(**configuration(model))
    except (WeightsError, TypeError, ValueError, KeyError, ZeroDivisionError):
        return 0
    part = whole.visual if tower == "image" else whole.bert
    return sum(parameter.numel() for parameter in part.parameters())
