"""Models that a child process can make, and that do in it what a test says: `Faulty` is pickled, and called there."""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from indexer.models.engines.messages import Opened
from tests.support import stubs

Kind = Literal["clip", "text", "ocr"]
Fault = Literal[
    "", "from the n-th on", "for a while", "every third", "no numbers", "rubbish", "hangs", "batches", "at start"
]


@dataclass(frozen=True)
class Faulty:
    """A stub model of that `kind`, with a `fault` while the file `broken` is there, and poison all the time.

    Where a fault comes from the ninth call on, a process that has it keeps it until its end, as with a CUDA error.
    `poison`: the inputs that the model cannot take, by their texts; `deadly`: those that end the process.
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
        self._was_broken = self.is_broken

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
        for _ in items:
            self._calls += 1
            match faulty.fault:
                case "from the n-th on" if self.is_late:
                    raise RuntimeError("CUDA error: an illegal memory access was encountered")
                case "hangs" if self.is_late:
                    time.sleep(3600)
                case "for a while" if self.is_broken:
                    raise RuntimeError("CUDA error: unspecified launch failure")
                case "every third" if self.is_broken and self._calls % 3 == 0:
                    raise RuntimeError("CUDA error: unspecified launch failure")
                case "batches" if self.is_broken and len(items) > 1:
                    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    @property
    def is_late(self) -> bool:
        """Whether the fault has come that comes after some calls."""
        return self._was_broken and self._calls > 8

    def answers(self, fault: Fault) -> bool:
        """Whether it is to answer as one that has `fault`."""
        return self.is_late and self._faulty.fault == fault

    def spoil(self, vectors: np.ndarray) -> np.ndarray:
        """Those vectors, as a sick engine makes them."""
        if self.answers("no numbers"):
            return vectors * np.nan
        return np.roll(vectors, 7, axis=1) if self.answers("rubbish") else vectors


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
        if self._work.answers("no numbers"):
            return [[replace(line, corners=(np.nan,) * 8) for line in lines] for lines in read]
        if self._work.answers("rubbish"):
            return [[replace(line, text="口口口") for line in lines] for lines in read]
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

    def say(self, text: str) -> None:
        logging.getLogger("indexer").warning("read %s", text)
        logging.getLogger("a library").warning("%s of a library", text)
        logging.getLogger("py.warnings").warning("%s of a warning", text)
        os.write(2, f"{text} as it is\n".encode())

    def answer_with_a_lock(self, _: None) -> object:
        return threading.Lock()

    def process(self, _: None) -> int:
        return os.getpid()

    def end(self, number: int) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)


def crude(device: str) -> Opened:
    return Opened(Crude(), device, "a note")


def wasteful(device: str) -> Opened:
    """Takes 256 MB while it is loaded, and keeps some bytes between them."""
    model: Any = Crude()
    parts = [(np.ones(1 << 17), np.ones(1 << 8)) for _ in range(256)]
    model.kept = [kept for _, kept in parts]
    return Opened(model, device)


def missing(device: str) -> Opened:
    from indexer.errors import WeightsError

    raise WeightsError(f"no weights for {device}")


def endless(device: str) -> Opened:
    time.sleep(3600)
    raise AssertionError


def ending(device: str) -> Opened:
    os._exit(3)
