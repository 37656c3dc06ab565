"""Starts the engines that the settings ask for."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from indexer.errors import WeightsError
from indexer.models.clip import names
from indexer.models.clip.maker import TextTower, Tower, otherwise
from indexer.models.clip.makers import maker_of
from indexer.models.engines.engine import Engine
from indexer.models.engines.host import Host
from indexer.models.engines.hosted import Hosted, HostedClip, HostedFaces, HostedOcr, HostedText, name_of
from indexer.models.engines.lifecycle import Pace, Runner
from indexer.models.engines.messages import Facts, Opened, Setup
from indexer.models.engines.probe import FacesProbe, ImageProbe, LinesProbe, Probe, TextProbe
from indexer.models.faces import weights as face_weights
from indexer.models.fetcher import Fetcher
from indexer.models.inference import ClipModel, Inference, OcrModel
from indexer.models.ocr.names import OcrSettings
from indexer.models.openers import ClipTower, FaceNetworks, OcrEngine
from indexer.models.runtimes.device import INTEL_GPU
from indexer.settings import Settings

log = structlog.get_logger()

_BACK = 5  # how much the priority of reading pictures is lowered, so that searches are faster


@dataclass(frozen=True)
class Models:
    """The models of one process. None where a task is off. `device` is for models without an engine.

    `next`: the CLIP model that is becoming the current one, during a change.
    """

    clip: ClipModel | None
    ocr: OcrModel | None
    device: str = "cpu"
    next: ClipModel | None = None

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines, by task."""
        named: dict[str, object] = {"clip": self.clip, "ocr": self.ocr, "next": self.next}
        return {task: model.engine for task, model in named.items() if isinstance(model, Hosted)}

    @property
    def clips(self) -> list[ClipModel]:
        """The CLIP models."""
        return [model for model in (self.clip, self.next) if model is not None]

    @property
    def where(self) -> str:
        """The GPU if one of them runs there, otherwise `cpu`."""
        devices = {engine.facts.device for engine in self.engines.values() if engine.facts}
        return next((gpu for gpu in ("cuda", INTEL_GPU) if gpu in devices), self.device)

    def close(self) -> None:
        """End the engines."""
        for engine in self.engines.values():
            engine.close()


def model_names(settings: Settings) -> tuple[str | None, str | None]:
    """The names of the CLIP model and the OCR engine that the settings ask for, None where a task is off.

    Raises:
        WeightsError: the CLIP model is unknown; or its name follows from its files, and one is missing or damaged.
    """
    clip = None
    if "clip" in settings.tasks:
        maker, model, root = maker_of(settings.clip_model), settings.clip_model, settings.clip_download_root
        clip = maker.name(model, root) or maker.identify(model, root).name
    return clip, OcrSettings.of(settings).name if "ocr" in settings.tasks else None


def load_models(
    settings: Settings, fetcher: Fetcher | None = None, *, background: bool = False, pace: Pace | None = None
) -> Models:
    """Start what the settings ask for, and wait until each engine is ready or has failed to start.

    An engine that cannot be opened raises nothing. Its state says why, and it is tried again. An engine whose weights
    are missing is tried again as soon as the `fetcher` has them. `background`: leave the processors to other work.
    """
    nice = _BACK if background else 0
    clip: HostedClip | None = None
    ocr: HostedOcr | None = None
    if "clip" in settings.tasks:
        clip = _clip(settings, fetcher, nice, pace)
    if "ocr" in settings.tasks:
        ocr = HostedOcr(
            _engine("the OCR engine", _ocr_opener(settings), LinesProbe(), settings, settings.threads, nice, pace)
        )
    models = Models(clip, ocr)
    for engine in models.engines.values():
        engine.start()
    for engine in models.engines.values():
        engine.settle()
    _warn_of(name_of(clip))
    return models


def load_clip(settings: Settings, model: str, *, pace: Pace | None = None) -> HostedClip:
    """Start the image tower of another CLIP model than that of the settings, as `load_models` does.

    Raises:
        WeightsError: it is no model that we know.
    """
    clip = make_clip(settings, model, pace=pace)
    clip.engine.start()
    clip.engine.settle()
    return clip


def make_clip(settings: Settings, model: str, *, pace: Pace | None = None) -> HostedClip:
    """The image tower of another value of CLIP_MODEL, not started. Raises WeightsError as `load_clip`."""
    return _clip(settings.model_copy(update={"clip_model": model}), None, 0, pace)


def make_text(settings: Settings, model: str, *, pace: Pace | None = None) -> HostedText:
    """The text tower of another value of CLIP_MODEL, not started. Raises WeightsError as `load_clip`."""
    return _text(settings.model_copy(update={"clip_model": model}), None, pace)


def load_text_tower(settings: Settings) -> TextTower:
    """Load the text tower of CLIP into this process, for a command with a few queries. Blocks for seconds.

    Raises:
        WeightsError: weights are missing or damaged. The text says which file to put where.
        SettingsError: the device is not available.
    """
    tower: TextTower = (
        maker_of(settings.clip_model)
        .open(
            "text",
            settings.clip_model,
            settings.clip_download_root,
            device=_rest(settings),
            precision=otherwise(settings.clip_precision),
            threads=settings.threads,
        )
        .model
    )
    _warn_of(tower.name)
    return tower


def start_text(settings: Settings, fetcher: Fetcher | None = None, *, pace: Pace | None = None) -> HostedText:
    """Start the text tower of CLIP, as `load_models` does."""
    text = _text(settings, fetcher, pace)
    text.engine.start()
    text.engine.settle()
    _warn_of(name_of(text))
    return text


def _text(settings: Settings, fetcher: Fetcher | None, pace: Pace | None) -> HostedText:
    opener = _clip_opener(settings, "text", settings.threads)
    # One call at a time, on all processors: two at a time would both be late.
    engine = _engine("the CLIP model for text", opener, TextProbe(), settings, 1, 0, pace, fetcher)
    return HostedText(engine, _expected(settings))


def _clip(settings: Settings, fetcher: Fetcher | None, nice: int, pace: Pace | None) -> HostedClip:
    opener, device = _clip_opener(settings, "image", settings.threads), settings.device
    engine = _engine(
        "the CLIP model", opener, ImageProbe(), settings, settings.threads, nice, pace, fetcher, device=device
    )
    return HostedClip(engine, _expected(settings))


def make_faces(settings: Settings, fetcher: Fetcher | None = None, *, pace: Pace | None = None) -> HostedFaces:
    """The face model, not started: whoever brings the first picture does that, and there may never be one.

    Raises:
        WeightsError: there is no such model.
    """
    name, root = settings.face_model, settings.face_download_root
    opener = FaceNetworks(name, face_weights.published(name, root))

    def wanting() -> str:
        return (fetcher.missing("faces") if fetcher else "") or face_weights.missing(name, root)

    return HostedFaces(
        _engine("the face model", opener, FacesProbe(), settings, settings.threads, 0, pace, fetcher, wanting)
    )


def _expected(settings: Settings) -> Facts | None:
    """What is known of a CLIP model whose weights may be missing."""
    model, root = settings.clip_model, settings.clip_download_root
    try:
        maker = maker_of(model)
        return Facts(maker.name(model, root) or "", "cpu", dimensions=maker.dimensions(model, root))
    except WeightsError:  # a model of your own without a file yet, or an unknown model: the engine reports it
        return None


def _engine(
    name: str,
    opener: Callable[[str], Opened],
    probe: Probe,
    settings: Settings,
    lanes: int,
    nice: int,
    pace: Pace | None,
    fetcher: Fetcher | None = None,
    wanting: Callable[[], str] | None = None,
    device: str = "",
) -> Engine:
    """An engine that waits for what is `wanting`: by default for the weights of CLIP that the `fetcher` lacks."""
    pace, device = pace or Pace(), device or _rest(settings)

    def open_on(device: str) -> Runner:
        return Host(Setup(opener, device, nice), lanes=lanes, patience=pace.load, name=name)

    if fetcher is None:
        return Engine(name, open_on, probe, device=device, pace=pace, wanting=wanting or (lambda: ""))
    wanting = wanting or (lambda: fetcher.missing("clip"))
    engine = Engine(name, open_on, probe, device=device, pace=pace, wanting=wanting)
    fetcher.watch(engine.wake)
    return engine


def _rest(settings: Settings) -> str:
    """The device of all but CLIP's image tower: Intel's graphics compute nothing else."""
    return "cpu" if settings.device == INTEL_GPU else settings.device


def _warn_of(name: str | None) -> None:
    if advice := names.advice(name):
        log.warning("demo model", advice=advice)


def _clip_opener(settings: Settings, tower: Tower, threads: int) -> ClipTower:
    maker, model, root = maker_of(settings.clip_model), settings.clip_model, settings.clip_download_root
    return ClipTower(maker, tower, model, root, settings.clip_precision, threads)


def _ocr_opener(settings: Settings) -> OcrEngine:
    return OcrEngine(
        OcrSettings.of(settings),
        settings.ocr_runtime,
        settings.ocr_precision,
        settings.threads,
        settings.clip_download_root,
    )


def start_inference(settings: Settings, models: Models, *, background: bool = False) -> Inference:
    """An `Inference` with these models, as the settings say. `background`: leave the processors to other work."""
    return Inference(
        models.clip,
        models.ocr,
        threads=settings.threads,
        max_pixels=settings.max_megapixels * 1_000_000,
        pixels_in_flight=settings.megapixels_in_flight * 1_000_000,
        gpu=models.device != "cpu",
        background=background,
        following=models.next,
    )
