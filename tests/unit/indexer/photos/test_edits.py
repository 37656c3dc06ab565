"""Where a place on a picture is after edits, against pictures that are edited."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer.demo import media
from indexer.photos.edits import Edits
from indexer.photos.photo import Crop

WIDTH, HEIGHT = 400, 200
BOX = [0.3, 0.2, 0.6, 0.2, 0.6, 0.35, 0.3, 0.35]


def marked() -> bytes:
    """A picture with a red box at BOX."""
    pixels = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    pixels[40:70, 120:240] = (255, 0, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def red(picture: bytes) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is red, as fractions."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    ys, xs = np.nonzero((pixels[..., 0] > 180) & (pixels[..., 1] < 100))
    height, width = pixels.shape[:2]
    return xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height


@pytest.mark.parametrize("crop", [None, (100, 20, 200, 100), (180, 0, 220, 200)])
@pytest.mark.parametrize("rotate", [None, 90, 180, 270])
@pytest.mark.parametrize("mirror", [None, "horizontal", "vertical"])
def test_the_box_is_where_the_picture_shows_it(crop, rotate, mirror):
    picture = media.edited(marked(), crop, rotate, mirror)
    x, y, width, height = crop or (0, 0, WIDTH, HEIGHT)
    part = Crop(x / WIDTH, y / HEIGHT, (x + width) / WIDTH, (y + height) / HEIGHT) if crop else None
    turns = ((("rotate", rotate),) if rotate else ()) + ((("mirror", mirror),) if mirror else ())
    box = Edits(part, turns, drawn=True).place(BOX)
    left, top, right, bottom = red(picture)
    assert box == pytest.approx([left, top, right, top, right, bottom, left, bottom], abs=0.02)


def test_turns_apply_in_their_order():
    one = Edits(None, (("rotate", 90), ("mirror", "horizontal")), drawn=True)
    other = Edits(None, (("mirror", "horizontal"), ("rotate", 90)), drawn=True)
    assert one.place(BOX) == pytest.approx([0.2, 0.3, 0.35, 0.3, 0.35, 0.6, 0.2, 0.6])
    assert other.place(BOX) == pytest.approx([0.65, 0.4, 0.8, 0.4, 0.8, 0.7, 0.65, 0.7])


def test_until_the_edited_picture_is_there_the_unedited_one_is_shown():
    edits = Edits(Crop(0, 0, 1, 0.1), (("rotate", 90),), drawn=False)
    assert edits.place(BOX) == BOX
    assert not edits.keeps(BOX), "and yet nothing that was cut away"


@given(
    corners=st.lists(st.floats(-0.5, 1.5), min_size=8, max_size=8),
    turns=st.lists(
        st.sampled_from([("rotate", 90), ("rotate", 180), ("rotate", 270), ("mirror", "horizontal")]), max_size=4
    ),
)
def test_nothing_is_placed_outside_of_a_cropped_picture(corners, turns):
    placed = Edits(Crop(0.25, 0.25, 0.75, 0.5), tuple(turns), drawn=True).place(corners)
    assert all(0 <= number <= 1 for number in placed)
