"""Vectors and lines of pictures: what the indexer has stored for the same bytes, or what it would store."""

import asyncio
import hashlib
import sys
from collections.abc import Callable, Collection
from functools import partial

import structlog

from gateway.database import AwayError, OccupiedError
from gateway.errors import MissingInputError, ModelAwayError, TooLargeError, UnavailableError, UnsupportedError
from gateway.gate import Gate
from gateway.library import Current, Library, Stored, Vector, check_width
from gateway.metrics import Metrics
from gateway.ml.engines import asked, engines_of
from gateway.ml.protocol import PredictRequest, ocr_answer, vector_answer
from indexer import images
from indexer.errors import IndexerError, PictureError
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import name_of
from indexer.models.inference import Inference
from indexer.photos.lines import StoredLine, stored_lines, visible_text
from indexer.photos.vectors import as_column, room

log = structlog.get_logger()

_WEIGHTS = 60  # seconds until missing weights may have arrived


class Pictures:
    """Answers `clip.visual` and `ocr`, also both in one request.

    Args:
        library: to look up what the indexer has stored.
        metrics: where to count.
        clip_model: returns the name of the indexer's CLIP model, as stored with its vectors. None while not known.
        ocr_model: name of the indexer's OCR engine, as stored with its lines.
        tasks: clip, ocr, or both.
        current: which model is in use, None where that is not known. The `clip_model` is its name.
        setting: our own value of CLIP_MODEL.
        missing: returns what CLIP's weights lack, in a sentence. Empty: nothing.
        load: loads the models, at the first picture that the indexer has not read. It takes seconds. With the value of
            CLIP_MODEL that names the model in use, where that is not our own.
        queue: the most pictures that may wait.
        wait: seconds to wait for an indexer that may be reading the picture.
        max_pixels: larger pictures are refused.
    """

    def __init__(
        self,
        library: Library,
        metrics: Metrics,
        *,
        clip_model: Callable[[], str | None],
        ocr_model: str | None,
        tasks: Collection[str],
        load: Callable[..., Inference],
        queue: int,
        wait: float,
        max_pixels: int,
        missing: Callable[[], str] = lambda: "",
        current: Callable[[], Current | None] = lambda: None,
        setting: str = "",
    ) -> None:
        self.gate = Gate("pictures", queue, retry_after=5)
        self._library = library
        self._metrics = metrics
        self._clip_model = clip_model
        self._ocr_model = ocr_model
        self._tasks = frozenset(tasks)
        self._load = load
        self._missing = missing
        self._current = current
        self._setting = setting
        self._loaded_for: str | None = None  # the value of CLIP_MODEL
        self._wait = wait
        self._max_pixels = max_pixels
        self._inference: Inference | None = None
        self._loading: asyncio.Task[Inference] | None = None

    @property
    def loaded(self) -> bool:
        """Whether the models are loaded."""
        return self._inference is not None

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines of its models, by task. None before they are needed."""
        inference = self._inference
        return {} if inference is None else engines_of(clip=inference.clip, ocr=inference.ocr)

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """`{"clip": vector, "ocr": lines, "imageWidth": pixels, "imageHeight": pixels}`. Raises GatewayError."""
        wanted = frozenset(request.entries)
        if "clip" in wanted:
            request.entry("clip", "visual")
        min_box, min_text = request.min_score("ocr", "detection"), request.min_score("ocr", "recognition")
        # Only checked. It is the size at which Immich's own server looks for text. We always use the indexer's size
        # (OCR_DETECT_SIDE, by default about Immich's): stored lines are good enough for any value.
        request.max_resolution("ocr", "detection")
        data = request.need_image()
        width, height = await asyncio.to_thread(self._dimensions, data)
        before = self._current()
        found = await self.read(data, wanted)
        answer: dict[str, object] = {}
        if found.vector is not None and "clip" in wanted:
            answer["clip"] = vector_answer(await self._column(data, found))
            if self._current() != before:  # it has just been looked at: the model was changed meanwhile
                return await self(request)
        if found.lines is not None and "ocr" in wanted:
            answer["ocr"] = ocr_answer(found.lines, min_box, min_text)
        return answer | {"imageWidth": width, "imageHeight": height}

    async def _column(self, data: bytes, found: Stored) -> Vector:
        """The vector that the indexer writes into Immich's column: with text and facts, if the column has room."""
        assert found.vector is not None  # noqa: S101 - the caller has checked it
        width, dimensions = await self._library.width(), len(found.vector)
        check_width(width, dimensions)
        if room(width, dimensions) and found.lines is None and self._ocr_model is not None:
            return as_column(found.vector, width, visible_text(await self.lines(data)), found.facts)
        return as_column(found.vector, width, visible_text(found.lines or ()), found.facts)

    async def vector(self, data: bytes) -> Vector:
        """The vector of the picture whose file is `data`, in the model's dimensions. Raises as `read`."""
        vector = (await self.read(data, frozenset({"clip"}))).vector
        assert vector is not None  # noqa: S101 - read() gives what is wanted
        return vector

    async def lines(self, data: bytes) -> list[StoredLine]:
        """The lines in it, as the indexer stores them. Raises as `read`."""
        lines = (await self.read(data, frozenset({"ocr"}))).lines
        assert lines is not None  # noqa: S101 - as above
        return lines

    async def read(self, data: bytes, wanted: frozenset[str]) -> Stored:
        """What is wanted (clip, ocr) of the picture whose file is `data`, exactly as the indexer stores it.

        Raises:
            BusyError: too many pictures are waiting.
            MissingInputError: the picture cannot be decoded.
            UnavailableError: the models cannot be loaded, or are not ready.
            UnsupportedError: TASKS leaves it out.
        """
        if missing := sorted(wanted - self._tasks):
            raise UnsupportedError(f"there is no {missing[0]} here: TASKS leaves it out")
        if "clip" in wanted and (current := self._current()) is not None and current.is_immichs:
            raise UnavailableError("until all photos were read Immich's own model is used", _WEIGHTS)
        with self.gate():
            return await self._read(data, wanted)

    def close(self) -> None:
        """Start no more work, and end the models."""
        for engine in self.engines.values():
            engine.close()
        if self._inference is not None:
            self._inference.close()

    async def _read(self, data: bytes, wanted: frozenset[str]) -> Stored:
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
        found = await self._from_indexer(digest, wanted)
        if found.has(wanted):
            return found
        clip, ocr = "clip" in wanted and found.vector is None, "ocr" in wanted and found.lines is None
        inference = await self._models()
        current = self._current()
        if clip and current is not None and name_of(inference.clip) not in (None, current.name):
            raise UnavailableError(f"the model in use, {current.name}, has other weights here", _WEIGHTS)
        try:
            with asked():
                vector, lines = await inference.read(data, clip=clip, ocr=ocr)
        except PictureError as error:
            raise MissingInputError(str(error)) from error
        # The indexer may have been faster. Then its stored result counts, so that everybody gets the same.
        found = await self._stored(digest)
        self._metrics.pictures.labels("computed").inc()
        return Stored(
            found.vector if found.vector is not None else vector,
            found.lines if found.lines is not None or lines is None else stored_lines(lines),
            found.facts,
        )

    def _is_ready(self, task: str) -> bool:
        """Whether the model of that task is loaded and ready."""
        engine = self.engines.get(task)
        return engine is not None and engine.state.is_ready

    async def _from_indexer(self, digest: bytes, wanted: frozenset[str]) -> Stored:
        """What the indexer has stored. Waits while the indexer may be reading this picture.

        Immich stores our answer. If it did so at the same time as the indexer, each line would be stored twice.
        """
        found = await self._stored(digest)
        if found.has(wanted):
            self._metrics.pictures.labels("stored").inc()
            return found
        if "clip" in wanted and found.vector is None and not self._is_ready("clip") and (missing := self._missing()):
            raise ModelAwayError(missing, _WEIGHTS)  # the indexer waits for them, too
        loop = asyncio.get_running_loop()
        until, pause, coming = loop.time() + self._wait, 0.02, None
        while True:
            try:
                # In this order: results and the completion of their job are one transaction.
                coming = await self._library.under_way(coming)
                found = await self._stored(digest)
            except OccupiedError:  # the database is busy: it is not known whether the indexer is reading the picture
                pass
            except AwayError:
                return found  # the database became unavailable while the indexer was reading
            if found.has(wanted):
                self._metrics.pictures.labels("awaited").inc()
                return found
            if (coming is not None and not coming) or loop.time() > until:
                return found
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.4)

    async def _stored(self, digest: bytes) -> Stored:
        """What is stored. Nothing while the database is unavailable or busy."""
        try:
            return await self._library.stored(digest, self._clip_model(), self._ocr_model)
        except AwayError:
            return Stored()

    async def _models(self) -> Inference:
        current = self._current()
        setting = current.setting if current is not None and current.setting != self._setting else None
        if self._loaded_for != setting and self._loading is not None and self._loading.done():
            self.close()
            self._loading = self._inference = None
        if self._loading is None:  # a task of its own: the first caller may be cancelled while others wait for it
            self._loaded_for = setting
            load = self._load if setting is None else partial(self._load, setting)
            self._loading = asyncio.ensure_future(asyncio.to_thread(load))
        loading = self._loading
        try:
            self._inference = await asyncio.shield(loading)
        except Exception as error:
            if self._loading is loading:  # the next picture tries again
                self._loading = None
                log.error("cannot load the models for pictures", error=str(error))
            reason = str(error) if isinstance(error, IndexerError) else "see the gateway's log"
            raise UnavailableError(f"the models for pictures cannot be loaded: {reason}", retry_after=60) from error
        return self._inference

    def _dimensions(self, data: bytes) -> tuple[int, int]:
        """Width and height in pixels, from the header."""
        try:
            width, height = images.dimensions(data, max_pixels=sys.maxsize)
        except PictureError as error:
            raise MissingInputError(str(error)) from error
        if width * height > self._max_pixels:
            raise TooLargeError(f"the picture has {width} x {height} pixels, at most {self._max_pixels} are taken")
        return width, height
