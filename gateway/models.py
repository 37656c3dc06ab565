"""The models of a gateway: the text tower at once, what reads pictures when a picture needs it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.ml.text import TextModel
from indexer.models import load as loading
from indexer.models.inference import Inference
from indexer.models.supply import Supply
from indexer.settings import Settings


@dataclass(frozen=True)
class LazyModels:
    """What a gateway runs on.

    `text` None: no CLIP here. `ocr_model` is the engine's name, None: no OCR here. `load_pictures` blocks for seconds.
    `supply` brings the weights that are missing.
    """

    text: TextModel | None
    ocr_model: str | None
    load_pictures: Callable[[], Inference]
    supply: Supply = field(default_factory=Supply)


def load(settings: Settings) -> LazyModels:
    """Start what a search needs, and wait until it is ready, or is known not to be; blocks for seconds.

    Raises:
        WeightsError: a model is unknown, or the OCR engine's package damaged; the text says what to do.
    """
    supply = Supply.of(settings)
    text = loading.start_text(settings, supply) if "clip" in settings.tasks else None
    ocr_only = settings.model_copy(update={"tasks": ("ocr",)})
    _, ocr_model = loading.model_names(ocr_only) if "ocr" in settings.tasks else (None, None)
    return LazyModels(text, ocr_model, lambda: load_pictures(settings, supply), supply)


def load_pictures(settings: Settings, supply: Supply) -> Inference:
    """Start what reads pictures, just as the indexer does."""
    # Modest: somebody who searches is waiting in front of a screen, pictures are not.
    return loading.start_inference(settings, loading.load_models(settings, supply, background=True), background=True)
