"""Pixels in the form in which CLIP's image half was trained. Needs no torch."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from indexer.images import Picture

# cn_clip's (and OpenAI's) mean and standard deviation of the training pictures, per channel, of values 0..1.
MEAN = np.array((0.48145466, 0.4578275, 0.40821073), dtype=np.float32)[:, None, None]
STD = np.array((0.26862954, 0.26130258, 0.27577711), dtype=np.float32)[:, None, None]


def prepare(picture: Picture, resolution: int | None) -> npt.NDArray[np.float32]:
    """The input of the image half: (3, resolution, resolution) float32, equal to cn_clip's `image_transform`.

    Like cn_clip it scales the whole picture to the square, and crops nothing. None: the model takes the picture as it
    is.
    """
    if resolution is None:
        return np.asarray(picture.rgb)
    square = Image.fromarray(picture.rgb).resize((resolution, resolution), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(normalised(np.asarray(square).transpose(2, 0, 1)))


def normalised(channels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Channels of 0 to 255, (..., 3, height, width), normalised as in the training of the image half: float32."""
    values = channels.astype(np.float32)
    values /= 255
    values -= MEAN
    values /= STD
    return values
