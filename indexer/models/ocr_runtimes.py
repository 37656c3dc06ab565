"""Which library runs the models of OCR: ONNX Runtime, or OpenVINO. Both read the very same lines."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from indexer.errors import SettingsError, words_of
from indexer.models import openvino

Runtime = Literal["onnxruntime", "openvino"]
WantedRuntime = Literal["auto", "onnxruntime", "openvino"]

NAMES: dict[Runtime, str] = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}

_CLEARLY = 0.8
"""The part of ONNX Runtime's time that OpenVINO may take at most to be chosen: it needs more memory."""


def choose_runtime(
    wanted: WantedRuntime, device: str, detector: Path, compare: Callable[[Path], float] | None = None
) -> tuple[Runtime, str]:
    """The library for OCR, and why. Where it has to be measured, that takes a second or two, once in a process.

    Args:
        wanted: as in the settings.
        device: where the models run; on `cuda` it is always ONNX Runtime.
        detector: the model with which the two are compared.
        compare: gives OpenVINO's time as a part of ONNX Runtime's. By default it is measured.

    Raises:
        SettingsError: `openvino` was asked for and is not installed.
    """
    if device == "cuda":
        return "onnxruntime", "the only one for a GPU"
    if wanted == "openvino" and not openvino.is_installed():
        raise SettingsError(
            "OCR_RUNTIME=openvino was asked for, but OpenVINO is not installed: "
            "pip install 'immich-indexer[openvino]', or use OCR_RUNTIME=auto"
        )
    if wanted != "auto":
        return wanted, f"OCR_RUNTIME={wanted}"
    if not openvino.is_installed():
        return "onnxruntime", "OpenVINO is not installed"
    try:
        part = (compare or _part_of_time)(detector)
    except Exception as error:
        return "onnxruntime", f"OpenVINO does not work here: {words_of(error)}"
    measured = f"finding text with OpenVINO takes {part:.0%} of ONNX Runtime's time on this processor"
    return ("openvino" if part < _CLEARLY else "onnxruntime"), measured


@cache
def _part_of_time(detector: Path) -> float:
    """OpenVINO's time for one picture, as a part of ONNX Runtime's: of the processor, so other work hardly counts."""
    from indexer.models.onnx import open_session  # only a process that computes with it should have it

    picture = np.random.default_rng(0).standard_normal((1, 3, 320, 320), dtype=np.float32)
    sessions = open_session(detector), openvino.OpenVinoSession(detector, callers=1)
    feeds = [{session.get_inputs()[0].name: picture} for session in sessions]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):
        for session, feed, taken in zip(sessions, feeds, times, strict=True):
            began = time.process_time()
            session.run(None, feed)
            taken.append(time.process_time() - began)
    ours, others = times
    return min(others) / min(ours)
