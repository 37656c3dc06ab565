"""Pictures that lie as their EXIF data demand, and reasons that people can read."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from indexer import images
from indexer.demo import media
from indexer.errors import PictureError
from tests.support import stubs

MANY = 1_000_000


def encoded(orientation: int | None, kind: str = "JPEG") -> bytes:
    """A picture that is red on its left side, in the very pixels that are stored."""
    image, buffer, exif = Image.new("RGB", (40, 20), "white"), io.BytesIO(), Image.Exif()
    image.paste("red", (0, 0, 10, 20))
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def red_side(data: bytes) -> str:
    rgb = images.decode(data, max_pixels=MANY).rgb.astype(int)
    red = rgb[..., 0] - rgb[..., 1] > 100
    sides = {"left": red[:, 0], "right": red[:, -1], "top": red[0], "bottom": red[-1]}
    return next(side for side, pixels in sides.items() if pixels.all())


@pytest.mark.parametrize(
    ("orientation", "side"),
    [(2, "right"), (3, "right"), (4, "left"), (5, "top"), (6, "top"), (7, "bottom"), (8, "bottom")],
)
@pytest.mark.parametrize("turn", [lambda data: images.upright(data, max_pixels=MANY), media.upright])
def test_a_picture_is_turned(turn, orientation, side):
    turned = turn(encoded(orientation))
    assert red_side(turned) == side
    assert turn(turned) is turned, "only once"


@pytest.mark.parametrize("orientation", [None, 0, 1, 9, 255])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_lies_upright_keeps_its_bytes(orientation, kind):
    data = encoded(orientation, kind)
    assert images.upright(data, max_pixels=MANY) is data


def test_what_is_no_picture_is_no_matter_for_the_stand_in():
    assert media.upright(b"no picture") == b"no picture"
    with pytest.raises(PictureError):
        images.upright(b"no picture", max_pixels=MANY)


PHOTO = stubs.picture(1, form="JPEG")
SIZE = PHOTO.index(b"\xff\xc0") + 5  # of its height, in the header
FLAT = PHOTO[:SIZE] + bytes(2) + PHOTO[SIZE + 2 :]
RNG = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>502 Bad Gateway</html>", "not a readable picture: it is no JPEG, PNG, WEBP, GIF or AVIF, or damaged"),
        (PHOTO[:-100], "not a readable picture: it is cut short"),
        (stubs.picture(1)[:-40], "not a readable picture: it is "),
        (FLAT, "or damaged at its beginning"),
        (b"", "empty file"),
    ],
)
def test_a_reason_is_a_plain_sentence(data, reason):
    with pytest.raises(PictureError, match=re.escape(reason)):
        images.decode(data, max_pixels=MANY)


def test_no_reason_names_an_object_by_its_place_in_memory():
    reasons = []
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        good = stubs.picture(1, form=kind)
        for _ in range(100):
            bad = bytearray(good)
            for at in RNG.integers(0, len(bad), 6):
                bad[at] = RNG.integers(0, 256)
            try:
                images.decode(bytes(bad[: RNG.integers(1, len(bad))]), max_pixels=MANY)
            except PictureError as error:
                reasons.append(str(error))
    assert len(reasons) > 100
    assert [reason for reason in reasons if " at 0x" in reason] == []
