"""Cuts lines out of a picture and turns them upright, so that a recogniser can read them."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from indexer.models.ocr.engines import Engine
from indexer.models.results import LineCrop, rotate

_LONG = 1.5
"""In a box so many times as long as wide the direction of the text is clear. Engines turn tall ones by 90 degrees."""

_SURE = 0.005
"""The classifier is sure within this distance from 0 or 1. Otherwise it is often wrong on short lines and digits."""

_BACKED = 3
"""So many sure lines in one direction show the direction of the page. Fewer may be numbers, on which it errs."""

_LONGEST = 32_000
"""The longest side in pixels of a picture that OpenCV can straighten. Its limit is 32,766."""

_AT_ONCE = 64
"""How many times as long as high a line may be to be read in one piece. At 600 times memory reaches gigabytes."""


def cut(engine: Engine, rgb: np.ndarray, boxes: Sequence[np.ndarray]) -> list[LineCrop]:
    """The lines in `boxes`, (4, 2) corners clockwise from the top left, each turned upright.

    The engine turns tall boxes by 90 degrees, and its classifier says which lines are then upside down. Where one box
    is not clear (it is square, or the classifier is not sure), the other boxes of the picture decide: the lines of one
    page have the same direction.
    """
    if not boxes:
        return []
    slants = np.array([_height(box) / max(_width(box), 1) for box in boxes])
    tall = slants >= _LONG
    sideways = np.count_nonzero(tall) > np.count_nonzero(slants <= 1 / _LONG)
    pixels = []
    for box, slant in zip(boxes, slants, strict=True):
        crop = _straightened(engine, rgb, box)[:, :, ::-1]
        square = 1 / _LONG < slant < _LONG
        pixels.append(rotate(crop, 1) if sideways and square else np.ascontiguousarray(crop))
    tall |= sideways & (slants > 1 / _LONG)

    heads = engine.upside_down(pixels)
    sure = np.minimum(heads, 1 - heads) <= _SURE
    turned = heads > 0.5
    backed = np.zeros_like(turned)
    for group in (tall, ~tall):
        witnesses = group & sure
        if witnesses.any():
            over = np.mean(turned[witnesses]) > 0.5
            turned[group & ~sure] = over
            for_it = np.count_nonzero(turned[witnesses] == over)
            backed[group] = (over or group is tall) and for_it >= _BACKED
    return [
        LineCrop(rotate(crop, 2) if over else crop, bool(laid), bool(over), bool(certain), bool(many))
        for crop, laid, over, certain, many in zip(pixels, tall, turned, sure, backed, strict=True)
    ]


def pieces(line: np.ndarray) -> list[np.ndarray]:
    """A line's pixels in pieces short enough for the recogniser, cut where there is least ink."""
    height, width = line.shape[:2]
    longest = height * _AT_ONCE
    if width <= longest:
        return [line]
    ink = cv2.blur(line.std(axis=0).mean(axis=1)[None], (max(1, height // 8), 1))[0]
    edges = [0]
    while width - edges[-1] > longest:
        latest = edges[-1] + longest
        edges.append(latest - longest // 4 + int(np.argmin(ink[latest - longest // 4 : latest])))
    return [line[:, left:right] for left, right in pairwise([*edges, width])]


def from_top_left(box: np.ndarray) -> np.ndarray:
    """The same four corners, (4, 2) and clockwise, starting at the top left of the box in the picture.

    The engines take the two leftmost corners for the left side. In a leaning column these are its top or its bottom.
    """
    middle = box - box.mean(axis=0)
    box = box[np.argsort(np.arctan2(middle[:, 1], middle[:, 0]), kind="stable")]
    sides = np.roll(box, -1, axis=0) - box
    along = sides - np.roll(sides, -2, axis=0)  # the direction of each side and its opposite
    first = int(np.argmax(along[:, 0] / np.maximum(np.linalg.norm(along, axis=1), 1e-6)))
    return np.roll(box, -first, axis=0)


def turned_page(boxes: np.ndarray, size: tuple[int, int], quarters: int) -> np.ndarray:
    """Where `boxes`, (n, 4, 2), are after the picture of that (width, height) is turned counter-clockwise."""
    width, height = size
    for _ in range(quarters):
        boxes = np.stack([boxes[:, :, 1], width - boxes[:, :, 0]], axis=2)
        width, height = height, width
    return np.stack([from_top_left(box) for box in boxes])


def _straightened(engine: Engine, rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    """`engine.crop` on the part of the picture around the box: OpenCV limits the size of pictures and of lines."""
    margin = 4  # the interpolation looks two pixels beyond the box
    left, top = (max(0, int(low) - margin) for low in box.min(axis=0))
    right, bottom = (int(high) + margin for high in box.max(axis=0))
    part, corners = rgb[top:bottom, left:right], (box - (left, top)).astype(np.float32)
    longest = max(*part.shape[:2], _width(box), _height(box))
    if longest > _LONGEST:
        scale = _LONGEST / longest
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        corners *= scale
    return engine.crop(part, corners)


def _width(box: np.ndarray) -> int:
    """The width in whole pixels, counted as the engines do."""
    return int(max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[2] - box[3])))


def _height(box: np.ndarray) -> int:
    return int(max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2])))
