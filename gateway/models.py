"""The models of a gateway: the text tower at once, what reads pictures when a picture needs it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gateway.ml.text import TextModel
from indexer.models import load as loading
from indexer.models import memory
from indexer.models.inference import Inference
from indexer.settings import Settings


@dataclass(frozen=True)
class LazyModels:
    """What a gateway runs on.

    `text` None: no CLIP here. `ocr_model` is the engine's name, None: no OCR here. `load_pictures` blocks for seconds.
    """

    text: TextModel | None
    ocr_model: str | None
    load_pictures: Callable[[], Inference]


def load(settings: Settings) -> LazyModels:
    """Load, and warm up, what a search needs; blocks for seconds.

    Raises:
        WeightsError: weights are missing or damaged; the text says which file to put where.
        SettingsError: the device is not there.
    """
    memory.warn(memory.needed(settings, ("text",), ocr=False))
    text = loading.load_text_tower(settings) if "clip" in settings.tasks else None
    if text is not None:
        with ThreadPoolExecutor(1) as warming:  # a thread that ends, as in load_clip
            warming.submit(text.encode_texts, ["一家人在海边看日落"]).result()
    ocr_only = settings.model_copy(update={"tasks": ("ocr",)})
    _, ocr_model = loading.model_names(ocr_only) if "ocr" in settings.tasks else (None, None)
    return LazyModels(text, ocr_model, lambda: load_pictures(settings))


def load_pictures(settings: Settings) -> Inference:
    """Load what reads pictures, just as the indexer does; errors as `load`."""
    # Modest: somebody who searches is waiting in front of a screen, pictures are not.
    return loading.start_inference(settings, loading.load_models(settings), background=True)
