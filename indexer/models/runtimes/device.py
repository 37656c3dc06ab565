"""Which processor the models run on."""

import time
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

from indexer.errors import SettingsError
from indexer.models.runtimes import gpu, openvino

if TYPE_CHECKING:  # its import takes seconds: only code that computes with it should wait
    import torch

Device = Literal["cpu", "cuda", "openvino:GPU"]
Format = Literal["fp32", "bf16", "fp16"]

INTEL_GPU: Device = "openvino:GPU"
"""Intel's graphics, by OpenVINO: for CLIP's image tower alone. All else then stays on the processor."""

_LAYERS = 8  # so many matrices do not fit into a cache, as in a real model


def resolve_device(wanted: str) -> Device:
    """What a value of DEVICE means on this machine. Raises as `choose_device`."""
    return choose_device(wanted)[0]


def choose_device(
    wanted: str,
    needs: int = 0,
    *,
    driver: gpu.Driver | None = None,
    build: gpu.Build | None = None,
    found: openvino.Found | None = None,
) -> tuple[Device, str]:
    """Where to compute on this machine. With a sentence why not on its GPU, empty where it has none.

    Args:
        wanted: `auto`, `cpu`, `cuda` or `openvino:GPU`. `auto` never means the last.
        needs: bytes of GPU memory that the models take.
        driver: of the GPU. By default this machine's.
        build: what torch was built for. By default the installed torch.
        found: the devices that OpenVINO finds, by default here. To ask loads Intel's driver, which takes 40 MB.

    Raises:
        SettingsError: the name is unknown, or a GPU was asked for and cannot be used. The text says what would help.
    """
    if wanted not in ("auto", "cpu", "cuda", INTEL_GPU):
        raise SettingsError(f"unknown device {wanted!r}: use auto, cpu, cuda or {INTEL_GPU}")
    if wanted == INTEL_GPU:
        if trouble := openvino.why_not_gpu((found or openvino.devices)()):
            raise SettingsError(f"device {wanted!r} was asked for, but {trouble}; or use DEVICE=auto or cpu")
        return INTEL_GPU, ""
    driver = driver or gpu.NvidiaDriver()
    if wanted == "cpu" or (wanted == "auto" and not driver.cards()):
        return "cpu", ""
    if not (trouble := gpu.trouble(driver, build or gpu.torch_build(), needs)):
        return "cuda", ""
    if wanted == "cuda":
        raise SettingsError(f"device 'cuda' was asked for, but {trouble}; or use DEVICE=auto or cpu")
    return "cpu", f"the processor is used and not the GPU: {trouble}"


@cache
def fastest_format(rows: int) -> Format:
    """The number format in which this processor is fastest at multiplying `rows` rows by a layer of a transformer.

    It is measured, for half a second, because the processor's instruction set says little. With AMX bf16 takes half of
    fp32's time, with only AVX-512 twice as much. fp16 is faster where there are few rows, because then reading the
    matrix takes the time. A format other than fp32 is chosen only if it is clearly faster.
    """
    import torch

    has = torch.cpu.get_capabilities()
    dtypes: dict[Format, torch.dtype] = {"fp32": torch.float32}
    if has.get("avx512_bf16") or has.get("amx_bf16"):
        dtypes["bf16"] = torch.bfloat16
    if has.get("avx512_fp16") or has.get("amx_fp16"):
        dtypes["fp16"] = torch.float16
    if len(dtypes) == 1:
        return "fp32"
    layers = {name: [torch.ones(3072, 768, dtype=dtype) for _ in range(_LAYERS)] for name, dtype in dtypes.items()}
    times: dict[Format, list[float]] = {name: [] for name in dtypes}
    for _ in range(5):
        for name, dtype in dtypes.items():
            times[name].append(_seconds(torch.ones(rows, 768, dtype=dtype), layers[name]))
    best = min(times, key=lambda name: min(times[name]))
    return best if min(times[best]) < 0.8 * min(times["fp32"]) else "fp32"


def _seconds(rows: "torch.Tensor", layers: "Sequence[torch.Tensor]") -> float:
    import torch

    with torch.inference_mode():
        start = time.perf_counter()
        for layer in layers:
            torch.nn.functional.linear(rows, layer)
        return time.perf_counter() - start
