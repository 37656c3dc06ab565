"""What an NVIDIA GPU does: both ways to read text on it, beside each other, and against the processor's results."""

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.pipeline import checkpoint
from indexer import allocator, images
from indexer.demo.pictures import draw_all, folded
from indexer.models.inference import Inference, Made
from indexer.models.load import load_models, start_inference
from indexer.models.ocr.runtimes import Runtime
from indexer.models.runtimes.device import resolve_device
from indexer.settings import Settings

NAME = "gpu"
DESCRIPTION = "photos/s, lines, vectors, memory and the time of each stage on a GPU, with ONNX Runtime and with torch"

_SIDES: tuple[Runtime, ...] = ("onnxruntime", "torch")
_AT_ONCE = 128  # photos
_TIMED = 20  # pictures, for the stages


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns the figures of each side, of decoding alone, and how the lines and vectors agree with the processor's.

    With `--device cpu` all of it runs on the processor: that shows that it works, and nothing else.
    """
    allocator.keep_freed()
    device = "cpu" if options.device == "cpu" else resolve_device("cuda")
    rounds, repeats = (1, 1) if options.quick else (3, 8)
    with tempfile.TemporaryDirectory() as name, checkpoint(options.clip, Path(name)) as clip:
        pictures = [picture.path.read_bytes() for picture in draw_all(Path(name) / "pictures")]
        with contextlib.ExitStack() as stack:
            expected = _read(stack.enter_context(_opened(clip, "cpu", "onnxruntime")), pictures)
        figures: dict[str, object] = {"device": device, "pictures": len(pictures)}
        with contextlib.ExitStack() as stack:
            sides: dict[Runtime, Inference] = {}
            agreements: dict[Runtime, dict[str, object]] = {}
            for runtime in _SIDES:
                before = _memory()
                sides[runtime] = stack.enter_context(_opened(clip, device, runtime))
                made = _read(sides[runtime], pictures)  # it plans for the shapes, too
                agreements[runtime] = _agreement(expected, made) | {"gpu_mb": _memory() - before}
            speeds: dict[Runtime, list[dict[str, float]]] = {runtime: [] for runtime in sides}
            for _ in range(rounds):
                for runtime, inference in sides.items():
                    speeds[runtime].append(_speeds(inference, pictures * repeats))
            for runtime, inference in sides.items():
                measured = {key: round(statistics.median(each[key] for each in speeds[runtime]), 1) for key in _KINDS}
                stages = _stages(inference, pictures[:_TIMED])
                figures[runtime] = agreements[runtime] | measured | {"stages_ms": stages}
        figures["decoded_per_s"] = round(_decoded(pictures * repeats), 1)
    return figures


_KINDS = {"text_and_vector_per_s": True, "vector_per_s": False}
"""Kinds of reading, and whether each reads text."""


@contextlib.contextmanager
def _opened(clip: str, device: str, runtime: Runtime) -> Iterator[Inference]:
    settings = Settings.load(clip_model=clip, device=device, ocr_runtime=runtime, _env_file=None)
    models = load_models(settings)
    try:
        for part, engine in models.engines.items():
            if not engine.state.is_ready:
                raise SystemExit(f"{part} on {device} with {runtime}: {engine.state.reason}")
            if engine.facts is None or engine.facts.device != device:
                raise SystemExit(f"{part} does not run on {device}: {engine.facts and engine.facts.note}")
        yield start_inference(settings, models)
    finally:
        models.close()


def _read(inference: Inference, pictures: Sequence[bytes], *, ocr: bool = True) -> list[Made]:
    async def all_of_them() -> list[Made]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(data: bytes) -> Made:
            async with gate:
                made = await inference.read_each(data, clip=True, ocr=ocr)
            for error in made.failed.values():
                raise error
            return made

        return list(await asyncio.gather(*map(one, pictures)))

    return asyncio.run(all_of_them())


def _agreement(expected: Sequence[Made], made: Sequence[Made]) -> dict[str, object]:
    """How many of the processor's lines are read, and the least cosine of a vector and the processor's."""
    lines = [([folded(line.text) for line in each.lines or ()]) for each in expected]
    others = [([folded(line.text) for line in each.lines or ()]) for each in made]
    same = sum(sum(text in other for text in mine) for mine, other in zip(lines, others, strict=True))
    vectors = [np.stack([each.vector for each in side if each.vector is not None]) for side in (expected, made)]
    cosine = float(np.sum(vectors[0] * vectors[1], axis=1).min())
    return {"lines_equal": round(same / sum(map(len, lines)), 4), "least_cosine": round(cosine, 5)}


def _speeds(inference: Inference, pictures: Sequence[bytes]) -> dict[str, float]:
    found = {}
    for kind, ocr in _KINDS.items():
        began = time.perf_counter()
        _read(inference, pictures, ocr=ocr)
        found[kind] = len(pictures) / (time.perf_counter() - began)
    return found


def _stages(inference: Inference, pictures: Sequence[bytes]) -> dict[str, float]:
    """Milliseconds of one photo in each stage, one photo at a time, the median."""
    clip: Any = inference.clip
    ocr: Any = inference.ocr
    taken: dict[str, list[float]] = {}

    def timed(stage: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = call()
        taken.setdefault(stage, []).append(time.perf_counter() - began)
        return result

    for data in pictures:
        picture = timed("decode", partial(images.decode, data, max_pixels=64_000_000))
        prepared = timed("prepare", partial(clip.prepare, picture))
        timed("encode", partial(clip.encode_images, [prepared]))
        detection = timed("detect", partial(ocr.detect, picture))
        timed("recognise", partial(ocr.recognise, [detection]))
    return {stage: round(statistics.median(seconds) * 1000, 2) for stage, seconds in taken.items()}


def _decoded(pictures: Sequence[bytes]) -> float:
    """Pictures a second, decoded alone on all processors."""
    began = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda data: images.decode(data, max_pixels=64_000_000), pictures))
    return len(pictures) / (time.perf_counter() - began)


def _memory() -> int:
    """Megabytes of GPU memory in use. 0 where there is none."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        return sum(map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))
    except (OSError, subprocess.CalledProcessError):
        return 0
