"""The two RapidOCR packages behind one interface: boxes in a picture, upside-down lines, a line's text."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from indexer.models.ocr.lines import LineReader
from indexer.models.ocr.names import EngineName, Quantised, engine_name, model_files
from indexer.models.ocr.runtimes import OcrPrecision, WantedRuntime, Way, choose_way, otherwise
from indexer.models.runtimes import concurrency
from indexer.models.runtimes.fixed_shapes import Shape
from indexer.models.runtimes.onnx import gpu_trouble, open_session, usable_device
from indexer.models.runtimes.openvino import OpenVinoSession

_LEAST_BOX_SCORE = 0.35
"""The lowest score of boxes that engines return. Where a box is doubtful, a closer look may decide."""

_CHANGED_BY_BF16 = {"rapidocr-onnxruntime"}
"""Engines that read some lines otherwise in bf16: PP-OCRv4 8 of 1,451, PP-OCRv6 one of 1,450, a false one."""

_STEP, _STEP_WHERE_NEARLY = 16, 64
"""On a processor lines are padded to multiples of so many pixels. OpenVINO takes 6 ms to plan for another width,
half of what a line takes. With 16 no line of 1,212 was read otherwise; with 64 one in some 600, as in bf16 and int8
anyway."""

_COLUMNS = 1280
"""Pixels of lines in one call of OpenVINO's: four lines of 320 take an eighth less time than one by one. With ONNX
Runtime they take the same."""

_LINES_AT_ONCE = 16
"""Lines in one call of the classifier and the recogniser on a GPU. There a call with fewer takes as long."""


@dataclass(frozen=True)
class Engine:
    """One package's models with its own processing before and after them.

    All pictures are (height, width, 3) uint8 in BGR order, as in the models' training. Any thread may call these
    functions at any time: they keep their state in local variables, and both runtimes allow concurrent runs.

    Attributes:
        name: package, version and model files: all that decides the result.
        boxes: takes a picture whose sides are multiples of 32, and the (height, width) to scale the corners to. Returns
            (n, 4, 2) float32 corners, clockwise from the top left, and (n,) float32 scores of at least 0.35.
        reading_order: sorts boxes, top to bottom and left to right. Rows after the four corners stay with their box.
        crop: the straightened picture of one box. A tall one (height >= 1.5 width) is turned counter-clockwise.
        upside_down: for each crop, the probability that it is upside down.
        texts: for each crop, its text and score.
        alphabet: the characters that `texts` can return.
    """

    name: str
    boxes: Callable[[np.ndarray, tuple[int, int]], tuple[np.ndarray, np.ndarray]]
    reading_order: Callable[[np.ndarray], Sequence[np.ndarray]]
    crop: Callable[[np.ndarray, np.ndarray], np.ndarray]
    upside_down: Callable[[Sequence[np.ndarray]], np.ndarray]
    texts: Callable[[Sequence[np.ndarray]], list[tuple[str, float]]]
    alphabet: frozenset[str]


Tap = Callable[[Path, npt.NDArray[np.float32]], None]
"""Is shown each input of a network on its way: the network's file, and the input."""

_Replace = Callable[[Path, Any, Callable[[Shape], Shape]], Any]
"""From a model's file, its session in ONNX Runtime and its shapes on a GPU to the session that is used."""

_Reader = Callable[[Any, Callable[[np.ndarray], Any], Callable[[Any], Sequence[tuple[str, float]]]], LineReader]
"""Makes a `LineReader`, for a processor, of the first three of its arguments."""


def open_engine(
    engine: EngineName,
    *,
    device: str,
    threads: int,
    runtime: WantedRuntime = "onnxruntime",
    precision: OcrPrecision = "auto",
    callers: int = 1,
    quantised: Quantised | None = None,
    tap: Tap | None = None,
) -> Engine:
    """Load a package's models from its own wheel. Nothing is downloaded. Arguments as of `load_ocr`.

    Raises:
        WeightsError: the wheel lacks a model file.
        SettingsError: the runtime is not installed, or the processor has not that precision.
        ValueError: no such engine.
    """
    files = model_files(engine)
    if runtime != "torch":
        device = usable_device(device, files[1])
    way = Way("openvino", "f32") if quantised else engine_way(engine, runtime, precision, device)[0]
    in_int8 = {files[0]: quantised.detector, files[2]: quantised.recogniser} if quantised else {}

    calls, each = concurrency.of(callers)  # with OpenVINO each call takes some 200 MB

    def replace(file: Path, session: Any, shape: Callable[[Shape], Shape]) -> Any:
        if way.runtime == "onnxruntime":
            return session
        best = file == files[2]
        if way.runtime == "torch":
            from indexer.models.runtimes.torch_session import TorchSession  # takes seconds

            half = way.precision == "f16"
            return TorchSession(file, device=device, half=half, shape=shape, best=best)
        path = in_int8.get(file, file)
        opened = OpenVinoSession(path, callers=calls, threads=each, precision=way.precision, best=best)
        return _Tapped(opened, partial(tap, file)) if tap else opened

    open_one = partial(open_session, device="cpu" if way.runtime == "torch" else device, threads=threads)
    reader: _Reader | None = None
    if device != "cuda":
        nearly = bool(quantised) or (way.precision == "bf16" and engine not in _CHANGED_BY_BF16)
        columns = _COLUMNS if way.runtime == "openvino" else 0
        reader = partial(LineReader, step=_STEP_WHERE_NEARLY if nearly else _STEP, columns=columns)
    return (_rapidocr if engine == "rapidocr" else _rapidocr_onnxruntime)(files, open_one, replace, reader)


def engine_way(engine: EngineName, runtime: WantedRuntime, precision: OcrPrecision, device: str) -> tuple[Way, str]:
    """How that engine would run on `device` where it is not in int8, and why. Raises as `open_engine`."""
    wanted = otherwise(precision, runtime)
    if engine in _CHANGED_BY_BF16 and wanted == "auto":
        wanted = "fp32"
    return choose_way(runtime, wanted, device, model_files(engine)[0])


def engine_gpu_trouble(engine: EngineName) -> str:
    """Why that engine cannot run on a GPU here. Empty where it can. Raises as `open_engine`."""
    return gpu_trouble(model_files(engine)[1])


class _Tapped:
    """A session whose inputs are shown to somebody."""

    def __init__(self, session: OpenVinoSession, show: Callable[[npt.NDArray[np.float32]], None]) -> None:
        self._session = session
        self._show = show
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """As the session's own."""
        for values in input_feed.values():
            self._show(values)
        return self._session.run(output_names, input_feed)


def _rapidocr(files: Sequence[Path], open_one: Callable[..., Any], replace: _Replace, reader: _Reader | None) -> Engine:
    """Rapidocr 3: PP-OCRv6 small, with the angle classifier of PP-OCRv2."""
    from omegaconf import OmegaConf
    from rapidocr.ch_ppocr_cls import TextClassifier
    from rapidocr.ch_ppocr_det import TextDetector
    from rapidocr.ch_ppocr_det.utils import DetPreProcess
    from rapidocr.ch_ppocr_rec import TextRecInput, TextRecognizer
    from rapidocr.main import DEFAULT_CFG_PATH
    from rapidocr.utils.parse_parameters import ParseParams
    from rapidocr.utils.process_img import get_rotate_crop_image

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)  # its import has set INFO
    config = ParseParams.load(DEFAULT_CFG_PATH)

    def part(kind: type[Any], section: dict[str, Any], file: Path, shape: Callable[[Shape], Shape]) -> Any:
        session = open_one(file, shape=shape)
        # Given a session, the package opens none itself, and neither searches for a model file nor downloads one. It
        # takes only one of ONNX Runtime's.
        settings = OmegaConf.create({**section, "session": session, "font_path": ""}, flags={"allow_objects": True})
        made = kind(settings)
        made.session.session = replace(file, session, shape)
        settings["session"] = None  # the package keeps its settings
        return made

    detector = part(TextDetector, config.Det, files[0], _detector_shape)
    classifier = part(TextClassifier, config.Cls, files[1], _classifier_shape)
    recogniser = part(TextRecognizer, config.Rec, files[2], _recogniser_shape)

    def texts(crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        result = recogniser(TextRecInput(img=list(crops)))
        return list(zip(result.txts, result.scores, strict=True))

    if reader is None:
        classifier.cls_batch_num = recogniser.rec_batch_num = _LINES_AT_ONCE
        read = texts
    else:
        # PP-OCRv6 does not need short lines padded to 320 columns: with 160 it reads the same in half the time
        # (PP-OCRv4 then loses some).
        recogniser.rec_image_shape = [3, 48, 160]
        read = reader(recogniser, recogniser.session, lambda output: recogniser.postprocess_op(output)[0])

    return Engine(
        name=engine_name("rapidocr"),
        boxes=_boxes(detector, DetPreProcess, detector.session),
        reading_order=detector.sorted_boxes,
        crop=get_rotate_crop_image,
        upside_down=_upside_down(classifier, classifier.session),
        texts=read,
        alphabet=frozenset(recogniser.postprocess_op.character),
    )


def _rapidocr_onnxruntime(
    files: Sequence[Path], open_one: Callable[..., Any], replace: _Replace, reader: _Reader | None
) -> Engine:
    """rapidocr-onnxruntime 1.4: PP-OCRv4 mobile, with the angle classifier of PP-OCRv2."""
    from rapidocr_onnxruntime.ch_ppocr_cls import TextClassifier
    from rapidocr_onnxruntime.ch_ppocr_det import TextDetector
    from rapidocr_onnxruntime.ch_ppocr_det.utils import DetPreProcess
    from rapidocr_onnxruntime.ch_ppocr_rec import TextRecognizer
    from rapidocr_onnxruntime.main import DEFAULT_CFG_PATH, RapidOCR
    from rapidocr_onnxruntime.utils import read_yaml

    config = read_yaml(DEFAULT_CFG_PATH)

    def part(kind: type[Any], section: dict[str, Any], file: Path, shape: Callable[[Shape], Shape]) -> Any:
        made = kind({**section, "model_path": str(file), "intra_op_num_threads": 1, "inter_op_num_threads": 1})
        holder = made.session if kind is TextRecognizer else made.infer
        # This package accepts no session from outside.
        holder.session = replace(file, open_one(file, shape=shape), shape)
        return made

    detector = part(TextDetector, config["Det"], files[0], _detector_shape)
    classifier = part(TextClassifier, config["Cls"], files[1], _classifier_shape)
    recogniser = part(TextRecognizer, config["Rec"], files[2], _recogniser_shape)
    logging.getLogger("OrtInferSession").setLevel(logging.ERROR)
    found = _boxes(detector, DetPreProcess, lambda batch: detector.infer(batch)[0])

    def boxes(picture: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        # The package's filter drops boxes but not their scores. Called for one box at a time it cannot mix them up.
        pairs = zip(*found(picture, shape), strict=True)
        kept = [(box, score) for raw, score in pairs for box in detector.filter_tag_det_res(raw[None], shape)]
        return _arrays([box for box, _ in kept], [score for _, score in kept])

    def texts(crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        return [(text, score) for text, score in recogniser(list(crops))[0]]

    if reader is None:
        classifier.cls_batch_num = recogniser.rec_batch_num = _LINES_AT_ONCE
        read = texts
    else:
        read = reader(recogniser, lambda batch: recogniser.session(batch)[0], recogniser.postprocess_op)

    return Engine(
        name=engine_name("rapidocr-onnxruntime"),
        boxes=boxes,
        reading_order=RapidOCR.sorted_boxes,
        crop=lambda picture, box: RapidOCR.get_crop_img_list(None, picture, [box])[0],
        upside_down=_upside_down(classifier, lambda batch: classifier.infer(batch)[0]),
        texts=read,
        alphabet=frozenset(recogniser.postprocess_op.character),
    )


def _detector_shape(shape: Shape) -> Shape:
    """The shape to pad to, (1, 3, height, width). Few shapes: previews of a camera are equal, others have any size."""
    one, channels, height, width = shape
    return one, channels, _up(height, 160), _up(width, 160)


def _classifier_shape(shape: Shape) -> Shape:
    """The shape to pad to, (n, 3, 48, 192). Only n differs."""
    return _LINES_AT_ONCE, *shape[1:]


def _recogniser_shape(shape: Shape) -> Shape:
    """The shape to pad to, (n, 3, 48, width). Wider lines in larger steps, and fewer at once, to limit memory."""
    _, channels, height, width = shape
    step = 160
    while width > 4 * step:
        step *= 2
    width = _up(width, step)
    return max(1, min(_LINES_AT_ONCE, _LINES_AT_ONCE * 1280 // width)), channels, height, width


def _up(length: int, step: int) -> int:
    return -(-length // step) * step


def _boxes(
    detector: Any,
    preprocess: type[Any],
    run: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray, tuple[int, int]], tuple[np.ndarray, np.ndarray]]:
    """Detection as in both packages, but the caller chooses the size and the boxes."""
    detector.postprocess_op.box_thresh = _LEAST_BOX_SCORE

    # What the package makes of each byte, in each channel. To look it up takes a twentieth of the time, and the package
    # would resize to multiples of 32, which the picture is already.
    every_byte = np.arange(256, dtype=np.uint8).reshape(256, 1, 1).repeat(3, axis=2)
    made = preprocess(mean=detector.mean, std=detector.std).normalize(every_byte)[:, 0]
    values = np.ascontiguousarray(made.T, dtype=np.float32)

    def boxes(picture: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        prepared = np.empty((1, 3, *picture.shape[:2]), dtype=np.float32)
        for channel, plane in enumerate(cv2.split(picture)):
            cv2.LUT(plane, values[channel], prepared[0, channel])
        return _arrays(*detector.postprocess_op(run(prepared), shape))

    return boxes


def _arrays(boxes: Sequence[np.ndarray], scores: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(boxes, dtype=np.float32).reshape(-1, 4, 2), np.asarray(scores, dtype=np.float32)


def _upside_down(
    classifier: Any,
    run: Callable[[np.ndarray], np.ndarray],
) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """Both packages' classifier, but it returns the probability. Called as a whole it copies and turns every crop."""

    def upside_down(crops: Sequence[np.ndarray]) -> np.ndarray:
        at_once = classifier.cls_batch_num
        parts = [
            run(np.stack([classifier.resize_norm_img(crop) for crop in crops[start : start + at_once]]))[:, 1]
            for start in range(0, len(crops), at_once)
        ]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)

    return upside_down
