"""The models of a gateway: the text tower is started at once, the others when a picture needs them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.ml.text import TextModel
from indexer.models import load as loading
from indexer.models import memory
from indexer.models.fetcher import Fetcher
from indexer.models.inference import Inference
from indexer.settings import Settings


@dataclass(frozen=True)
class LazyModels:
    """The models of a gateway.

    `text` None: no CLIP here. `ocr_model` is the engine's name, None: no OCR here. `load_pictures` blocks for seconds.
    `fetcher` downloads missing weights.
    """

    text: TextModel | None
    ocr_model: str | None
    load_pictures: Callable[[], Inference]
    fetcher: Fetcher = field(default_factory=Fetcher)


def load(settings: Settings) -> LazyModels:
    """Start what a search needs, and wait until it is ready or has failed to start. Blocks for seconds.

    Raises:
        WeightsError: a model is unknown, or the OCR engine's package is damaged. The text says what to do.
    """
    memory.warn(memory.needed(settings, ("text",), ocr=False))
    fetcher = Fetcher.of(settings)
    text = loading.start_text(settings, fetcher) if "clip" in settings.tasks else None
    ocr_only = settings.model_copy(update={"tasks": ("ocr",)})
    _, ocr_model = loading.model_names(ocr_only) if "ocr" in settings.tasks else (None, None)
    return LazyModels(text, ocr_model, lambda: load_pictures(settings, fetcher), fetcher)


def load_pictures(settings: Settings, fetcher: Fetcher) -> Inference:
    """Start the models that read pictures, as the indexer does."""
    # In the background: a person waits for a search, nobody waits for a picture.
    return loading.start_inference(settings, loading.load_models(settings, fetcher, background=True), background=True)
