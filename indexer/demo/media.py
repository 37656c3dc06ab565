"""The files that Immich makes of a photo."""

import sys
from io import BytesIO
from pathlib import Path
from typing import Literal
from uuid import UUID

from PIL import Image
from PIL.Image import Transpose

from indexer import images
from indexer.errors import PictureError

#: How a picture is mirrored: left and right are swapped, or top and bottom.
Mirror = Literal["horizontal", "vertical"]

_TURNS = {90: Transpose.ROTATE_270, 180: Transpose.ROTATE_180, 270: Transpose.ROTATE_90}  # Pillow turns the other way
_MIRRORS = {"horizontal": Transpose.FLIP_LEFT_RIGHT, "vertical": Transpose.FLIP_TOP_BOTTOM}


class MediaRoot:
    """Immich's upload directory: its path on this machine, and its path inside Immich's container.

    Args:
        directory: The directory on this machine.
        prefix: The same directory as Immich writes it into its database.
    """

    def __init__(self, directory: Path, prefix: str = "/data") -> None:
        self.directory = directory
        self.prefix = prefix

    def path(self, owner: UUID, asset: UUID, kind: str, extension: str, *, edited: bool = False) -> str:
        """The path of a photo's preview, thumbnail or fullsize file, as Immich stores it."""
        name = f"{asset}_{kind}{'_edited' if edited else ''}.{extension}"
        return f"{self.prefix}/thumbs/{owner}/{name[0:2]}/{name[2:4]}/{name}"

    def on_disk(self, path: str) -> Path:
        """The path of that file on this machine."""
        return self.directory / path.removeprefix(self.prefix).lstrip("/")

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return self.on_disk(path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        """Writes a file in place, as Immich does. A reader may see only half of it meanwhile."""
        file = self.on_disk(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def delete(self, path: str) -> None:
        """Deletes a file. A missing file is no error."""
        self.on_disk(path).unlink(missing_ok=True)


def extension(picture: bytes) -> str:
    """The ending of the name that Immich gives such a preview."""
    return "webp" if picture[:4] == b"RIFF" and picture[8:12] == b"WEBP" else "jpeg"


def upright(picture: bytes) -> bytes:
    """The picture as in Immich's previews: turned as its EXIF data says. What is no picture is returned unchanged."""
    try:
        return images.upright(picture, max_pixels=sys.maxsize)
    except PictureError:
        return picture


def size(picture: bytes) -> tuple[int | None, int | None]:
    """Width and height in pixels. None for anything but a picture."""
    try:
        with Image.open(BytesIO(picture)) as image:
            return image.size
    except OSError:  # Pillow's error for unknown formats and truncated files
        return None, None


def converted(picture: bytes, extension: str) -> bytes:
    """The same picture as ``jpeg`` or ``webp``."""
    return _encode(Image.open(BytesIO(picture)), extension)


def edited(
    picture: bytes,
    crop: tuple[int, int, int, int] | None = None,
    rotate: int | None = None,
    mirror: Mirror | None = None,
) -> bytes:
    """The part of a picture inside of ``(x, y, width, height)`` pixels, turned clockwise and then mirrored."""
    image: Image.Image = Image.open(BytesIO(picture))
    if crop is not None:
        x, y, width, height = crop
        image = image.crop((x, y, x + width, y + height))
    if rotate:
        image = image.transpose(_TURNS[rotate])
    if mirror is not None:
        image = image.transpose(_MIRRORS[mirror])
    return _encode(image, extension(picture))


def _encode(image: Image.Image, extension: str) -> bytes:
    buffer = BytesIO()
    image.convert("RGB").save(buffer, format=extension, quality=80)
    return buffer.getvalue()
