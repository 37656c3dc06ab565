"""OpenVINO in the place of ONNX Runtime, on a processor: the same model files, the same results."""

import importlib.util
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from indexer.models.runtimes import denormals, processor
from indexer.models.runtimes.best import Best

Format = Literal["f32", "bf16", "f16"]
Found = Callable[[], Sequence[str]]
"""Asks for the devices that it finds, such as `CPU` and `GPU`. None where it is not installed."""

_ISAS_WITHOUT_BF16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}
"""Of oneDNN, with which OpenVINO computes: https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html"""

_NOT_INSTALLED = "OpenVINO is not installed (pip install 'immich-indexer[openvino]')"
_PLANS = 1000
"""Plans of single operations, each for one shape, that a model keeps for each caller: those of some shapes. With all
plans (OpenVINO's own number is 5,000) memory grows for hundreds of photos, without any a line takes a sixth longer."""


def is_installed() -> bool:
    """Whether the package is here. It is not imported for that."""
    return importlib.util.find_spec("openvino") is not None


def why_not_bf16(cpuinfo: Path = processor.CPUINFO) -> str:
    """Why it cannot compute in bf16 here, at least not faster than in fp32. Empty where it can.

    `cpuinfo` says what the processor itself has. Without that OpenVINO imitates bf16, which is slower than fp32.
    """
    if not is_installed():
        return _NOT_INSTALLED
    import openvino

    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _ISAS_WITHOUT_BF16:
        return "ONEDNN_MAX_CPU_ISA forbids it"
    able: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "" if "BF16" in able and _has_bf16(cpuinfo) else "this processor has no bf16"


def devices() -> list[str]:
    """As `Found`, on this machine."""
    if not is_installed():
        return []
    import openvino

    found: list[str] = openvino.Core().available_devices
    return found


def why_not_gpu(found: Sequence[str]) -> str:
    """Why it cannot compute on Intel's graphics, with what would help. Empty where it can."""
    if not found:
        return _NOT_INSTALLED
    if any(name.partition(".")[0] == "GPU" for name in found):  # GPU.0 and GPU.1 where there are two
        return ""
    return (
        f"OpenVINO finds no Intel graphics, only {', '.join(found)}: install Intel's OpenCL driver (intel-opencl-icd), "
        "and in a container give it /dev/dri and the group of its files, as compose.intel.yaml does"
    )


def _has_bf16(cpuinfo: Path) -> bool:
    flags = processor.flags(cpuinfo)
    return flags is None or not flags.isdisjoint({"avx512_bf16", "amx_bf16"})  # no Linux: OpenVINO is believed


class OpenVinoSession:
    """A model called as an ONNX Runtime session is. Of its outputs only the first is returned.

    `run` may be called from any thread. Each of up to `callers` concurrent runs keeps `threads` processors busy, and
    further ones wait. Each caller takes memory of its own. `best`: return the `Best` of the output, not the output.
    """

    def __init__(
        self, path: Path, *, callers: int, threads: int = 1, precision: Format = "f32", best: bool = False
    ) -> None:
        # Takes 15 MB: only the process that computes with it should have it.
        import openvino

        from indexer.models.runtimes import upsampling

        # By itself OpenVINO would take bf16 where the processor has it, and tie its threads to processors that the
        # other models use, too.
        hints = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": callers,
            "INFERENCE_NUM_THREADS": callers * threads,
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": _PLANS,
        }
        self._tensor = openvino.Tensor
        core = openvino.Core()

        def compiled() -> Any:
            model = core.read_model(str(path))
            upsampling.compute_in_place(model)
            return core.compile_model(model, "CPU", hints)

        self._best = best
        self._compile = compiled
        self._opened: _Opened | None = None
        self._inputs, self._outputs = self._open().names

    def get_inputs(self) -> list[SimpleNamespace]:
        """Its inputs, with their names."""
        return [SimpleNamespace(name=name) for name in self._inputs]

    def get_outputs(self) -> list[SimpleNamespace]:
        """Its first output, with its name."""
        return [SimpleNamespace(name=self._outputs)]

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """The first output. Raises RuntimeError, as for want of memory."""
        # The request reads this very memory, and does not keep it alive.
        feed = {name: np.ascontiguousarray(values) for name, values in input_feed.items()}
        request = (self._opened or self._open()).request
        try:
            for name, values in feed.items():
                request.set_tensor(name, self._tensor(values, shared_memory=True))
            # Not infer(): where memory is short that returns the output of the run before, and no error.
            request.start_async()
            request.wait()
            output = request.get_output_tensor(0).data  # the next run writes into the same memory
            return [Best.of(output) if self._best else np.array(output)]
        except Exception:
            self._opened = None  # a run that failed leaves the model with shapes that do not fit each other
            raise

    def _open(self) -> "_Opened":
        with denormals.as_zero():  # its threads inherit it
            self._opened = opened = _Opened(self._compile())
        return opened


class _Opened(threading.local):
    """A compiled model, with a request of each calling thread."""

    def __init__(self, model: Any) -> None:
        self.request = model.create_infer_request()
        self.names = [each.get_any_name() for each in model.inputs], model.output(0).get_any_name()
