"""The models alone, in the fastest plain loop we know of: what the whole pipeline is measured against.

No database, no queue, no files, no retries, no results kept: one process, `workers` threads, and each thread takes the
next picture, decodes it, finds and reads its text, and computes its CLIP vector. The models are the very objects that
the pipeline uses, with the same detection size, classifier and number format, and each model call keeps to one
processor; measured on two cores, this arrangement was faster than one worker whose calls use both, and no slower
than collecting pictures into batches (in bf16 a batch of one costs as much per picture as a batch of 16).
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from indexer.images import decode
from indexer.models.clip.cn_clip.on_torch import Clip, load_clip
from indexer.models.ocr.names import EngineName
from indexer.models.ocr.ocr import Ocr, load_ocr
from indexer.models.runtimes.device import Device

MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class Models:
    """Both models, loaded and warm."""

    ocr: Ocr
    clip: Clip


@dataclass(frozen=True)
class PhotoSeconds:
    """Seconds that one photo takes, step by step; nothing overlaps."""

    decode: float
    detect: float
    recognise: float
    clip: float

    @property
    def total(self) -> float:
        """The sum of all steps."""
        return self.decode + self.detect + self.recognise + self.clip


def load_models(
    clip_checkpoint: str,
    *,
    device: Device = "cpu",
    engine: EngineName = "rapidocr",
    detect_side: int = 960,
    min_text_score: float = 0.8,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    download_root: Path | None = None,
    threads: int = 1,
) -> Models:
    """Load both models; one call of either uses `threads` processors."""
    return Models(
        load_ocr(engine, device=device, threads=threads, detect_side=detect_side, min_text_score=min_text_score),
        load_clip(
            clip_checkpoint,
            device=device,
            download_root=download_root,
            precision=precision,
            threads=threads,
            towers=("image",),
        ),
    )


def raw_images_per_second(pictures: Sequence[bytes], models: Models, *, workers: int | None = None) -> float:
    """Encoded pictures to text and vector, pictures a second; `workers` threads, by default one a processor."""
    threads = workers or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda data: _one(data, models), pictures[:threads]))  # warm every thread
        start = time.perf_counter()
        list(pool.map(lambda data: _one(data, models), pictures))
        return len(pictures) / (time.perf_counter() - start)


def raw_seconds_per_photo(pictures: Sequence[bytes], models: Models) -> PhotoSeconds:
    """The median photo, one at a time, one step after the other: the least a newly uploaded photo can take."""
    _one(pictures[0], models)
    runs = sorted((_one(data, models) for data in pictures), key=lambda seconds: seconds.total)
    return runs[len(runs) // 2]


def _one(data: bytes, models: Models) -> PhotoSeconds:
    marks = [time.perf_counter()]
    picture = decode(data, max_pixels=MAX_PIXELS)
    marks.append(time.perf_counter())
    detection = models.ocr.detect(picture)
    marks.append(time.perf_counter())
    models.ocr.recognise([detection])
    marks.append(time.perf_counter())
    models.clip.encode_images([models.clip.prepare(picture)])
    marks.append(time.perf_counter())
    return PhotoSeconds(*(after - before for before, after in pairwise(marks)))
