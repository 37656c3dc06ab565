"""What `doctor` says of models in int8: a part of a sentence. Empty where int8 is not asked for."""

from indexer.models.int8.clip import ClipRecord
from indexer.models.int8.ocr import OcrRecord
from indexer.models.int8.record import Record, read
from indexer.models.ocr.names import OcrSettings
from indexer.settings import Settings


def of_clip(settings: Settings, name: str) -> str:
    """Of the CLIP model of that name."""
    return _told(settings, ClipRecord, name) if settings.clip_precision == "int8" else ""


def of_ocr(settings: Settings) -> str:
    """Of the OCR engine. Raises WeightsError: its package is missing."""
    return _told(settings, OcrRecord, OcrSettings.of(settings).name) if settings.ocr_precision == "int8" else ""


def _told(settings: Settings, kind: type[Record], name: str) -> str:
    record = read(kind, name, settings.clip_download_root)
    return f"; int8: {record.sentence if record else 'not measured yet'}"
