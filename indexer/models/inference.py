"""The models at work: pictures in, vectors and lines out, in batches across photos, bounded in memory.

Knows nothing of the database; the pipeline feeds it with previews, the gateway with what Immich sends.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from indexer import images
from indexer.images import Picture
from indexer.models.hosted import Hosted
from indexer.models.ocr import Detection, Line
from indexer.models.scheduler import Scheduler, Stage, Ticket

Vector = npt.NDArray[np.float32]
T = TypeVar("T")


class ClipModel(Protocol):
    """What is needed of a CLIP model; `indexer.models.clip.Clip` is one."""

    @property
    def name(self) -> str:
        """As it is stored with what it made."""

    @property
    def dimensions(self) -> int:
        """Of its vectors."""

    def prepare(self, picture: Picture) -> Vector:
        """Pixels as the model wants them."""

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, L2-normalised."""


class OcrModel(Protocol):
    """What is needed of an OCR engine; `indexer.models.ocr.Ocr` is one."""

    @property
    def name(self) -> str:
        """As it is stored with what it read."""

    @property
    def alphabet(self) -> frozenset[str] | None:
        """The characters that it knows; None: all."""

    def detect(self, picture: Picture) -> Detection:
        """Where the lines are."""

    def recognise(self, detections: Sequence[Detection]) -> list[list[Line]]:
        """What they say, a list a picture."""


@dataclass(frozen=True)
class Made:
    """What the models made of one picture: None where it was not asked for, or its model failed: `failed` says why.

    `replaced`: how often the engine of each part had been replaced, before it was asked.
    """

    vector: Vector | None = None
    lines: list[Line] | None = None
    failed: Mapping[str, Exception] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)


class Budget:
    """Lets in holders of at most `total` units; one that wants more comes in alone. First come, first in.

    An interactive one comes in at once, though that overdraws the budget. The next one waits until it is paid back.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._interactive: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def __call__(self, units: int, *, interactive: bool = False) -> AsyncIterator[None]:
        """Hold `units` for as long as the block lasts; waits until there are as many."""
        units = min(units, self._total)
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._interactive if interactive else self._waiting).append((units, admitted))
        self._admit()
        try:
            await admitted
            yield
        finally:  # without awaiting: a holder that is cancelled here too gives back what it had
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
    """Runs the models on `threads` threads for any number of callers at once.

    Args:
        clip: the CLIP model, or None where no vectors are wanted.
        ocr: the OCR engine, or None where no text is wanted.
        threads: threads to share; each model call is to keep one busy.
        max_pixels: larger pictures are refused.
        pixels_in_flight: pixels of decoded pictures held at once, which bounds memory.
        gpu: where models are that have no engine, which knows where it is.
        background: leave the processors to whoever else in this process wants them.
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
    ) -> None:
        self.clip = clip
        self.ocr = ocr
        self._max_pixels = max_pixels
        self._budget = Budget(pixels_in_flight)
        self._threads = threads
        self._gpu = gpu
        self._decode: Stage[bytes, Picture] = Stage("decode", self._decode_all)
        self._prepare: Stage[Picture, Vector] = Stage("prepare", self._prepare_all)
        self._detect: Stage[Picture, Detection] = Stage("detect", self._detect_all, limit=threads)
        self._encode: Stage[Vector, Vector] = Stage("encode", self._encode_all)
        self._recognise: Stage[Detection, list[Line]] = Stage("recognise", self._recognise_all)
        stages: list[Stage[Any, Any]] = [self._decode, self._prepare, self._detect, self._encode, self._recognise]
        self._schedule = Scheduler(threads, stages, background=background)

    async def read(
        self, data: bytes, *, clip: bool, ocr: bool, interactive: bool = False
    ) -> tuple[Vector | None, list[Line] | None]:
        """What is wanted of the picture whose file is `data`: its vector, its lines; `interactive` before all others.

        Raises:
            PictureError: it cannot be decoded.
            EngineAwayError: an engine that is needed is not ready.
            GuiltError: an engine that is well cannot take this picture.
            Exception: whatever else a model raises.
        """
        made = await self.read_each(data, clip=clip, ocr=ocr, interactive=interactive)
        for error in made.failed.values():
            raise error
        return made.vector, made.lines

    async def read_each(self, data: bytes, *, clip: bool, ocr: bool, interactive: bool = False) -> Made:
        """The same, where the failure of one model leaves what the other makes.

        Raises:
            PictureError: it cannot be decoded.
            Exception: no memory, no thread: nothing is wrong with the picture.
        """
        self._suit()
        models: dict[str, object] = {"clip": self.clip, "ocr": self.ocr}
        replaced = {part: model.engine.replaced for part, model in models.items() if isinstance(model, Hosted)}
        width, height = images.dimensions(data, max_pixels=self._max_pixels)
        async with self._budget(width * height, interactive=interactive):
            with self._schedule.ticket() if interactive else nullcontext() as ticket:
                picture = await self._schedule(self._decode, data, ticket)
                failed: dict[str, Exception] = {}
                async with asyncio.TaskGroup() as group:
                    vector = group.create_task(_kept(failed, "clip", self._vector(picture, ticket))) if clip else None
                    lines = group.create_task(_kept(failed, "ocr", self._lines(picture, ticket))) if ocr else None
        return Made(vector.result() if vector else None, lines.result() if lines else None, failed, replaced)

    def close(self) -> None:
        """Start nothing more."""
        self._schedule.close()

    async def _vector(self, picture: Picture, ticket: Ticket | None) -> Vector:
        prepared = await self._schedule(self._prepare, picture, ticket)
        return await self._schedule(self._encode, prepared, ticket)

    async def _lines(self, picture: Picture, ticket: Ticket | None) -> list[Line]:
        detection = await self._schedule(self._detect, picture, ticket)
        return await self._schedule(self._recognise, detection, ticket)

    def _suit(self) -> None:
        """Batches as the devices want them now: an engine may have gone to the processor, or lack memory.

        A GPU does one call after the other, and large ones best; what the processor does for text, before and after,
        goes on side by side. There the recogniser answers with up to 200 MB, 18,000 kinds of characters a step: a few
        of those at once.
        """
        threads = self._threads
        on_gpu, most = self._place(self.clip)
        self._encode.size, self._encode.limit = (64, 1) if on_gpu else (4, threads)
        self._encode.size = min(self._encode.size, most)
        on_gpu, most = self._place(self.ocr)
        self._recognise.size, self._recognise.limit = (16, min(4, threads)) if on_gpu else (4, threads)
        self._recognise.size = min(self._recognise.size, most)

    def _place(self, model: object) -> tuple[bool, int]:
        """Whether it is on a GPU, and how many it takes at once."""
        if not isinstance(model, Hosted):
            return self._gpu, 64
        facts = model.engine.facts
        return facts is not None and facts.device == "cuda", model.engine.most or 64

    def _decode_all(self, items: Sequence[bytes]) -> list[Picture]:
        return [images.decode(data, max_pixels=self._max_pixels) for data in items]

    def _prepare_all(self, items: Sequence[Picture]) -> list[Vector]:
        assert self.clip is not None  # noqa: S101 - read() is asked for clip only where there is one
        return [self.clip.prepare(picture) for picture in items]

    def _detect_all(self, items: Sequence[Picture]) -> list[Detection]:
        assert self.ocr is not None  # noqa: S101 - as above
        return [self.ocr.detect(picture) for picture in items]

    def _encode_all(self, items: Sequence[Vector]) -> list[Vector]:
        assert self.clip is not None  # noqa: S101 - as above
        return list(self.clip.encode_images(items))

    def _recognise_all(self, items: Sequence[Detection]) -> list[list[Line]]:
        assert self.ocr is not None  # noqa: S101 - as above
        return self.ocr.recognise(items)


async def _kept(failed: dict[str, Exception], part: str, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` comes to; None where it fails, and `failed` has the reason."""
    try:
        return await work
    except Exception as error:
        failed[part] = error
        return None
