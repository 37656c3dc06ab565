"""Runs the models: pictures in, vectors and lines out. Batches over many photos, in limited memory.

It knows nothing of the database. The pipeline calls it with previews, the gateway with what Immich sends.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from indexer import images
from indexer.images import Picture
from indexer.models.engines.hosted import Hosted
from indexer.models.engines.states import EngineAwayError, Phase, State
from indexer.models.results import Detection, Line
from indexer.models.runtimes.device import INTEL_GPU
from indexer.models.scheduler import Scheduler, Stage, Ticket

Vector = npt.NDArray[np.float32]
T = TypeVar("T")

_SIZES: dict[str, tuple[int, int]] = {"cuda": (64, 1), INTEL_GPU: (4, 1)}
"""Of calls of CLIP on a GPU: pictures in each, and how many at once."""


class ClipModel(Protocol):
    """What we need of a CLIP model. `indexer.models.clip.cn_clip.on_torch.Clip` is one."""

    @property
    def name(self) -> str:
        """Its name, as stored with its results."""

    @property
    def dimensions(self) -> int:
        """The width of its vectors."""

    def prepare(self, picture: Picture) -> Vector:
        """Pixels in the form that the model takes."""

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, L2-normalised."""


class OcrModel(Protocol):
    """What we need of an OCR engine. `indexer.models.ocr.ocr.Ocr` is one."""

    @property
    def name(self) -> str:
        """Its name, as stored with its results."""

    @property
    def alphabet(self) -> frozenset[str] | None:
        """The characters that it knows. None: all."""

    def detect(self, picture: Picture) -> Detection:
        """Where the lines are."""

    def recognise(self, detections: Sequence[Detection]) -> list[list[Line]]:
        """The text of the lines, one list for each picture."""


_REPLACED = "it was replaced soon after it had answered"


@dataclass(frozen=True)
class Made:
    """The results for one picture. None where it was not asked for, or its model failed. `failed`: the reasons.

    `next_vector`: of the CLIP model that is becoming the current one.
    """

    vector: Vector | None = None
    lines: list[Line] | None = None
    next_vector: Vector | None = None
    failed: Mapping[str, Exception] = field(default_factory=dict)


class Budget:
    """Admits holders of at most `total` units, in their order. A holder that wants more than `total` is admitted alone.

    An interactive holder is admitted at once, even beyond the total. The next one waits until the total is kept again.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._interactive: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def __call__(self, units: int, *, interactive: bool = False) -> AsyncIterator[None]:
        """Hold `units` while the block runs. Waits until so many are free."""
        units = min(units, self._total)
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._interactive if interactive else self._waiting).append((units, admitted))
        self._admit()
        try:
            await admitted
            yield
        finally:  # no await in here: a cancelled holder must also give back its units
            if admitted.done() and not admitted.cancelled():
                self._free += units
            admitted.cancel()
            self._admit()

    def _admit(self) -> None:
        while line := self._interactive or self._waiting:
            units, admitted = line[0]
            if not admitted.done():
                if self._free < (0 if line is self._interactive else units):
                    return
                self._free -= units
                admitted.set_result(None)
            line.popleft()


class Inference:
    """Runs the models on `threads` processors for any number of callers at once.

    Args:
        clip: the CLIP model, or None where no vectors are wanted.
        ocr: the OCR engine, or None where no text is wanted.
        following: the CLIP model that is becoming the current one, or None where none is.
        threads: processors to use. Of several, one call more runs than there are.
        max_pixels: larger pictures are refused.
        pixels_in_flight: the most pixels of decoded pictures at one time, which limits memory.
        gpu: whether models without an engine are on a GPU. An engine knows it by itself.
        background: leave the processors to other work of this process.
    """

    def __init__(
        self,
        clip: ClipModel | None,
        ocr: OcrModel | None,
        *,
        threads: int,
        max_pixels: int = 64_000_000,
        pixels_in_flight: int = 48_000_000,
        gpu: bool = False,
        background: bool = False,
        following: ClipModel | None = None,
    ) -> None:
        self.clip = clip
        self.ocr = ocr
        self.next = following
        self._max_pixels = max_pixels
        self._budget = Budget(pixels_in_flight)
        self._threads = threads
        self._gpu = gpu
        self._decode: Stage[bytes, Picture] = Stage("decode", self._decode_all)
        self._prepare: Stage[Picture, Vector] = Stage("prepare", partial(_prepare_all, clip))
        self._detect: Stage[Picture, Detection] = Stage("detect", self._detect_all, limit=threads)
        self._encode: Stage[Vector, Vector] = Stage("encode", partial(_encode_all, clip))
        self._recognise: Stage[Detection, list[Line]] = Stage("recognise", self._recognise_all)
        stages: list[Stage[Any, Any]] = [self._decode, self._prepare, self._detect, self._encode, self._recognise]
        self._prepare_next: Stage[Picture, Vector] = Stage("prepare next", partial(_prepare_all, following))
        self._encode_next: Stage[Vector, Vector] = Stage("encode next", partial(_encode_all, following))
        if following is not None:
            stages += [self._prepare_next, self._encode_next]
        # One call more than processors: while a call passes from one process to another no processor is idle.
        self._schedule = Scheduler(threads + (threads > 1), stages, background=background)

    async def read(
        self, data: bytes, *, clip: bool, ocr: bool, interactive: bool = False
    ) -> tuple[Vector | None, list[Line] | None]:
        """Read the picture whose file is `data`: its vector, its lines. `interactive`: before all others.

        Raises:
            PictureError: it cannot be decoded.
            EngineAwayError: an engine that is needed is not ready.
            GuiltError: an engine that works cannot process this picture.
            Exception: any other error of a model.
        """
        made = await self.read_each(data, clip=clip, ocr=ocr, interactive=interactive)
        for error in made.failed.values():
            raise error
        return made.vector, made.lines

    async def read_each(
        self, data: bytes, *, clip: bool, ocr: bool, following: bool = False, interactive: bool = False
    ) -> Made:
        """As `read`, also by the `following` CLIP model, but if one fails, the results of the others are kept.

        Raises:
            PictureError: it cannot be decoded.
            Exception: no memory, no thread: the picture is not the cause.
        """
        self._suit()
        asked: dict[str, object] = {
            "clip": self.clip if clip else None,
            "ocr": self.ocr if ocr else None,
            "next": self.next if following else None,
        }
        engines = {part: model.engine for part, model in asked.items() if isinstance(model, Hosted)}
        replaced = {part: engine.replaced for part, engine in engines.items()}
        width, height = images.dimensions(data, max_pixels=self._max_pixels)
        async with self._budget(width * height, interactive=interactive):
            with self._schedule.ticket() if interactive else nullcontext() as ticket:
                picture = await self._schedule(self._decode, data, ticket)
                failed: dict[str, Exception] = {}
                async with asyncio.TaskGroup() as group:
                    by = self._prepare, self._encode
                    made = self._vector(picture, ticket, *by) if clip else _nothing()
                    vector = group.create_task(_kept(failed, "clip", made))
                    by = self._prepare_next, self._encode_next
                    made = self._vector(picture, ticket, *by) if following else _nothing()
                    other = group.create_task(_kept(failed, "next", made))
                    lines = group.create_task(_kept(failed, "ocr", self._lines(picture, ticket))) if ocr else None
                    del picture, made  # the tasks drop it as soon as they have what they need of it
        for part, engine in engines.items():
            if engine.replaced != replaced[part]:
                # It may have been sick already when it answered.
                failed.setdefault(part, EngineAwayError(engine.name, State(Phase.SICK, reason=_REPLACED)))
        return Made(
            vector.result() if "clip" not in failed else None,
            lines.result() if lines and "ocr" not in failed else None,
            other.result() if "next" not in failed else None,
            failed,
        )

    def close(self) -> None:
        """Start no more work."""
        self._schedule.close()

    async def _vector(
        self, picture: Picture, ticket: Ticket | None, prepare: Stage[Picture, Vector], encode: Stage[Vector, Vector]
    ) -> Vector:
        prepared = await self._schedule(prepare, picture, ticket)
        del picture  # it may wait long for a batch
        return await self._schedule(encode, prepared, ticket)

    async def _lines(self, picture: Picture, ticket: Ticket | None) -> list[Line]:
        detection = await self._schedule(self._detect, picture, ticket)
        del picture
        return await self._schedule(self._recognise, detection, ticket)

    def _suit(self) -> None:
        """Set the batch sizes for the engines' present devices: an engine may have left the GPU, or be short of memory.

        A GPU does one call after the other, and NVIDIA's is best at large ones. The processor's work before and after
        goes on at the same time. The recogniser's output there takes up to 200 MB (18,000 characters at each step), so
        only a few calls run at once.
        """
        threads = self._threads
        for model, stage in ((self.clip, self._encode), (self.next, self._encode_next)):
            device, most = self._place(model)
            stage.size, stage.limit = _SIZES.get(device, (4, threads))
            stage.size = min(stage.size, most)
        device, most = self._place(self.ocr)
        self._recognise.size, self._recognise.limit = (16, min(4, threads)) if device == "cuda" else (4, threads)
        self._recognise.size = min(self._recognise.size, most)

    def _place(self, model: object) -> tuple[str, int]:
        """The device of the model, and how many items it takes at once."""
        if not isinstance(model, Hosted):
            return "cuda" if self._gpu else "cpu", 64
        facts = model.engine.facts
        return facts.device if facts else "cpu", model.engine.most or 64

    def _decode_all(self, items: Sequence[bytes]) -> list[Picture]:
        return [images.decode(data, max_pixels=self._max_pixels) for data in items]

    def _detect_all(self, items: Sequence[Picture]) -> list[Detection]:
        assert self.ocr is not None  # noqa: S101 - read() is asked for ocr only where there is one
        return [self.ocr.detect(picture) for picture in items]

    def _recognise_all(self, items: Sequence[Detection]) -> list[list[Line]]:
        assert self.ocr is not None  # noqa: S101 - as above
        return self.ocr.recognise(items)


def _prepare_all(model: ClipModel | None, items: Sequence[Picture]) -> list[Vector]:
    assert model is not None  # noqa: S101 - as above
    return [model.prepare(picture) for picture in items]


def _encode_all(model: ClipModel | None, items: Sequence[Vector]) -> list[Vector]:
    assert model is not None  # noqa: S101 - as above
    return list(model.encode_images(items))


async def _nothing() -> None:
    """For what was not asked for."""


async def _kept(failed: dict[str, Exception], part: str, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`. None where it fails: then the reason is put into `failed`."""
    try:
        return await work
    except Exception as error:
        failed[part] = error
        return None
