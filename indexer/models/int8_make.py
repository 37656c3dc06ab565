"""`python -m indexer.models.int8_make MODEL ROOT THREADS FOLDER`: makes the image tower of a model in int8.

FOLDER contains previews of the person's own library. NNCF quantises the network after its training: it sees the first
pictures, and chooses the ranges of the numbers so that these fit (post-training quantisation, with SmoothQuant for
transformers: Xiao et al., arXiv 2211.10438). The other pictures are for comparing.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from indexer.errors import IndexerError, words_of
from indexer.images import decode
from indexer.models import int8
from indexer.models.int8 import NEIGHBOURS, Int8Images, Record
from indexer.models.maker import ImageTower, Maker, Vector
from indexer.models.makers import maker_of
from indexer.models.published import sha256_of

_CALIBRATING = 0.6
"""The part of the pictures for choosing the ranges. The others are for comparing."""

_MOST_PIXELS = 64_000_000
_TIMED = 20
_WHO = ("孩子", "老人", "一家人", "小猫", "两只狗", "朋友们", "新郎和新娘", "一个人", "很多人", "没有人")
_WHERE = ("在海边看日落", "在雪地里", "在家里吃饭", "在城市的夜里", "在山上的树林里")
QUESTIONS = tuple(f"{who}{where}" for who in _WHO for where in _WHERE)
"""Fifty, as people type them."""


class Int8Error(IndexerError):
    """The model cannot be made in int8 here. The text says why."""


@runtime_checkable
class HasGraph(Protocol):
    """An image tower whose network OpenVINO can read."""

    @property
    def graph(self) -> Path:
        """Its file."""


def make(model: str, root: Path, pictures: Sequence[bytes], *, threads: int) -> Record:
    """Quantise the image tower of `model`, measure and store it. Takes minutes.

    Raises:
        Int8Error: it cannot be made. The text says why.
        PictureError: a picture cannot be decoded.
        WeightsError: its weights are missing.
    """
    maker = maker_of(model)
    exact = _tower(maker, model, root, "fp32", threads)
    if not isinstance(exact, HasGraph):
        raise Int8Error(f"{model} is computed here by torch, not by OpenVINO")
    preparation = int8.described(exact.preparation)
    prepared = [exact.preparation(decode(data, max_pixels=_MOST_PIXELS)) for data in pictures]
    first = int(len(prepared) * _CALIBRATING)
    calibrating, compared = prepared[:first], prepared[first:]
    path = int8.place(exact.name, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    vectors = _vectors(exact, compared)
    name, dimensions, graph = exact.name, exact.dimensions, exact.graph
    del exact  # quantising takes memory enough
    quantise(graph, calibrating, path)
    del calibrating, prepared
    usual = _seconds(_tower(maker, model, root, "auto", threads), compared)
    digest = sha256_of(path.with_suffix(".bin"))
    record = Record(name, len(compared), 0, 0, 0, dimensions, preparation, digest)
    tower = Int8Images(record, path, threads=threads)
    others = _vectors(tower, compared)
    part = _seconds(tower, compared) / usual
    del tower
    texts = maker.open("text", model, root, device="cpu", precision="auto", threads=threads).model
    asked = texts.encode_texts(QUESTIONS, "zh-CN")
    cosine = float(np.sum(vectors * others, axis=1).mean())
    record = replace(record, cosine=cosine, kept=kept(asked, vectors, others), time=part)
    int8.write(record, root)
    return record


def kept(asked: Vector, before: Vector, after: Vector) -> float:
    """The part of each question's nearest photos `before` that are among its nearest `after`, the mean."""
    nearest = [np.argsort(-(asked @ vectors.T), axis=1)[:, :NEIGHBOURS] for vectors in (before, after)]
    return float(np.mean([len(set(one) & set(other)) / len(one) for one, other in zip(*nearest, strict=True)]))


def _tower(maker: Maker, model: str, root: Path, precision: Any, threads: int) -> ImageTower:
    opened = maker.open("image", model, root, device="cpu", precision=precision, threads=threads)
    tower: ImageTower = opened.model
    return tower


def quantise(graph: Path, calibrating: Sequence[Vector], path: Path) -> None:
    """Write the network of `graph` in int8 as `path`. `calibrating`: typical inputs. Raises Int8Error: no NNCF."""
    try:
        import nncf
    except ImportError as error:
        raise Int8Error(f"{words_of(error)}: pip install 'immich-indexer[int8]'") from error
    import openvino

    network = openvino.Core().read_model(str(graph))
    network.reshape({network.inputs[0]: [1, *calibrating[0].shape]})
    quantised = nncf.quantize(
        network,
        nncf.Dataset([one[None] for one in calibrating]),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibrating),
    )
    part = path.with_name(f"{path.stem}-{os.getpid()}.xml")
    openvino.save_model(quantised, part, compress_to_fp16=True)
    for suffix in (".bin", ".xml"):
        part.with_suffix(suffix).replace(path.with_suffix(suffix))


def _vectors(tower: ImageTower, prepared: Sequence[Vector]) -> Vector:
    return np.concatenate([tower.encode_images([one]) for one in prepared])


def _seconds(tower: ImageTower, prepared: Sequence[Vector]) -> float:
    """Seconds of one photo, the median."""
    taken = []
    for one in prepared[:_TIMED]:
        began = time.perf_counter()
        tower.encode_images([one])
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def main(arguments: Sequence[str]) -> int:
    """The command. Writes what was measured, or why it cannot be made, on standard output. Returns its exit status."""
    model, root, threads, folder = arguments
    os.nice(10)  # photos are read and searches answered meanwhile
    with suppress(OSError):  # where memory is too short for all, this is the process to end
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    pictures = [file.read_bytes() for file in sorted(Path(folder).iterdir())]
    try:
        print(make(model, Path(root), pictures, threads=int(threads)).sentence)  # noqa: T201 - for whoever started us
    except (IndexerError, OSError) as error:
        print(words_of(error))  # noqa: T201 - as above
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
