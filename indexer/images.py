"""From the path of a preview in Immich's database to its pixels: the file, its bytes, the decoded picture."""

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

# What Immich writes as a preview (JPEG, WebP), and what a person may upload to the gateway. The list is short, so that
# files of strangers do not reach Pillow's less used parsers.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")

# Pillow has one limit for the whole process, and often only warns. Our limit is an argument of decode(). It is checked
# on the header, before any pixel is decoded, and is always an error.
Image.MAX_IMAGE_PIXELS = None

# Errors that belong to this one file. Other errors may come from the machine: too many open files, a failing disk, a
# folder that we may not read.
_ERRORS_OF_THE_FILE = (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)

_PIECE = 1 << 20  # bytes: most previews have less

_OBJECT = re.compile(r"<[^<>]*>")  # how Python prints an object that has no better name
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


@dataclass(frozen=True)
class PathMap:
    """Where a path of Immich's is on this machine, e.g. `/data/thumbs/a.jpeg` under `/mnt/photos/thumbs/a.jpeg`.

    `prefixes` are pairs (Immich's prefix, ours), the longest first. A path that begins with none of them stays as it
    is. Without prefixes all paths stay as they are.
    """

    prefixes: tuple[tuple[PurePosixPath, Path], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `/data=/mnt/photos`. Several mappings are separated by `;` or `,`. An empty text maps nothing.

        The name of a folder may contain `;` and `,`, but not where a `/` and later a `=` follow: there the next mapping
        begins.

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
        # Immich never stores '..'. If we resolved it, a row of the database could name any file of this machine.
        if not immich_path or "\0" in immich_path or ".." in path.parts:
            raise PictureError(f"refused path: {immich_path!r}")
        for theirs, ours in self.prefixes:
            if path.is_relative_to(theirs):
                return ours / path.relative_to(theirs)
        return Path(path)


def read(path: Path, *, max_bytes: int) -> bytes:
    """Read the whole file. It blocks, so call it in a thread.

    Raises:
        PictureError: the file is missing, is no regular file, is empty, or has more than `max_bytes` bytes.
        OSError: it cannot be read, and the cause may be the machine, not the file.
    """
    try:
        with path.open("rb") as file:
            # One byte more: the size may change while we read. In pieces, because Python allocates all that it is asked
            # for, before it knows how much there is.
            pieces, left = [], max_bytes + 1
            while left and (piece := file.read(min(left, _PIECE))):
                pieces.append(piece)
                left -= len(piece)
            data = b"".join(pieces)
    except FileNotFoundError:
        raise PictureError(f"preview missing: {path}") from None
    except OSError as error:
        if error.errno not in _ERRORS_OF_THE_FILE:
            raise
        raise PictureError(f"preview unreadable: {path}: {error.strerror or words_of(error)}") from error
    if not data:
        raise PictureError(f"preview empty: {path}")
    if len(data) > max_bytes:
        raise PictureError(f"preview too large: {path} has more than the {max_bytes} bytes allowed")
    return data


class Picture:
    """A decoded picture: RGB, 8 bits each.

    Its pixels are kept as Pillow decoded them, and as an array from the moment when somebody asks for that. Never as
    both, which takes 7 bytes a pixel. It may be used in several threads.
    """

    def __init__(self, pixels: Image.Image | np.ndarray) -> None:
        self._pixels = pixels

    def __reduce__(self) -> tuple[type[Self], tuple[np.ndarray]]:
        return type(self), (self.rgb,)

    @property
    def rgb(self) -> np.ndarray:
        """(height, width, 3) uint8, read-only."""
        pixels = self._pixels
        if isinstance(pixels, Image.Image):
            pixels = np.asarray(pixels)
            pixels.flags.writeable = False
            self._pixels = pixels
        return pixels

    @property
    def image(self) -> Image.Image:
        """For Pillow, not to be changed."""
        pixels = self._pixels
        return pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)

    @property
    def width(self) -> int:
        """In pixels."""
        return self._size[0]

    @property
    def height(self) -> int:
        """In pixels."""
        return self._size[1]

    @property
    def _size(self) -> tuple[int, int]:
        pixels = self._pixels
        return pixels.size if isinstance(pixels, Image.Image) else (pixels.shape[1], pixels.shape[0])


def dimensions(data: bytes, *, max_pixels: int) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        PictureError: as for `decode`, but only for what the header shows.
    """
    with _opened(data, max_pixels) as image:
        return image.size


def decode(data: bytes, *, max_pixels: int) -> Picture:
    """Decode a picture to 8-bit RGB. Of an animation the first frame is used.

    Colours are converted exactly as `Image.open(file).convert("RGB")` does, because cn_clip's own preprocessing does
    the same. A transparent picture is first put on a background (`_on_background`). EXIF orientation is not applied:
    Immich stores its previews upright, and the boxes in its database refer to the pixels as they are stored.

    Raises:
        PictureError: the data is no picture of a known format, is damaged or cut short, or its header announces more
            than `max_pixels` pixels (then nothing was decoded). No other bytes lead to any other error.
        MemoryError, OSError: there is no memory, or no file may be opened. The bytes are not the cause.
    """
    with _opened(data, max_pixels) as image:
        width, height = image.size
        rgb = _to_rgb(image)
    if 0 in rgb.size:
        raise PictureError(f"picture without pixels: {width} x {height}")
    return Picture(rgb)


def upright(data: bytes, *, max_pixels: int) -> bytes:
    """Turn a picture as its EXIF orientation says. For files that are not previews of Immich.

    Returns `data` itself where the picture is upright already, otherwise a PNG, which loses nothing. OpenCV's imdecode
    turns such pictures, too.

    Raises:
        PictureError: as for `decode` where the picture has to be turned, otherwise as for `dimensions`.
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
    """Open a picture and check its header. Errors inside the block become a PictureError."""
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
    except Exception as error:  # Pillow's parsers raise almost anything on damaged bytes, even SyntaxError
        if isinstance(error, OSError) and error.errno is not None:  # from the system: Pillow's own have no number
            raise
        if "out of memory" in str(error):  # the words of Pillow's decoders
            raise MemoryError(str(error)) from error
        raise PictureError(f"not a readable picture: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Pillow's reason, for a person. Pillow's own text may contain the memory address of an object."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, or damaged at its beginning"
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "it is cut short"
    return f"it is damaged ({_OBJECT.sub('', str(error)).strip() or type(error).__name__})"


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any of Pillow's modes to RGB."""
    if image.has_transparency_data and image.mode not in ("I;16", "I"):
        return _on_background(image.convert("RGBA"))
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow sets values above 255 to 255, so most of a 16-bit picture becomes white. We keep the high byte instead.
        grey = np.asarray(image).astype(np.float64)
        scale = 256 if grey.max(initial=0) > 255 else 1
        image = Image.fromarray((grey / scale).clip(0, 255).astype(np.uint8))
    image.load()
    if image.mode == "RGB":  # convert() would copy it
        return image
    image.info.pop("transparency", None)  # no effect on an RGB result, but Pillow may warn about it
    return image.convert("RGB")


def _on_background(image: Image.Image) -> Image.Image:
    """Put an RGBA picture on a background: white behind a dark picture, black behind a light one, so text is legible.

    The colour below a transparent pixel is arbitrary: a WebP encoder takes that of a neighbour. So only the pixels
    that border on transparent ones decide. For example dark letters beside a bright emblem need white.
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
