"""Loads the models that the settings ask for, and puts them to work."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from indexer.models import names
from indexer.models.inference import ClipModel, Inference, OcrModel
from indexer.settings import Settings

if TYPE_CHECKING:  # torch takes seconds to import: only who needs it waits
    from indexer.models.clip import Clip

log = structlog.get_logger()


@dataclass(frozen=True)
class Models:
    """The models of one process; None where a task is off."""

    clip: ClipModel | None
    ocr: OcrModel | None
    device: str


def model_names(settings: Settings) -> tuple[str | None, str | None]:
    """The names of the CLIP model and the OCR engine that the settings ask for, None where a task is off.

    Raises:
        WeightsError: weights are missing or damaged; the text says which file to put where.
    """
    from indexer.models.checkpoint import open_checkpoint

    clip = open_checkpoint(settings.clip_model, settings.clip_download_root).name if "clip" in settings.tasks else None
    ocr = _load_ocr(settings, "cpu").name if "ocr" in settings.tasks else None
    return clip, ocr


def load_models(settings: Settings) -> Models:
    """Load what the settings ask for.

    Raises:
        WeightsError: weights are missing or damaged; the text says which file to put where.
        SettingsError: the device is not there.
    """
    from indexer.models.clip import load_clip
    from indexer.models.device import resolve_device

    device = resolve_device(settings.device)
    clip = (
        load_clip(
            settings.clip_model,
            device=device,
            download_root=settings.clip_download_root,
            precision=settings.clip_precision,
            threads=1,  # the scheduler keeps every thread busy with calls of its own
            towers=("image",),
        )
        if "clip" in settings.tasks
        else None
    )
    if clip is not None:
        _warn_of(clip)
    ocr = _load_ocr(settings, device) if "ocr" in settings.tasks else None
    return Models(clip, ocr, device)


def load_text_tower(settings: Settings) -> "Clip":
    """Load what makes vectors of texts; blocks for seconds, errors as `load_models`."""
    from indexer.models.clip import load_clip
    from indexer.models.device import resolve_device

    clip = load_clip(
        settings.clip_model,
        device=resolve_device(settings.device),
        download_root=settings.clip_download_root,
        precision=settings.clip_precision,
        threads=settings.threads,
        towers=("text",),
    )
    _warn_of(clip)
    return clip


def _warn_of(clip: ClipModel) -> None:
    if advice := names.advice(clip.name):
        log.warning("demo model", advice=advice)


def _load_ocr(settings: Settings, device: str) -> OcrModel:
    from indexer.models.ocr import load_ocr

    return load_ocr(
        settings.ocr_engine,
        device=device,
        threads=1,
        min_box_score=settings.ocr_min_box_score,
        min_text_score=settings.ocr_min_text_score,
        detect_side=settings.ocr_detect_side,
    )


def start_inference(settings: Settings, models: Models, *, background: bool = False) -> Inference:
    """The models at work as the settings say; `background` gives way to whoever else needs the processor."""
    gpu = models.device != "cpu"
    return Inference(
        models.clip,
        models.ocr,
        threads=settings.threads,
        clip_batch=64 if gpu else 4,
        ocr_batch=16 if gpu else 4,
        max_pixels=settings.max_megapixels * 1_000_000,
        pixels_in_flight=settings.megapixels_in_flight * 1_000_000,
        gpu=gpu,
        background=background,
    )
