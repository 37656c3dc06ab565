"""ONNX Runtime sessions, with the same options for every model."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import onnxruntime

from indexer.models.runtimes import denormals, fixed_shapes
from indexer.models.runtimes.fixed_shapes import Array, Shape

log = logging.getLogger(__name__)

Providers = Sequence[str | tuple[str, dict[str, str]]]

_CPU: Providers = ["CPUExecutionProvider"]
_CUDA = "CUDAExecutionProvider"
# DEFAULT has no algorithm for some convolutions of PP-OCR and takes 20 times as long. EXHAUSTIVE plans even longer.
_GPU: Providers = [
    (_CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}),
    *_CPU,
]
_SPIN = "200"  # microseconds


def open_session(
    path: Path,
    *,
    device: str = "cpu",
    threads: int = 1,
    shape: Callable[[Shape], Shape] | None = None,
    few_shapes: bool = False,
) -> onnxruntime.InferenceSession:
    """A session whose `run` may be called from several threads at once.

    With `threads=1` a run uses only the calling thread. So the caller's threads decide how many processors are busy.

    Args:
        path: the model's file.
        device: `cpu`, or `cuda` where `usable_device` says so. For `cuda` torch is imported: it has CUDA's libraries.
        threads: threads of one run, on a processor.
        shape: for `cuda`, see `FixedShapes`. None where the shape of the input never changes.
        few_shapes: its inputs have few shapes, so that it pays to plan the memory for each.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A thread that waits for the next layer spins, but not long, and not after the run: otherwise it would take the
    # processors from those that have work. On a busy machine a text took 0.29 s of two processors with ONNX Runtime's
    # own spinning, 0.19 with this, 0.16 without any. Without any, or with little, threads are late for small layers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads == 1 else "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # The arena saves a seventh of the time, because runs need no new pages, and its peak is lower than malloc's. A plan
    # for each shape saves a hundredth more, but takes memory for each: for a text less than for a picture.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = few_shapes
    options.add_session_config_entry("session.set_denormal_as_zero", "1")  # in the session's own threads
    if device == "cuda" and shape is not None:
        run_options = onnxruntime.RunOptions()
        # Otherwise each shape would keep the most memory that it ever used.
        run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "gpu:0")
        return FixedShapes(path, options, _GPU, shape, run_options)
    return _Session(str(path), options, providers=_GPU if device == "cuda" else _CPU)


class _Session(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime has no types
    """Takes denormal numbers as zero in the calling thread.

    ONNX Runtime by itself does so in its own threads, and in the thread that opens the first session of a process.
    """

    def __init__(self, *arguments: object, **options: object) -> None:
        with denormals.as_zero():
            super().__init__(*arguments, **options)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Array], run_options: object = None
    ) -> list[Array]:
        """As in ONNX Runtime."""
        with denormals.as_zero():
            outputs: list[Array] = super().run(output_names, input_feed, run_options)
        return outputs


def gpu_trouble(model: Path) -> str:
    """Why this ONNX Runtime cannot run `model` on a GPU. Empty where it can."""
    available = onnxruntime.get_available_providers()
    if _CUDA not in available:
        return f"this ONNX Runtime has no CUDA (only {', '.join(available)}); replace onnxruntime by onnxruntime-gpu"
    if (
        _CUDA not in open_session(model, device="cuda").get_providers()
    ):  # ONNX Runtime has written details to standard error
        return (
            f"onnxruntime-gpu {onnxruntime.__version__} finds no CUDA and cuDNN of the versions that it was built for"
        )
    return ""


def usable_device(device: str, model: Path) -> str:
    """`device`, or `cpu` where `model` cannot run on a GPU, with a warning that says why."""
    if device == "cuda" and (trouble := gpu_trouble(model)):
        log.warning("models run on the CPU: %s", trouble)
        return "cpu"
    return device


class FixedShapes(_Session):
    """A model on a GPU with several sessions, each for inputs of one shape: see `fixed_shapes`.

    cuDNN plans each convolution again whenever the shape of a session's input changes. On an H100 that takes half a
    second for PP-OCRv6's detector and two for its recogniser, whose runs take 4 and 7 ms. Each thread that runs a
    session takes about 35 MB of the GPU.

    Args:
        path: the model's file.
        options: of the sessions.
        providers: where they run.
        shape: as of `fixed_shapes.FixedShapes`.
        run_options: of every run.
    """

    def __init__(
        self,
        path: Path,
        options: onnxruntime.SessionOptions,
        providers: Providers,
        shape: Callable[[Shape], Shape],
        run_options: onnxruntime.RunOptions | None = None,
    ) -> None:
        super().__init__(str(path), options, providers=_CPU)  # only describes the model, and runs nothing
        self._open = partial(onnxruntime.InferenceSession, str(path), options, providers=providers)
        self._input = self.get_inputs()[0].name
        self._names = [output.name for output in self.get_outputs()]
        self._run_options = run_options
        self._fixed = fixed_shapes.FixedShapes(shape, self._planned, _empty_cache)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Array], run_options: object = None
    ) -> list[Array]:
        """As in ONNX Runtime."""
        (values,) = input_feed.values()
        outputs = dict(zip(self._names, self._fixed(values), strict=True))
        return [outputs[name] for name in output_names or self._names]

    def _planned(self, _: Shape) -> fixed_shapes.Run:
        session = self._open()

        def run(values: Array) -> Sequence[Array]:
            outputs: Sequence[Array] = session.run(None, {self._input: values}, self._run_options)
            return outputs

        return run


def _empty_cache() -> None:
    import torch  # takes seconds, but with a GPU it was imported before

    torch.cuda.empty_cache()
