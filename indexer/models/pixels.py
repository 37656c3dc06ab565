"""Pixels in the form in which a model's image tower was trained. Needs no torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # a process that only computes with the model needs no pictures
    from PIL.Image import Image

    from indexer.images import Picture

Pixels = npt.NDArray[np.float32]

Preparation = Callable[["Picture"], Pixels]
"""From a picture to the input of an image tower: (3, height, width) float32. It is pickled, with what it needs."""

# cn_clip's (and OpenAI's) mean and standard deviation of the training pictures, per channel, of values 0..1.
MEAN = np.array((0.48145466, 0.4578275, 0.40821073), dtype=np.float32)[:, None, None]
STD = np.array((0.26862954, 0.26130258, 0.27577711), dtype=np.float32)[:, None, None]

_BICUBIC = 3  # PIL.Image.Resampling.BICUBIC
_REACH = 2
"""How many pixels away, at a scale of 1, a pixel still counts."""


@dataclass(frozen=True)
class Squeezed:
    """cn_clip's `image_transform`: the whole picture is scaled to a square of that side, and nothing is cropped."""

    side: int

    def __call__(self, picture: "Picture") -> Pixels:
        """(3, side, side) float32."""
        square = picture.image.resize((self.side, self.side), _BICUBIC)
        return np.ascontiguousarray(normalised(np.asarray(square).transpose(2, 0, 1)))


@dataclass(frozen=True)
class Cropped:
    """What Immich's machine-learning server does: the shorter side is scaled to `side`, and the middle is cut out.

    It always scales bicubically, whatever the package's `interpolation` and `resize_mode` say, and so do we. `mean` and
    `std` are of values 0..1, per channel. Only the part that is kept is scaled: a quarter less of a preview. The
    numbers are the same, but for roundings.
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, picture: "Picture") -> Pixels:
        """(3, side, side) float32."""
        values = np.asarray(self._square(picture.image), dtype=np.float32)
        values /= 255
        values -= np.array(self.mean, dtype=np.float32)
        values /= np.array(self.std, dtype=np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _square(self, image: "Image") -> "Image":
        side = self.side
        if image.width < image.height:
            width, height = side, int(image.height / image.width * side)
        else:
            width, height = int(image.width / image.height * side), side
        left, upper = int(width / 2 - side / 2), int(height / 2 - side / 2)
        across, down = image.width / width, image.height / height
        middle = (left * across, upper * down, (left + side) * across, (upper + side) * down)
        return _scaled_part(image, middle, side)


def _scaled_part(image: "Image", part: tuple[float, float, float, float], side: int) -> "Image":
    """That part of a picture (left, upper, right, lower), scaled bicubically to a square.

    Pillow takes the edges of a part as numbers of single precision, so it gets a picture in which they are small. It is
    scaled across and then down, as Pillow does in Immich's server: from version 13 on Pillow chooses the order.
    """
    left, upper, right, lower = part
    reach = math.ceil(_REACH * max(1.0, (right - left) / side, (lower - upper) / side)) + 1
    x, y = max(0, math.floor(left) - reach), max(0, math.floor(upper) - reach)
    near = image.crop((x, y, min(image.width, math.ceil(right) + reach), min(image.height, math.ceil(lower) + reach)))
    rows = near.height
    across = near.resize((side, rows), _BICUBIC, box=(left - x, 0, right - x, rows))
    return across.resize((side, side), _BICUBIC, box=(0, upper - y, side, lower - y))


def prepare(picture: "Picture", preparation: Preparation | None) -> Pixels:
    """The input of the image tower. None: the model takes the picture as it is."""
    return np.asarray(picture.rgb) if preparation is None else preparation(picture)


def normalised(channels: npt.NDArray[np.uint8]) -> Pixels:
    """Channels of 0 to 255, (..., 3, height, width), normalised as for cn_clip's image tower: float32."""
    values = channels.astype(np.float32)
    values /= 255
    values -= MEAN
    values /= STD
    return values


def noise(side: int) -> Pixels:
    """Two pictures to try a model with, (2, 3, side, side): one of small dots, one of large ones."""
    chance = np.random.default_rng(0)
    places = np.arange(side) * 8 // side
    coarse = chance.standard_normal((3, 8, 8))[:, places][:, :, places]
    return np.stack([chance.standard_normal((3, side, side)), coarse]).astype(np.float32)
