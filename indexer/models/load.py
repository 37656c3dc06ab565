"""Starts the engines that the settings ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from indexer.errors import WeightsError
from indexer.models import face_weights, names, shapes, weights
from indexer.models.device import resolve_device
from indexer.models.engine import Engine
from indexer.models.fetcher import Fetcher
from indexer.models.host import Facts, Host, Opened, Setup
from indexer.models.hosted import Hosted, HostedClip, HostedFaces, HostedOcr, HostedText, name_of
from indexer.models.inference import ClipModel, Inference, OcrModel
from indexer.models.lifecycle import Pace, Runner
from indexer.models.openers import ClipHalf, FaceNetworks, OcrEngine
from indexer.models.probe import FacesProbe, ImageProbe, LinesProbe, Probe, TextProbe
from indexer.settings import Settings

if TYPE_CHECKING:  # importing torch takes seconds: only code that needs it should wait
    from indexer.models.clip import Clip

log = structlog.get_logger()

_BACK = 5  # how much the priority of reading pictures is lowered, so that searches are faster


@dataclass(frozen=True)
class Models:
    """The models of one process. None where a task is off. `device` is for models without an engine."""

    clip: ClipModel | None
    ocr: OcrModel | None
    device: str = "cpu"

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines, by task."""
        named: dict[str, object] = {"clip": self.clip, "ocr": self.ocr}
        return {task: model.engine for task, model in named.items() if isinstance(model, Hosted)}

    @property
    def where(self) -> str:
        """`cuda` if one of them runs there, otherwise `cpu`."""
        engines = self.engines.values()
        return "cuda" if any(engine.facts and engine.facts.device == "cuda" for engine in engines) else self.device

    def close(self) -> None:
        """End the engines."""
        for engine in self.engines.values():
            engine.close()


def model_names(settings: Settings) -> tuple[str | None, str | None]:
    """The names of the CLIP model and the OCR engine that the settings ask for, None where a task is off.

    Raises:
        WeightsError: the CLIP model is unknown, or it is a model of your own whose file is missing or damaged.
    """
    clip = None
    if "clip" in settings.tasks and (clip := _published_name(settings.clip_model)) is None:
        from indexer.models.checkpoint import open_checkpoint

        clip = open_checkpoint(settings.clip_model, settings.clip_download_root).name
    return clip, _ocr_name(settings) if "ocr" in settings.tasks else None


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
        opener = _clip_opener(settings, "image", 1)  # one thread: the scheduler runs many calls at the same time
        clip = HostedClip(
            _engine("the CLIP model", opener, ImageProbe(), settings, settings.threads, nice, pace, fetcher),
            _expected(settings.clip_model),
        )
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


def load_text_tower(settings: Settings) -> "Clip":
    """Load the text half of CLIP into this process, for a command with a few queries. Blocks for seconds.

    Raises:
        WeightsError: weights are missing or damaged. The text says which file to put where.
        SettingsError: the device is not available.
    """
    from indexer.models.clip import load_clip

    clip = load_clip(
        settings.clip_model,
        device=resolve_device(settings.device),
        download_root=settings.clip_download_root,
        precision=settings.clip_precision,
        threads=settings.threads,
        towers=("text",),
    )
    _warn_of(clip.name)
    return clip


def start_text(settings: Settings, fetcher: Fetcher | None = None, *, pace: Pace | None = None) -> HostedText:
    """Start the text half of CLIP, as `load_models` does."""
    opener = _clip_opener(settings, "text", settings.threads)
    # One call at a time, on all processors: two at a time would both be late.
    engine = _engine("the CLIP model for text", opener, TextProbe(), settings, 1, 0, pace, fetcher)
    text = HostedText(engine, _expected(settings.clip_model))
    text.engine.start()
    text.engine.settle()
    _warn_of(name_of(text))
    return text


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


def _published_name(model: str) -> str | None:
    """The name of a published model. Its weights may be missing: other weights than the published are never loaded."""
    file = weights.FILES.get(model)
    return None if file is None else names.name_of(model, file.sha256, demo=False)


def _expected(model: str) -> Facts | None:
    """What is known of a CLIP model whose weights may be missing."""
    try:
        return Facts(_published_name(model) or "", "cpu", dimensions=shapes.dimensions(model))
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
) -> Engine:
    """An engine that waits for what is `wanting`: by default for the weights of CLIP that the `fetcher` lacks."""
    pace = pace or Pace()

    def open_on(device: str) -> Runner:
        return Host(Setup(opener, device, nice), lanes=lanes, patience=pace.load, name=name)

    if fetcher is None:
        return Engine(name, open_on, probe, device=settings.device, pace=pace, wanting=wanting or (lambda: ""))
    wanting = wanting or (lambda: fetcher.missing("clip"))
    engine = Engine(name, open_on, probe, device=settings.device, pace=pace, wanting=wanting)
    fetcher.watch(engine.wake)
    return engine


def _warn_of(name: str | None) -> None:
    if advice := names.advice(name):
        log.warning("demo model", advice=advice)


def _clip_opener(settings: Settings, tower: str, threads: int) -> ClipHalf:
    return ClipHalf(tower, settings.clip_model, settings.clip_download_root, settings.clip_precision, threads)


def _ocr_name(settings: Settings) -> str:
    from indexer.models.ocr import ocr_name

    return ocr_name(
        settings.ocr_engine,
        min_box_score=settings.ocr_min_box_score,
        min_text_score=settings.ocr_min_text_score,
        detect_side=settings.ocr_detect_side,
    )


def _ocr_opener(settings: Settings) -> OcrEngine:
    return OcrEngine(
        settings.ocr_engine, settings.ocr_min_box_score, settings.ocr_min_text_score, settings.ocr_detect_side
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
    )
