"""Processes, as the kernel shows them."""

import contextlib
from pathlib import Path

_LIBRARIES = ("cv2", "onnxruntime", "openvino", "torch")


def model_libraries(pid: int) -> set[str]:
    """Libraries that compute models, and that the process has loaded. Only the processes of models should have any."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in _LIBRARIES if f"/{name}/" in maps}


def children(pid: int) -> list[int]:
    """The processes that it has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(number) for number in task.read_text().split()]
    return found
