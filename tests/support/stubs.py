"""Models that answer at once, and rightly: what they say follows from the pixels, so a test can tell whose it is."""

import hashlib
import io
import os
import signal
import threading
import time
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from indexer.images import Picture
from indexer.models.results import Detection, Line
from indexer.models.runtimes import gpu

DIMENSIONS = 512


def picture(number: int, *, form: str = "PNG") -> bytes:
    """A small picture that is unlike that of any other number."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def digest_of(rgb: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(rgb).tobytes()).digest()


def rgb(number: int) -> np.ndarray:
    """The pixels of `picture(number)`."""
    return np.asarray(Image.open(io.BytesIO(picture(number))).convert("RGB"))


def expected_text(number: int) -> str:
    """What StubOcr reads in `picture(number)`."""
    return text_of(rgb(number))


def expected_vector(number: int) -> np.ndarray:
    """What StubClip makes of `picture(number)`."""
    return vector_of(rgb(number))


def text_of(rgb: np.ndarray) -> str:
    return f"编号 {digest_of(rgb).hex()[:12]}"


def vector_of(rgb: np.ndarray, dimensions: int = DIMENSIONS, kind: int = 0) -> np.ndarray:
    """`kind`: of model. Those of different kinds see nothing alike."""
    seed = int.from_bytes(digest_of(rgb)[:8], "little") ^ kind
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def named(setting: str) -> tuple[str, int]:
    """The name and the kind of the stub model that a value of CLIP_MODEL names."""
    return f"stub {setting}", zlib.crc32(setting.encode())


class StubClip:
    """A CLIP model; `calls` counts the pictures it was given."""

    def __init__(
        self,
        name: str = "stub clip",
        dimensions: int = DIMENSIONS,
        before: Callable[[], None] | None = None,
        kind: int = 0,
    ) -> None:
        self.name = name
        self.kind = kind
        self.dimensions = dimensions
        self.calls = 0
        self._before = before

    def prepare(self, picture: Picture) -> np.ndarray:
        return np.asarray(picture.rgb)

    def encode_images(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        if self._before is not None:
            self._before()
        self.calls += len(prepared)
        return np.stack([vector_of(rgb, self.dimensions, self.kind) for rgb in prepared])


class StubOcr:
    """An OCR engine that reads one line a picture; `calls` counts pictures, `say` overrides what is read."""

    def __init__(
        self,
        name: str = "stub ocr",
        say: Callable[[np.ndarray], list[str]] | None = None,
        alphabet: frozenset[str] | None = None,
    ) -> None:
        self.name = name
        self.alphabet = alphabet
        self.calls = 0
        self._say = say or (lambda rgb: [text_of(rgb)])

    def detect(self, picture: Picture) -> Detection:
        return Detection((), (), (np.asarray(picture.rgb),), (picture.width, picture.height))

    def recognise(self, detections: Sequence[Detection]) -> list[list[Line]]:
        self.calls += len(detections)
        return [
            [
                Line(text, (0.1, y, 0.9, y, 0.9, y + 0.05, 0.1, y + 0.05), 0.9, 0.95)
                for y, text in zip(np.linspace(0.1, 0.9, 9), self._say(detection.crops[0]), strict=False)
            ]
            for detection in detections
        ]


class StubText:
    """A text tower whose vectors follow from the text; `hold` keeps it at work for as long as it is clear."""

    def __init__(self, name: str = "stub clip", dimensions: int = DIMENSIONS) -> None:
        self.name = name
        self.dimensions = dimensions
        self.batches: list[int] = []
        self.hold = threading.Event()
        self.hold.set()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.batches.append(len(texts))
        self.hold.wait(30)
        return np.stack([text_vector(text, self.dimensions) for text in texts])


class StubAsker(StubText):
    """A text tower that knows what the pictures show: the text `7` means `picture(7)`, as that model sees it."""

    def __init__(self, setting: str) -> None:
        name, self.kind = named(setting)
        super().__init__(name)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([vector_of(rgb(int(text)), self.dimensions, self.kind) for text in texts])


def text_vector(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class StubDriver:
    """A driver that serves that CUDA, with these cards."""

    def __init__(self, serves: gpu.Version | None, cards: Sequence[gpu.Card] = ()) -> None:
        self._serves = serves
        self._cards = list(cards)

    def version(self) -> gpu.Version | None:
        return self._serves

    def cards(self) -> list[gpu.Card]:
        return self._cards


RTX_4090 = gpu.Card("NVIDIA GeForce RTX 4090", (8, 9), 24 << 30)
CUDA_13 = gpu.Build(
    "torch 2.13.0+cu130", (13, 0), frozenset(["sm_75", "sm_80", "sm_86", "sm_90a", "sm_100", "sm_120", "compute_120"])
)


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
