"""What models find in a picture: lines and faces. Needs none of their libraries.

The process that asks for a model has them, too, and should not take the memory of OpenCV and ONNX Runtime.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Corners = tuple[float, float, float, float, float, float, float, float]

_GLYPH = 2.5
"""A tall box up to so many times as high as wide may hold a single upright character, such as 1 or 2."""


@dataclass(frozen=True)
class Line:
    """One line of text.

    `corners` are x1, y1 .. x4, y4 in 0..1 of the picture's width and height, clockwise from the top left of the box in
    the picture, even where the text in it is turned. The scores are 0..1.
    """

    text: str
    corners: Corners
    box_score: float
    text_score: float


class Way(NamedTuple):
    """A way to read a line.

    Attributes:
        pixels: (height, width, 3) uint8 in BGR.
        quarters: counter-clockwise quarter turns that make the picture upright if this way is right. A column of
            characters counts as 1: turned so, the columns of a page are in their order, from right to left.
    """

    pixels: np.ndarray
    quarters: int


@dataclass(frozen=True)
class LineCrop:
    """The pixels of one line, (height, width, 3) uint8 in BGR, turned as it is probably read.

    Attributes:
        pixels: the straightened line.
        tall: the box is tall, so the line was turned by 90 degrees. Its text is turned, or written downwards.
        turned: it was turned by 180 degrees after that.
        sure: the classifier was sure about that.
        backed: enough other lines of the picture were turned in the same way.
    """

    pixels: np.ndarray
    tall: bool
    turned: bool
    sure: bool
    backed: bool

    def first_way(self) -> Way:
        """As it is probably read."""
        return Way(self.pixels, self.tall + 2 * self.turned)

    def upright(self) -> Way | None:
        """As it is in the picture, if it was turned without much evidence.

        A number such as 909 can be read upside down, too, but pictures seldom are. A turned 2 looks like 日.
        """
        if self.backed or not (self.tall or self.turned):
            return None
        if self.tall and self.pixels.shape[1] > _GLYPH * self.pixels.shape[0]:
            return None
        return Way(rotate(self.pixels, 4 - self.tall - 2 * self.turned), 0)

    def other_ways(self) -> list[Way]:
        """The other ways in which the line can be read, the likeliest first."""
        ways = []
        if not self.sure:
            ways.append(Way(rotate(self.pixels, 2), self.tall + 2 * (not self.turned)))
        if self.tall:
            ways.append(Way(_stacked(rotate(self.pixels, 4 - self.tall - 2 * self.turned)), 1))
        return ways


@dataclass(frozen=True)
class Detection:
    """The boxes of one picture from top to bottom, each with its upright crop: the input of `recognise`.

    `size` is the picture's (width, height).
    """

    corners: tuple[Corners, ...]
    box_scores: tuple[float, ...]
    crops: tuple[LineCrop, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes:
        box: x1, y1, x2, y2 in whole pixels. The box of a face at the picture's edge may reach beyond it.
        score: 0..1, how sure the detector is.
        embedding: (512,) float32, not normalised. Faces are compared by cosine.
    """

    box: tuple[int, int, int, int]
    score: float
    embedding: npt.NDArray[np.float32]


def rotate(pixels: np.ndarray, quarters: int) -> np.ndarray:
    """Turned counter-clockwise by so many quarter turns."""
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def _stacked(column: np.ndarray) -> np.ndarray:
    """A column of characters written downwards, as a row: it is cut into squares, put side by side."""
    height, width = column.shape[:2]
    count = max(1, round(height / width))
    edges = np.linspace(0, height, count + 1).astype(int)
    tallest = max(np.diff(edges))
    row = np.zeros((tallest, width * count, 3), dtype=np.uint8)
    for index, (top, bottom) in enumerate(pairwise(edges)):
        row[: bottom - top, index * width : (index + 1) * width] = column[top:bottom]
    return row
