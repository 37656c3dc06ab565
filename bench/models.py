"""What a CLIP model costs here, beside Immich's own machine-learning server with the same package."""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.packages import SHAPES, write_package
from indexer.demo.packages import cn_clip
from indexer.demo.shapes import SEARCHES, draw_shapes
from indexer.models.clip.cn_clip.shapes import configuration
from indexer.models.clip.cn_clip.small import write_random_checkpoint
from indexer.models.clip.maker import Tower

NAME = "models"
DESCRIPTION = (
    "seconds a photo and a question, and memory, of packages as large as real ones, beside Immich's own server"
)

CN_CLIP = "cn-clip"
_AT_ONCE = (1, 4)
_MEMORY = ("model_mb", "peak_mb", "now_mb")
_ALIKE = 0.9999  # cosine of our vector and Immich's
_PAUSE = 0.5  # seconds: threads of ONNX Runtime, as Immich starts them, spin on for some 0.1 s after the last run
_SIDE = Path(__file__).parent / "models_side.py"
_TOWERS: tuple[Tower, ...] = ("image", "text")


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns for each package `Figures` of both towers. Without an interpreter of Immich's, of our side alone."""
    chosen = options.packages.split(",") if options.packages else [*SHAPES, CN_CLIP]
    if unknown := set(chosen) - {*SHAPES, CN_CLIP}:
        raise SystemExit(f"--packages: no {', '.join(sorted(unknown))}; there are {', '.join([*SHAPES, CN_CLIP])}")
    if options.immich_ml is None:
        print(
            "  ours alone: for the other side, --immich-ml PYTHON, an interpreter with Immich's own server "
            "(pip install 'IMMICH/machine-learning[cpu]' onnxruntime==1.28.0)",
            file=sys.stderr,
        )
    rounds, photos, questions = (1, 4, 8) if options.quick else (5, 8, 20)
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        pictures = [str(picture.path) for picture in draw_shapes(Path(name) / "pictures")]
        texts = [said.text for said in SEARCHES]
        items = {"image": _so_many(pictures, photos), "text": _so_many(texts, questions)}
        for package in chosen:
            with tempfile.TemporaryDirectory(dir=name) as folder:
                sides = _sides(package, Path(folder), options.immich_ml)
                measured = {tower: _measure(tower, sides, items[tower], rounds) for tower in _TOWERS}
            print(f"  {package}: {measured}", file=sys.stderr, flush=True)
            figures[package] = measured
    return figures


def _so_many(items: Sequence[str], count: int) -> list[str]:
    return [items[number % len(items)] for number in range(count)]


def _sides(package: str, folder: Path, immich_ml: str | None) -> dict[str, list[str]]:
    """The commands of the sides without their last arguments, by their names; and the model written for them."""
    ours, theirs = [sys.executable, "-P", str(_SIDE), "ours"], [immich_ml or "", "-P", str(_SIDE), "immich"]
    if package == CN_CLIP:
        checkpoint = folder / "ViT-B-16.pt"
        write_random_checkpoint(checkpoint, configuration("ViT-B-16"))
        written = cn_clip.write_package(checkpoint, folder / "ViT-B-16", external=True)
        sides = {"ours": [*ours, str(checkpoint)], "ours_as_package": [*ours, str(written)]}
    else:
        written = write_package(folder, SHAPES[package])
        sides = {"ours": [*ours, str(written)]}
    return sides | ({"immich": [*theirs, str(written)]} if immich_ml else {})


def _measure(tower: Tower, sides: Mapping[str, Sequence[str]], items: Sequence[str], rounds: int) -> dict[str, object]:
    """All sides in turn, round by round, after one that does not count: `seconds` of each item, medians.

    `seconds_4` is of four at a time. `model_mb` is the most memory of the process with the model, `peak_mb` the sum of
    all processes of the side, `now_mb` what they have while they work. `..._ratio` is ours over Immich's, for the
    seconds the median of the rounds' ratios. Each of our sides was started once before: at its first start it measures
    what computes the model fastest, and writes files. `..._first_mb` is the `peak_mb` of that start.
    """
    seconds: dict[tuple[str, int], list[float]] = {(side, n): [] for side in sides for n in _AT_ONCE}
    answers: dict[str, Any] = {}
    first: dict[str, int] = {}
    for side, command in sides.items():
        if side != "immich":
            with _started([*command[:-1], tower, command[-1]]) as process:
                first[side] = _ask(process, {"items": items, "at_once": 1})["peak_mb"]
    with contextlib.ExitStack() as stack:
        started = {
            side: stack.enter_context(_started([*command[:-1], tower, command[-1]])) for side, command in sides.items()
        }
        for number in range(rounds + 1):
            for at_once in _AT_ONCE:
                for side, process in started.items():
                    time.sleep(_PAUSE)
                    answers[side] = _ask(process, {"items": items, "at_once": at_once})
                    if number:
                        seconds[side, at_once].append(answers[side]["seconds"] / len(items))
    _compare({side: answer["vector"] for side, answer in answers.items()})
    figures: dict[str, object] = {}
    for side in sides:
        figures |= {f"{side}_seconds{_of(n)}": round(statistics.median(seconds[side, n]), 4) for n in _AT_ONCE}
        figures |= {f"{side}_{key}": answers[side][key] for key in _MEMORY}
        figures |= {f"{side}_first_mb": first[side]} if side in first else {}
    if "immich" in sides:
        for n in _AT_ONCE:
            pairs = zip(seconds["ours", n], seconds["immich", n], strict=True)
            figures[f"seconds{_of(n)}_ratio"] = round(statistics.median(mine / other for mine, other in pairs), 3)
        for key in _MEMORY:
            figures[f"{key}_ratio"] = round(answers["ours"][key] / answers["immich"][key], 3)
    return figures


def _of(at_once: int) -> str:
    return "" if at_once == 1 else f"_{at_once}"


def _compare(vectors: Mapping[str, Sequence[float]]) -> None:
    """Both sides have to do the same work. cn_clip squeezes pictures, so its own vectors are others."""
    packages = {side: np.array(vector) for side, vector in vectors.items() if side in ("ours_as_package", "immich")}
    if "ours_as_package" not in vectors:
        packages["ours"] = np.array(vectors["ours"])
    units = [vector / np.linalg.norm(vector) for vector in packages.values()]
    if any(units[0] @ other < _ALIKE for other in units[1:]):
        raise RuntimeError(f"the vectors of {' and '.join(packages)} differ: the figures would say nothing")


@contextlib.contextmanager
def _started(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """A side's process, once its tower is loaded."""
    threads = str(len(os.sched_getaffinity(0)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MACHINE_LEARNING_")}
    if "immich" not in command:
        environment |= {"PYTHONPATH": str(_SIDE.parent.parent), "CLIP_DOWNLOAD_ROOT": str(Path(command[-1]).parent)}
    with subprocess.Popen(
        [*command, threads], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            _answer(process)
            yield process
        finally:
            process.kill()


def _ask(process: "subprocess.Popen[str]", asked: object) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(f"{json.dumps(asked)}\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):  # others are what Immich's server logs
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise RuntimeError(f"{' '.join(map(str, process.args))} ended; what it wrote above says why")  # type: ignore[arg-type]
