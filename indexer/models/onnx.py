"""ONNX Runtime sessions, set up once and the same way for every model."""

import logging
from pathlib import Path

import onnxruntime

log = logging.getLogger(__name__)


def open_session(path: Path, *, device: str = "cpu", threads: int = 1) -> onnxruntime.InferenceSession:
    """A session whose `run` may be called from several threads at once.

    With `threads=1` a run uses the calling thread and no other, so that the caller's own threads decide how many
    processors are busy. For `cuda` in an ONNX Runtime without CUDA a warning is logged and the CPU used.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Waiting threads would otherwise spin, and take the processors from the session that has work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena saves a seventh of the time (fresh pages for every run otherwise) and peaks lower than malloc does. A
    # plan per shape would save little more, for memory that grows with every new shape.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(str(path), sess_options=options, providers=_providers(device))


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    if device != "cuda":
        return ["CPUExecutionProvider"]
    available = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in available:
        log.warning(
            "models run on the CPU: this ONNX Runtime has no CUDA (only %s); replace onnxruntime by onnxruntime-gpu",
            ", ".join(available),
        )
        return ["CPUExecutionProvider"]
    # The default, EXHAUSTIVE, times every convolution algorithm anew for each new shape: slower than a CPU.
    cuda = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]
