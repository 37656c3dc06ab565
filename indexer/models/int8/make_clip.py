"""Makes the image tower of a CLIP model in int8, and measures it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from indexer.images import decode
from indexer.models.clip.maker import HasGraph, ImageTower, Maker, Vector
from indexer.models.clip.makers import maker_of
from indexer.models.int8 import record as records
from indexer.models.int8.clip import PART, ClipRecord, Int8Images, described
from indexer.models.int8.quantise import CALIBRATING, MOST_PIXELS, Int8Error, quantise

NEIGHBOURS = 10
_TIMED = 20
_WHO = ("孩子", "老人", "一家人", "小猫", "两只狗", "朋友们", "新郎和新娘", "一个人", "很多人", "没有人")
_WHERE = ("在海边看日落", "在雪地里", "在家里吃饭", "在城市的夜里", "在山上的树林里")
QUESTIONS = tuple(f"{who}{where}" for who in _WHO for where in _WHERE)
"""Fifty, as people type them."""


def make_clip(model: str, root: Path, pictures: Sequence[bytes], *, threads: int) -> ClipRecord:
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
    preparation = described(exact.preparation)
    prepared = [exact.preparation(decode(data, max_pixels=MOST_PIXELS)) for data in pictures]
    first = int(len(prepared) * CALIBRATING)
    calibrating, compared = prepared[:first], prepared[first:]
    vectors = _vectors(exact, compared)
    name, dimensions, graph = exact.name, exact.dimensions, exact.graph
    del exact  # quantising takes memory enough
    _quantise(graph, calibrating, records.network(name, PART, root))
    del calibrating, prepared
    usual = _seconds(_tower(maker, model, root, "auto", threads), compared)
    digests = records.digests(name, (PART,), root)
    record = ClipRecord(name, len(compared), 0, digests, 0, 0, dimensions, preparation)
    tower = Int8Images(record, root, threads=threads)
    others = _vectors(tower, compared)
    part = _seconds(tower, compared) / usual
    del tower
    texts = maker.open("text", model, root, device="cpu", precision="auto", threads=threads).model
    asked = texts.encode_texts(QUESTIONS, "zh-CN")
    cosine = float(np.sum(vectors * others, axis=1).mean())
    record = replace(record, cosine=cosine, kept=kept(asked, vectors, others), time=part)
    records.write(record, root)
    return record


def kept(asked: Vector, before: Vector, after: Vector) -> float:
    """The part of each question's nearest photos `before` that are among its nearest `after`, the mean."""
    nearest = [np.argsort(-(asked @ vectors.T), axis=1)[:, :NEIGHBOURS] for vectors in (before, after)]
    return float(np.mean([len(set(one) & set(other)) / len(one) for one, other in zip(*nearest, strict=True)]))


def _tower(maker: Maker, model: str, root: Path, precision: Any, threads: int) -> ImageTower:
    opened = maker.open("image", model, root, device="cpu", precision=precision, threads=threads)
    tower: ImageTower = opened.model
    return tower


def _quantise(graph: Path, calibrating: Sequence[Vector], path: Path) -> None:
    import openvino

    network = openvino.Core().read_model(str(graph))
    network.reshape({network.inputs[0]: [1, *calibrating[0].shape]})
    quantise(network, [one[None] for one in calibrating], path)


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
