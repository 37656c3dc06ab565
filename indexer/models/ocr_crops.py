"""Cutting lines out of a picture and turning them the right way round, so that a recogniser can read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from indexer.models.ocr_engines import Engine

_LONG = 1.5
"""A box this much longer than wide shows which way its text runs; engines lay down tall ones from here on."""

_SURE = 0.005
"""How far from 0 or 1 the classifier may be for its word to be final: below that it errs on short lines and digits."""


@dataclass(frozen=True)
class Crop:
    """One line's pixels, (height, width, 3) uint8 in BGR, as it should be read.

    Attributes:
        pixels: the straightened line.
        tall: it stands upright in the picture and was laid down: text turned by 90 degrees, or written downwards.
        turned: it was turned by 180 degrees after that.
        sure: the classifier had no doubt about that.
    """

    pixels: np.ndarray
    tall: bool
    turned: bool
    sure: bool

    def other_ways(self) -> list[np.ndarray]:
        """The same line read in other ways that are possible, the likeliest first."""
        ways = []
        if not self.sure:
            ways.append(_rotate(self.pixels, 2))
        if self.tall:
            ways.append(_stacked(_rotate(self.pixels, 1 if self.turned else 3)))
        return ways


def cut(engine: Engine, rgb: np.ndarray, boxes: Sequence[np.ndarray]) -> list[Crop]:
    """The lines in `boxes`, (4, 2) corners clockwise from the top left, each turned upright.

    The engine lays tall boxes down, its classifier says which ones then stand on their head. What a single box leaves
    open, a square one's direction or a doubtful classifier, the other boxes of the picture decide: lines of one page
    run the same way.
    """
    if not boxes:
        return []
    slants = np.array([_height(box) / max(_width(box), 1.0) for box in boxes])
    tall = slants >= _LONG
    sideways = np.count_nonzero(tall) > np.count_nonzero(slants <= 1 / _LONG)
    pixels = []
    for box, slant in zip(boxes, slants, strict=True):
        crop = engine.crop(rgb, box.copy())[:, :, ::-1]
        square = 1 / _LONG < slant < _LONG
        pixels.append(_rotate(crop, 1) if sideways and square else np.ascontiguousarray(crop))
    tall |= sideways & (slants > 1 / _LONG)

    heads = engine.upside_down(pixels)
    sure = np.minimum(heads, 1 - heads) <= _SURE
    turned = heads > 0.5
    for group in (tall, ~tall):
        witnesses = group & sure
        if witnesses.any():
            turned[group & ~sure] = np.mean(turned[witnesses]) > 0.5
    return [
        Crop(_rotate(crop, 2) if over else crop, tall=bool(laid), turned=bool(over), sure=bool(certain))
        for crop, laid, over, certain in zip(pixels, tall, turned, sure, strict=True)
    ]


def _width(box: np.ndarray) -> float:
    return float(max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[2] - box[3])))


def _height(box: np.ndarray) -> float:
    return float(max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2])))


def _rotate(pixels: np.ndarray, quarters: int) -> np.ndarray:
    """Turned counter-clockwise by so many quarters."""
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def _stacked(column: np.ndarray) -> np.ndarray:
    """A column of characters written downwards, as a row: cut into squares and put side by side."""
    height, width = column.shape[:2]
    count = max(1, round(height / width))
    edges = np.linspace(0, height, count + 1).astype(int)
    tallest = max(np.diff(edges))
    row = np.zeros((tallest, width * count, 3), dtype=np.uint8)
    for index, (top, bottom) in enumerate(pairwise(edges)):
        row[: bottom - top, index * width : (index + 1) * width] = column[top:bottom]
    return row
