"""The models of a gateway: the text tower is started at once, the others when a picture needs them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

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
    `fetcher` downloads missing weights. `load_pictures`, `open_text` and `open_tried` take another value of CLIP_MODEL.
    `open_tried` is for a model that is only tried.
    """

    text: TextModel | None
    ocr_model: str | None
    load_pictures: Callable[..., Inference]
    fetcher: Fetcher = field(default_factory=Fetcher)
    open_text: Callable[[str], TextModel] | None = None
    open_tried: Callable[[str], TextModel] | None = None


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
    pictures = partial(load_pictures, settings, fetcher)
    tried = partial(open_tried, settings) if text is not None else None
    return LazyModels(text, ocr_model, pictures, fetcher, partial(open_text, settings), tried)


def open_text(settings: Settings, model: str) -> TextModel:
    """Start the text tower of another model than that of the settings. Raises WeightsError."""
    return loading.start_text(settings.model_copy(update={"clip_model": model}))


def open_tried(settings: Settings, model: str) -> TextModel:
    """The same, of a model that is only tried: searches come first.

    Raises:
        WeightsError: as `open_text`.
        NoRoomError: there is not enough memory for both.
    """
    if not memory.has_room(settings, model, "text"):
        raise memory.NoRoomError(
            "this container has not enough memory for a second text model: raise mem_limit in the compose file"
        )
    return open_text(settings, model)


def load_pictures(settings: Settings, fetcher: Fetcher, model: str | None = None) -> Inference:
    """Start the models that read pictures, as the indexer does. `model`: another value of CLIP_MODEL."""
    if model is not None:
        settings = settings.model_copy(update={"clip_model": model})
    # In the background: a person waits for a search, nobody waits for a picture.
    return loading.start_inference(settings, loading.load_models(settings, fetcher, background=True), background=True)
