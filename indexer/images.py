"""From the path Immich stores to pixels: which file, its bytes, its picture."""

import errno
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from indexer.errors import PictureError, words_of

# What Immich writes as a preview (JPEG, WebP), and what a person may hand in besides. A short list also keeps Pillow's
# rarer parsers away from files that strangers uploaded.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")

# Pillow has one limit for the whole process and mostly only warns. Ours is an argument of decode(), checked on the
# header before any pixel is decoded, and always an error.
Image.MAX_IMAGE_PIXELS = None

# What is wrong with one file. All else that goes wrong with reading may be no file's fault: too many are open, the disk
# fails, the folder may not be read.
_FILES_OWN = (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)

_OBJECT = re.compile(r"<[^<>]*>")  # as Python prints what has no other name
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


@dataclass(frozen=True)
class PathMap:
    """Where Immich's paths are found here, e.g. Immich's `/data/thumbs/a.jpeg` under `/mnt/photos/thumbs/a.jpeg`.

    `prefixes` are pairs (Immich's prefix, ours), the longest first. Paths under none of them are left as they are,
    and so are all paths when there are no prefixes.
    """

    prefixes: tuple[tuple[PurePosixPath, Path], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `/data=/mnt/photos`; several are separated by `;` or `,`, an empty text maps nothing.

        A folder may have both in its name, but not before a `/` or a later `=`: there begins the next mapping.

        Raises:
            ValueError: a part is not `absolute path=absolute path`, or names a prefix twice.
        """
        prefixes: dict[PurePosixPath, Path] = {}
        for part in filter(None, (piece.strip() for piece in re.split(r"[;,][\s;,]*(?=/|[^;,]*=|$)", text))):
            theirs, equals, ours = (piece.strip() for piece in part.partition("="))
            if not (equals and theirs.startswith("/") and ours.startswith("/")):
                raise ValueError(f"{part!r} is not a path mapping; write /path/in/immich=/path/here")
            if ".." in PurePosixPath(theirs).parts:
                raise ValueError(f"{part!r}: a mapped path must not contain '..'")
            if PurePosixPath(theirs) in prefixes:
                raise ValueError(f"{theirs!r} is mapped twice")
            prefixes[PurePosixPath(theirs)] = Path(ours)
        longest_first = sorted(prefixes.items(), key=lambda pair: len(pair[0].parts), reverse=True)
        return cls(tuple(longest_first))

    def __call__(self, immich_path: str) -> Path:
        """The local path of the file that Immich calls `immich_path`.

        Raises:
            PictureError: the path is empty, holds a NUL or climbs with `..`.
        """
        path = PurePosixPath(immich_path)
        # Immich never stores '..'. Resolving it instead of refusing it would let a row of its database name any file.
        if not immich_path or "\0" in immich_path or ".." in path.parts:
            raise PictureError(f"refused path: {immich_path!r}")
        for theirs, ours in self.prefixes:
            if path.is_relative_to(theirs):
                return ours / path.relative_to(theirs)
        return Path(path)


def read(path: Path, *, max_bytes: int) -> bytes:
    """The whole file; blocks, so call it in a thread.

    Raises:
        PictureError: the file is missing, no file, empty or has more than `max_bytes` bytes.
        OSError: it cannot be read, which may be no fault of its own.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)  # one more than allowed tells without trusting a size that may change
    except FileNotFoundError:
        raise PictureError(f"preview missing: {path}") from None
    except OSError as error:
        if error.errno not in _FILES_OWN:
            raise
        raise PictureError(f"preview unreadable: {path}: {error.strerror or words_of(error)}") from error
    if not data:
        raise PictureError(f"preview empty: {path}")
    if len(data) > max_bytes:
        raise PictureError(f"preview too large: {path} has more than the {max_bytes} bytes allowed")
    return data


@dataclass(frozen=True)
class Picture:
    """A decoded picture: `rgb` is (height, width, 3) uint8, read-only."""

    rgb: np.ndarray

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.rgb.shape[0])


def dimensions(data: bytes, *, max_pixels: int) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        PictureError: as `decode`, as far as the header tells.
    """
    with _opened(data, max_pixels) as image:
        return image.size


def decode(data: bytes, *, max_pixels: int) -> Picture:
    """Decode a picture (the first frame of an animation) to 8-bit RGB.

    Colours are converted exactly as `Image.open(file).convert("RGB")` does it, because that is what cn_clip's own
    preprocessing sees, and a transparent picture is laid on a ground first (`_on_ground`). EXIF orientation is
    deliberately not applied, because Immich's previews are stored upright, without it: its boxes refer to the pixels
    as they are.

    Raises:
        PictureError: the data is no picture of a known format, is damaged or cut short, or its header promises more
            than `max_pixels` pixels (nothing has been decoded then). Whatever the bytes, no other error escapes.
        MemoryError, OSError: there is no memory, or no file may be opened: no fault of the bytes.
    """
    with _opened(data, max_pixels) as image:
        width, height = image.size
        rgb = np.asarray(_to_rgb(image))
    if rgb.ndim != 3 or 0 in rgb.shape:
        raise PictureError(f"picture without pixels: {width} x {height}")
    rgb.flags.writeable = False
    return Picture(rgb)


def upright(data: bytes, *, max_pixels: int) -> bytes:
    """The file of a picture that lies as its EXIF orientation demands, for files that are no previews of Immich's.

    `data` itself where it lies so already, else a PNG, which loses nothing. OpenCV's imdecode turns such pictures, too.

    Raises:
        PictureError: as `decode`, where it has to be turned; else as `dimensions`.
    """
    with _opened(data, max_pixels) as image:
        if image.getexif().get(ExifTags.Base.Orientation, 1) not in range(2, 9):
            return data
        turned = ImageOps.exif_transpose(image)
        buffer = io.BytesIO()
        (turned if turned.mode in _PNG_MODES else _to_rgb(turned)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The picture with its header read and found acceptable; whatever goes wrong in the block is a PictureError."""
    if not data:
        raise PictureError("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError(f"picture too large: {width} x {height} pixels, at most {max_pixels} are allowed")
            yield image
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # Pillow's parsers raise almost anything on hostile bytes, up to SyntaxError
        if isinstance(error, OSError) and error.errno is not None:  # of the system; Pillow's own have no number
            raise
        if "out of memory" in str(error):  # as Pillow's decoders have it
            raise MemoryError(str(error)) from error
        raise PictureError(f"not a readable picture: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What Pillow means, for a person: its own words name objects by their place in memory."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, or damaged at its beginning"
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "it is cut short"
    return f"it is damaged ({_OBJECT.sub('', str(error)).strip() or type(error).__name__})"


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes to RGB."""
    if image.has_transparency_data and image.mode not in ("I;16", "I"):
        return _on_ground(image.convert("RGBA"))
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips deep grey at 255, which turns most of a 16-bit picture white; keep the high byte instead.
        grey = np.asarray(image).astype(np.float64)
        scale = 256 if grey.max(initial=0) > 255 else 1
        image = Image.fromarray((grey / scale).clip(0, 255).astype(np.uint8))
    image.info.pop("transparency", None)  # it does not change the pixels of an RGB result, but Pillow may warn about it
    return image.convert("RGB")


def _on_ground(image: Image.Image) -> Image.Image:
    """An RGBA picture as it looks on white where it is dark, on black where it is light: then text can be read.

    What is hidden below transparent pixels is arbitrary: a WebP encoder gives them the colour of their neighbours. What
    counts is the brightness of what borders on them, not of all: dark letters beside a bright emblem want white.
    """
    alpha = image.getchannel("A")
    rgb = image.convert("RGB")
    if alpha.getextrema()[0] == 255:
        return rgb
    visible = np.asarray(alpha) >= 128
    border = np.zeros_like(visible)
    border[1:] |= ~visible[:-1]
    border[:-1] |= ~visible[1:]
    border[:, 1:] |= ~visible[:, :-1]
    border[:, :-1] |= ~visible[:, 1:]
    border &= visible
    told = border if border.any() else np.asarray(alpha) > 0
    dark = not told.any() or np.asarray(rgb.convert("L"))[told].mean() < 128
    laid = Image.new("RGB", image.size, "white" if dark else "black")
    laid.paste(rgb, mask=alpha)
    return laid
