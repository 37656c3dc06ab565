"""immich-indexer beside what a user would take instead: Immich's own server, and mt-photos-ai of immich-all-in-one.

The pictures are drawn anew from a seed, in all kinds of `bench.reading_pictures`, and all sides read the same ones in
turn, with the same weights. The others are asked over HTTP, four photos at a time, and keep nothing. Ours is the whole
of it: photos are asked for in the queue, and have been read when all columns are written.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from bench.gateway import queries
from bench.models_side import memory
from bench.peers_sides import Answer, Immichs, MtPhotosAi, Ours, Side
from bench.queue import on_database
from bench.reading_pictures import KINDS, Sample, samples
from indexer.demo.packages import cn_clip
from indexer.demo.pictures import folded
from indexer.models.clip.cn_clip.shapes import configuration
from indexer.models.clip.cn_clip.small import write_random_checkpoint
from indexer.models.clip.makers import maker_of
from indexer.models.int8.clip import ClipRecord
from indexer.models.int8.record import read, write
from indexer.models.ocr.names import OcrSettings
from indexer.settings import Settings

NAME = "peers"
DESCRIPTION = "photos/s, lines, memory and searches, beside Immich's own server and mt-photos-ai"

_OURS = "CLIP_PRECISION", "OCR_PRECISION", "OCR_RUNTIME", "ONEDNN_MAX_CPU_ISA"
_SHOWN = 12  # pictures of each kind, to make models in int8
_PAUSE = 0.3  # seconds: threads of the side before spin on for a while
_NEEDS = """  ours alone. For the others:
    --immich-ml PYTHON     an interpreter with Immich's own server (pip install 'IMMICH/machine-learning[cpu]')
    --mt-photos-ai PYTHON  an interpreter with what its uv.lock names, for torch a build for processors
    --mt-photos-ai-source  the folder of its source"""


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns the figures of each side, and `..._times`: our photos a second over that side's, the rounds' median."""
    if options.immich_ml is None or options.mt_photos_ai is None or options.mt_photos_ai_source is None:
        print(_NEEDS, file=sys.stderr)
    rounds, count = (1, 1) if options.quick else (3, options.pictures or 3)
    pictures = [sample for kind in KINDS for sample in samples(kind, count, seed=options.seed)]
    with tempfile.TemporaryDirectory() as name, on_database(options.url) as url:
        folder = Path(name)
        checkpoint = folder / "ViT-B-16.pt"
        write_random_checkpoint(checkpoint, configuration("ViT-B-16"))
        ours = Ours(url, checkpoint, folder / "weights", folder / "media", [sample.data for sample in pictures])
        sides: dict[str, Side] = {"ours": ours}
        made = _in_int8(checkpoint, folder, options.seed)
        if options.immich_ml is not None:
            package = cn_clip.write_package(checkpoint, folder / "package", external=True)
            python = Path(options.immich_ml)
            sides["immich_ml"] = Immichs(python, package, folder / "immich", "rapidocr")
            sides["immich_ml_lighter"] = Immichs(python, package, folder / "lighter", "rapidocr-onnxruntime")
        if options.mt_photos_ai is not None and options.mt_photos_ai_source is not None:
            python, source = Path(options.mt_photos_ai), options.mt_photos_ai_source
            sides["mt_photos_ai"] = MtPhotosAi(python, source, checkpoint, folder / "cn_clip")
        return {**asyncio.run(_measure(sides, pictures, rounds)), **made}


def _in_int8(checkpoint: Path, folder: Path, seed: int) -> dict[str, str]:
    """Make our models in int8 where that is asked for, on other pictures, as an indexer does.

    Returns what was measured. Which photos are near to a text says nothing of random weights, so for CLIP that does not
    count.
    """
    wanted = [name for name in ("CLIP", "OCR") if os.environ.get(f"{name}_PRECISION") == "int8"]
    if not wanted:
        return {}
    shown = folder / "shown"
    shown.mkdir()
    samples_of_each = [samples(kind, _SHOWN, seed=seed + 1) for kind in KINDS]
    for number, sample in enumerate(itertools.chain.from_iterable(zip(*samples_of_each, strict=True))):
        (shown / f"{number:05}").write_bytes(sample.data)
    settings = Settings.load(clip_model=str(checkpoint), _env_file=None)
    jobs: dict[str, dict[str, object]] = {
        "CLIP": {"clip": settings.clip_model},
        "OCR": {"ocr": asdict(OcrSettings.of(settings))},
    }
    made = {}
    for name in wanted:
        job = json.dumps({"root": str(folder / "weights"), "threads": settings.threads, **jobs[name]})
        command = [sys.executable, "-m", "indexer.models.int8.make", job, str(shown)]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip().splitlines()[-1]
        made[f"{name.lower()}_int8"] = said
        print(f"  {name} in int8: {said}", file=sys.stderr, flush=True)
    name = maker_of(settings.clip_model).identify(settings.clip_model, folder / "weights").name
    if record := read(ClipRecord, name, folder / "weights"):
        write(replace(record, kept=1), folder / "weights")
    return made


async def _measure(sides: Mapping[str, Side], pictures: Sequence[Sample], rounds: int) -> dict[str, object]:
    written, plain = ([sample for sample in pictures if bool(sample.lines) == has] for has in (True, False))
    parts = {"written": written, "plain": plain}
    speeds: dict[tuple[str, str], list[float]] = {(side, part): [] for side in sides for part in parts}
    answers: dict[tuple[str, str], list[Answer]] = {}
    figures: dict[str, object] = {f"pictures_{part}": len(some) for part, some in parts.items()}
    figures["lines"] = sum(len(sample.lines) for sample in written)
    async with contextlib.AsyncExitStack() as stack:
        for name, side in sides.items():
            await stack.enter_async_context(side.started())
            await side.read([sample.data for sample in written[:4]])  # loads the models
            print(f"  {name} is ready", file=sys.stderr, flush=True)
        for number in range(rounds):
            for name in sides if number % 2 else reversed(list(sides)):
                for part, some in parts.items():
                    start = time.perf_counter()
                    answers[name, part] = await sides[name].read([sample.data for sample in some])
                    speeds[name, part].append(len(some) / (time.perf_counter() - start))
                    print(f"  {name}, {part}: {speeds[name, part][-1]:.2f} photos/s", file=sys.stderr, flush=True)
        waited = await _search(sides, 20 * rounds)
        for name, side in sides.items():
            figures[name] = {
                **{f"{part}_photos_per_s": round(statistics.median(speeds[name, part]), 3) for part in parts},
                **_read(written, answers[name, "written"], plain, answers[name, "plain"]),
                "cosine": _cosine(answers["ours", "written"], answers[name, "written"]),
                **waited[name],
                "peak_mb": memory(*side.processes)["peak_mb"],
            }
    for name in sides:
        for part in parts if name != "ours" else ():
            pairs = zip(speeds["ours", part], speeds[name, part], strict=True)
            figures[f"{name}_{part}_times"] = round(statistics.median(mine / other for mine, other in pairs), 2)
    return {**figures, "processor": _processor(), **_settings()}


async def _search(sides: Mapping[str, Side], count: int) -> dict[str, dict[str, float]]:
    """Milliseconds until a search has its vector, one search at a time, the sides in turn."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    for number, text in enumerate(itertools.islice(queries(), count + 3)):
        for name, side in sides.items():
            await asyncio.sleep(_PAUSE)
            start = time.perf_counter()
            await side.ask(text)
            if number >= 3:  # the first ones load the model
                took[name].append(1000 * (time.perf_counter() - start))
    return {
        name: {
            "search_p50_ms": round(statistics.median(each), 1),
            "search_p95_ms": round(statistics.quantiles(each, n=20)[-1], 1),
        }
        for name, each in took.items()
    }


def _read(
    written: Sequence[Sample], read: Sequence[Answer], plain: Sequence[Sample], none: Sequence[Answer]
) -> dict[str, object]:
    """Lines read exactly, as a share of those written, and lines read in pictures without any."""
    exact = sum(
        (Counter(map(folded, sample.lines)) & Counter(map(folded, answer.lines))).total()
        for sample, answer in zip(written, read, strict=True)
    )
    return {
        "exact": round(exact / sum(len(sample.lines) for sample in written), 4),
        "false_lines": sum(len(answer.lines) for _, answer in zip(plain, none, strict=True)),
    }


def _cosine(ours: Sequence[Answer], others: Sequence[Answer]) -> float:
    """Of the vectors of the same pictures, the median. Immich cuts out a picture's middle: other vectors."""
    pairs = [(np.asarray(mine.vector), np.asarray(other.vector)) for mine, other in zip(ours, others, strict=True)]
    return round(statistics.median(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairs), 5)


def _settings() -> dict[str, str]:
    """What of ours is not as by default."""
    return {name: os.environ[name] for name in _OURS if name in os.environ}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
