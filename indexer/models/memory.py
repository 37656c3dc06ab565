"""How much memory the models need, and a warning before they are loaded into a container with less.

Measured as proportional set size (PSS) of each process after it read 12 pages: the process that calls the models, the
process of CLIP, the process of OCR. How much the weights of CLIP take, its `Maker` knows.
"""

import structlog

from indexer import limits
from indexer.errors import IndexerError
from indexer.models.clip.maker import Tower
from indexer.models.clip.makers import maker_of
from indexer.settings import Settings

log = structlog.get_logger()

_MB = 1 << 20
_OURS = 200 * _MB  # the process that calls the models
_CLIP = 150 * _MB  # Python and torch, in a process of their own
_OCR = 400 * _MB  # its three models in a process of their own, with the pictures and lines in work
_OPENVINO = 300 * _MB  # what OpenVINO takes on top of that, with two threads


class NoRoomError(IndexerError):
    """There is not enough memory for one more model."""


def needed(settings: Settings, towers: tuple[Tower, ...], *, ocr: bool) -> int:
    """Bytes for these towers of the CLIP model in the settings, and for OCR, as far as TASKS has them.

    Where the size of its weights is not known, only its process counts.

    Raises:
        WeightsError: the CLIP model is unknown.
    """
    bytes_ = _OURS
    if ocr and "ocr" in settings.tasks:
        bytes_ += _OCR + (_OPENVINO if settings.ocr_runtime == "openvino" else 0)
    if "clip" in settings.tasks:
        model, root = settings.clip_model, settings.clip_download_root
        bytes_ += _CLIP + sum(maker_of(model).memory(model, root, tower) for tower in towers)
    return bytes_


def has_room(settings: Settings, model: str, tower: Tower = "image") -> bool:
    """Whether the container has memory for a tower of another CLIP `model` beside what the settings ask for.

    That is, beside an image tower, what an indexer needs, and beside a text tower, what a gateway needs for searches.

    Raises:
        WeightsError: a model is unknown.
    """
    limit = limits.read().memory
    other = _CLIP + maker_of(model).memory(model, settings.clip_download_root, tower)
    return limit is None or limit >= needed(settings, (tower,), ocr=tower == "image") + other


def warn(need: int) -> None:
    """Log a warning where the container's limit is lower: otherwise the kernel kills a process without a message."""
    limit = limits.read().memory
    if limit is not None and limit < need:
        log.warning(
            f"this container may use {limit // _MB} MB of memory, and the models need some {need // _MB} MB: the "
            "kernel kills such a process without a message. Raise the limit (mem_limit in the compose file), or "
            "set a smaller CLIP_MODEL, such as RN50, or TASKS=ocr"
        )
