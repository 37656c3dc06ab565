"""What runs the models of OCR: ONNX Runtime, OpenVINO in fp32 with the same lines, or in bf16 with nearly the same.

Or torch, where that is asked for: in fp16 on a GPU. It is not chosen by itself, because it has not been measured there.
"""

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from indexer import limits
from indexer.errors import SettingsError, words_of
from indexer.models.runtimes import openvino
from indexer.models.runtimes.openvino import Format

Runtime = Literal["onnxruntime", "openvino", "torch"]
WantedRuntime = Literal["auto", "onnxruntime", "openvino", "torch"]
WantedPrecision = Literal["auto", "fp32", "bf16"]
OcrPrecision = Literal[WantedPrecision, "int8"]
"""As in the settings. In int8 a model is made from one that is there: `indexer.models.int8`."""

_ROOM = 2 << 30
"""Bytes of memory that this process must be allowed for OpenVINO to be chosen: it takes 100 to 300 MB more."""

_CLEARLY = 0.8
"""The part of a plainer way's time that another may take at most to be chosen."""


_SPOKEN = {"bf16": "bf16", "f16": "fp16"}


class Way(NamedTuple):
    """A library, and the number format in which it computes."""

    runtime: Runtime
    precision: Format

    def __str__(self) -> str:
        name = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "torch": "torch"}[self.runtime]
        return name if self.precision == "f32" else f"{name} in {_SPOKEN[self.precision]}"


_PLAIN = Way("onnxruntime", "f32")
_WAYS = (_PLAIN, Way("openvino", "f32"), Way("openvino", "bf16"))
"""All ways. Each is chosen only where it is clearly faster than those before it."""

Measure = Callable[[Path, Sequence[Way]], Mapping[Way, float]]
"""From the file of a model, and ways, to the seconds that it takes in each."""


def otherwise(precision: OcrPrecision, runtime: WantedRuntime) -> WantedPrecision:
    """The number format where the models are not in int8. Raises SettingsError: they cannot be in int8 here."""
    if precision != "int8":
        return precision
    if runtime not in ("auto", "openvino"):
        raise SettingsError(f"OCR_PRECISION=int8 is not for OCR_RUNTIME={runtime}: use OCR_RUNTIME=auto")
    if not openvino.is_installed():
        raise SettingsError(
            "OCR_PRECISION=int8 was asked for, but OpenVINO is not installed: pip install 'immich-indexer[int8]', "
            "or use OCR_PRECISION=auto"
        )
    return "auto"


def choose_way(
    runtime: WantedRuntime,
    precision: WantedPrecision,
    device: str,
    detector: Path,
    measure: Measure | None = None,
    memory: int | None = None,
) -> tuple[Way, str]:
    """How to run the models of OCR, and why so. Where it has to be measured, that takes a second or two, once.

    Args:
        runtime: as in the settings.
        precision: as in the settings.
        device: where the models run; on `cuda` it is always ONNX Runtime in fp32.
        detector: the model that is measured.
        measure: by default it is measured here.
        memory: bytes that this process may use. By default those of this machine, or of this container.

    Raises:
        SettingsError: what was asked for is not installed, or the processor does not have it.
    """
    if runtime == "torch":
        if importlib.util.find_spec("onnx") is None:
            raise SettingsError("OCR_RUNTIME=torch was asked for, but onnx is not installed: pip install onnx")
        if precision == "bf16":
            raise SettingsError("OCR_PRECISION=bf16 is not for OCR_RUNTIME=torch: use OCR_PRECISION=auto")
        return Way("torch", "f16" if device == "cuda" and precision == "auto" else "f32"), "OCR_RUNTIME=torch"
    if device == "cuda":
        return _PLAIN, "unless OCR_RUNTIME=torch is set, the only one for a GPU"
    if runtime == "openvino" and not openvino.is_installed():
        raise SettingsError(
            "OCR_RUNTIME=openvino was asked for, but OpenVINO is not installed: "
            "pip install 'immich-indexer[openvino]', or use OCR_RUNTIME=auto"
        )
    no_bf16 = "ONNX Runtime does not compute in it" if runtime == "onnxruntime" else openvino.why_not_bf16()
    if precision == "bf16" and no_bf16:
        raise SettingsError(f"OCR_PRECISION=bf16 was asked for, but {no_bf16}; or use OCR_PRECISION=auto")
    ways = [
        way
        for way in _WAYS
        if runtime in ("auto", way.runtime)
        and precision in ("auto", "bf16" if way.precision == "bf16" else "fp32")
        and (way.runtime == "onnxruntime" or openvino.is_installed())
        and (way.precision == "f32" or not no_bf16)
    ]
    if runtime == "auto" and len(ways) > 1 and (memory or limits.memory()) < _ROOM:
        return ways[0], "it takes less memory than OpenVINO, and there is little"
    if len(ways) > 1:
        try:
            return _fastest((measure or _measured)(detector, tuple(ways)))
        except Exception as error:
            return ways[0], f"OpenVINO does not work here: {words_of(error)}"
    if runtime != "auto":
        return ways[0], f"OCR_RUNTIME={runtime}"
    return ways[0], f"OCR_PRECISION={precision}" if openvino.is_installed() else "OpenVINO is not installed"


def _fastest(seconds: Mapping[Way, float]) -> tuple[Way, str]:
    plainest, *others = seconds
    chosen = plainest
    for way in others:
        if seconds[way] < _CLEARLY * seconds[chosen]:
            chosen = way
    parts = " and ".join(f"{seconds[way] / seconds[plainest]:.0%} with {way}" for way in others)
    return chosen, f"on this processor finding text takes {parts} of the time with {plainest}"


@cache
def _measured(detector: Path, ways: Sequence[Way]) -> Mapping[Way, float]:
    """Seconds for one picture: of the processor, so that other work hardly counts."""
    picture = np.random.default_rng(0).standard_normal((1, 3, 320, 320), dtype=np.float32)
    sessions = {way: _open(detector, way) for way in ways}
    times: dict[Way, list[float]] = {way: [] for way in ways}
    for _ in range(5):
        for way, session in sessions.items():
            feed = {session.get_inputs()[0].name: picture}
            began = time.process_time()
            session.run(None, feed)
            times[way].append(time.process_time() - began)
    return {way: min(taken) for way, taken in times.items()}


def _open(detector: Path, way: Way) -> Any:
    if way.runtime == "openvino":
        return openvino.OpenVinoSession(detector, callers=1, precision=way.precision)
    from indexer.models.runtimes.onnx import open_session  # only a process that computes with it should have it

    return open_session(detector)
