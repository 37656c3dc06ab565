"""Models that a child process can make, and that do in it what a test says: `Faulty` is pickled, and called there."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from indexer.models.host import Opened
from tests.support import stubs

Kind = Literal["clip", "text", "ocr"]
Fault = Literal[
    "", "from the n-th on", "for a while", "every third", "no numbers", "rubbish", "hangs", "batches", "at start"
]


@dataclass(frozen=True)
class Faulty:
    """A stub model of that `kind`, with a `fault` for as long as the file `broken` is there, and poison all the time.

    The second half of `poison` are inputs that the model cannot take, the first of them that end the process.
    """

    kind: Kind
    fault: Fault = ""
    broken: str = "/nowhere"
    poison: tuple[str, ...] = ()
    deadly: tuple[str, ...] = ()

    def __call__(self, device: str) -> Opened:
        work = _Work(self)
        if self.fault == "at start" and work.is_broken:
            raise RuntimeError("CUDA error: unknown error")
        model: Any = {"clip": _Clip, "text": _Text, "ocr": _Ocr}[self.kind](work)
        return Opened(model, "cpu")


class _Work:
    """What one process does to its inputs, each told by a text."""

    def __init__(self, faulty: Faulty) -> None:
        self._faulty = faulty
        self._calls = 0

    @property
    def is_broken(self) -> bool:
        return Path(self._faulty.broken).exists()

    def meet(self, items: Sequence[str]) -> None:
        """Fails as it is to, on items of that kind."""
        faulty = self._faulty
        for item in items:
            if item in faulty.deadly:
                os.kill(os.getpid(), signal.SIGSEGV)
                time.sleep(60)
            if item in faulty.poison:
                raise RuntimeError("a shape that it cannot take")
        for _ in items if self.is_broken else ():
            self._calls += 1
            match faulty.fault:
                case "from the n-th on" if self._calls > 8:
                    raise RuntimeError("CUDA error: an illegal memory access was encountered")
                case "for a while":
                    raise RuntimeError("CUDA error: unspecified launch failure")
                case "every third" if self._calls % 3 == 0:
                    raise RuntimeError("CUDA error: unspecified launch failure")
                case "hangs" if self._calls > 8:
                    time.sleep(3600)
                case "batches" if len(items) > 1:
                    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def spoil(self, vectors: np.ndarray) -> np.ndarray:
        """Those vectors, as a sick engine makes them."""
        if self.is_broken and self._calls > 8:
            match self._faulty.fault:
                case "no numbers":
                    return vectors * np.nan
                case "rubbish":
                    return np.roll(vectors, 7, axis=1)
        return vectors


class _Clip(stubs.StubClip):
    def __init__(self, work: _Work) -> None:
        super().__init__()
        self._work = work

    def encode_images(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        self._work.meet([stubs.text_of(rgb) for rgb in prepared])
        return self._work.spoil(super().encode_images(prepared))


class _Text(stubs.StubText):
    def __init__(self, work: _Work) -> None:
        super().__init__()
        self._work = work

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self._work.meet(texts)
        return self._work.spoil(super().encode_texts(texts))


class _Ocr(stubs.StubOcr):
    def __init__(self, work: _Work) -> None:
        super().__init__()
        self._work = work

    def recognise(self, detections: Sequence[Any]) -> list[list[Any]]:
        self._work.meet([stubs.text_of(detection.crops[0]) for detection in detections])
        read = super().recognise(detections)
        spoilt = self._work.spoil(np.ones((1, 8)))
        if np.isnan(spoilt).any():
            return [[line.__class__(line.text, (np.nan,) * 8, 0.9, 0.9) for line in lines] for lines in read]
        if self._work.is_broken and self._work._faulty.fault == "rubbish" and self._work._calls > 8:
            return [[line.__class__("口口口", line.corners, 0.9, 0.9) for line in lines] for lines in read]
        return read


class Crude:
    """A model of the simplest, to try what a process does."""

    name = "crude"
    dimensions = 3

    def double(self, values: np.ndarray) -> np.ndarray:
        return values * 2

    def fail(self, error: Exception) -> None:
        raise error

    def hang(self, seconds: float) -> None:
        time.sleep(seconds)

    def process(self, _: None) -> int:
        return os.getpid()

    def end(self, number: int) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)


def crude(device: str) -> Opened:
    return Opened(Crude(), device, "a note")


def missing(device: str) -> Opened:
    from indexer.errors import WeightsError

    raise WeightsError(f"no weights for {device}")


def endless(device: str) -> Opened:
    time.sleep(3600)
    raise AssertionError


def ending(device: str) -> Opened:
    os._exit(3)
