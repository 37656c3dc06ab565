"""Claim, read, infer, write: photos on their way, stages overlapped, a bounded number of them at once."""

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from indexer import photos, results
from indexer.backoff import Backoff, at_least
from indexer.database import TROUBLE, Pool, explain, is_transient, within
from indexer.errors import PictureError, SchemaError
from indexer.inference import Inference, Made
from indexer.media import Media, MediaError
from indexer.photos import Photo
from indexer.progress import Progress
from indexer.queue import Job, Queue
from indexer.results import Reading
from indexer.text.normalise import clean

log = structlog.get_logger()
T = TypeVar("T")

WRITE_BATCH = 16  # HNSW inserts take milliseconds each, and Immich waits for our locks: short transactions
_REQUESTS = 8  # photos that persons wait for, under way beyond all others
_LOOKS = 8  # tries of a write that met a change of Immich's
_COMPARE = 5.0  # seconds between two looks whether we hold just what we know of
_SYSTEMIC_PAUSE = 30.0  # seconds before photos are looked at again after trouble that is not theirs


class Pipeline:
    """Works on the queue until told to stop.

    Args:
        pool: connections to the database.
        queue: this worker's view of the queue.
        inference: the models.
        media: where previews are.
        batch: photos claimed at once; up to twice as many are under way, and a few that persons wait for.
        patience: seconds to wait for an answer of the database before asking again over another connection: a single
            one may be dead while all others, the heartbeat's too, are well.
    """

    def __init__(
        self,
        pool: Pool,
        queue: Queue,
        inference: Inference,
        media: Media,
        *,
        batch: int = 8,
        patience: float,
    ) -> None:
        self.photos = 0  # read since the start
        self._progress = Progress()
        self._pool = pool
        self._queue = queue
        self._inference = inference
        self._media = media
        self._batch = batch
        self._patience = patience
        self._under_way: dict[asyncio.Task[None], Job] = {}
        self._finished: asyncio.PriorityQueue[tuple[int, int, Reading]] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._unwritten: dict[Job, None] = {}
        self._room = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def run(self, rung: asyncio.Event, idle: Callable[[], float]) -> None:
        """Work until `stop`. `rung` says that there may be something to do; unasked we look every `idle()` seconds."""
        async with asyncio.TaskGroup() as self._tasks:  # what fails unexpectedly in one of them ends them all
            self._loops = [
                self._tasks.create_task(self._claim_all(rung, idle), name="claims"),
                self._tasks.create_task(self._write_all(), name="writer"),
            ]

    async def stop(self, grace: float) -> None:
        """Claim nothing more, finish what is under way within `grace` seconds, and give back the rest."""
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await asyncio.wait(self._loops[:1])
                await self._drain()
        tasks = [*self._loops, *self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=1)  # what they have sent to the database is done or undone
        self._inference.close()
        if left := await within(2, self._queue.release_all()):
            log.info("gave back", photos=left)

    @property
    def _load(self) -> int:
        return len(self._under_way) + len(self._unwritten)

    @property
    def _alphabet(self) -> frozenset[str] | None:
        return None if self._inference.ocr is None else self._inference.ocr.alphabet

    async def _answer(self, work: Coroutine[Any, Any, T]) -> T:
        """What the database answers. Raises TimeoutError where it does not for `patience` seconds."""
        return await within(self._patience, work)

    async def _claim_all(self, rung: asyncio.Event, idle: Callable[[], float]) -> None:
        loop = asyncio.get_running_loop()
        compare = loop.time()  # when to see next whether we hold just what we know of
        trouble = ""
        backoff = Backoff(1)
        while not self._stopping.is_set():
            try:
                # An answer may have been lost with its connection. And a claim that was given up may come late: its
                # server process was frozen, or its line.
                if loop.time() >= compare:
                    await self._answer(self._queue.release_all(but=[*self._under_way.values(), *self._unwritten]))
                    compare = loop.time() + _COMPARE
                claimed = await self._claim(rung, idle)
            except TROUBLE as error:
                if explain(error) != trouble:  # the same line once a second tells nobody anything
                    trouble = explain(error)
                    log.warning("cannot claim", error=trouble)
                compare = loop.time()
                rung.set()  # what it told of was perhaps not looked at
                await self._pause(backoff.after(error))
                continue
            backoff.after(None)
            if trouble:
                log.info("claiming again")
                trouble = ""
            if not claimed:
                if not self._load:
                    self._progress.caught_up()
                await self._wait(rung, idle())

    async def _claim(self, rung: asyncio.Event, idle: Callable[[], float]) -> bool:
        """Claim and start what there is room for. False: there is nothing to do, or no room."""
        await self._take_in(rung)
        if self._load >= self._batch:
            await self._claim_requests()
            return False
        jobs = await self._answer(self._queue.claim(self._batch))
        if not jobs:
            return False
        alone = any(job.alone for job in jobs)
        if alone:
            await self._clear(rung, idle)
        await self._start_all(jobs)
        if alone:
            await self._clear(rung, idle)
        return True

    async def _take_in(self, rung: asyncio.Event) -> None:
        """Put what was wished for into the queue, when it rang or when there is room."""
        heard = rung.is_set()
        rung.clear()  # before looking: what comes, or ends, while we look rings again
        self._room.clear()
        if heard or self._load < self._batch:
            while await self._answer(self._queue.fold()) >= 10_000:
                pass
        if heard:
            await self._promote()

    async def _claim_requests(self) -> None:
        """Start what persons wait for, whether there is room or not."""
        room = _REQUESTS - sum(job.urgent for job in self._under_way.values())
        if room > 0 and (jobs := await self._answer(self._queue.claim_requests(room))):
            await self._start_all(jobs)

    async def _promote(self) -> None:
        """Begin anew, before all others, what waits its turn here and a person asks for now."""
        ahead = {job.asset_id: task for task, job in self._under_way.items() if not job.urgent}
        asked = await self._answer(self._queue.asked_meanwhile(list(ahead))) if ahead else {}
        # What has been read by now, and cannot be stopped, goes back to the queue when it is written.
        if stopped := {asset: generation for asset, generation in asked.items() if ahead[asset].cancel()}:
            await self._start_all(await self._answer(self._queue.promote(stopped)))

    async def _start_all(self, jobs: Sequence[Job]) -> None:
        known = await self._answer(photos.describe(self._pool, [job.asset_id for job in jobs]))
        for job in jobs:
            task = self._tasks.create_task(self._one(job, known.get(job.asset_id)))
            self._under_way[task] = job
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        self._room.set()

    async def _clear(self, rung: asyncio.Event, idle: Callable[[], float]) -> None:
        """Until nothing is under way any more; what persons wait for is still taken in."""
        while self._load and not self._stopping.is_set():
            await self._wait(rung, idle())
            await self._take_in(rung)
            await self._claim_requests()
        await self._drain()

    async def _drain(self) -> None:
        while self._load:
            self._room.clear()
            await self._room.wait()

    async def _wait(self, rung: asyncio.Event, idle: float) -> None:
        """Until something rings, or something has ended, or it is time to look anyway."""
        tasks = [asyncio.ensure_future(event.wait()) for event in (self._room, self._stopping, rung)]
        done, _ = await asyncio.wait(tasks, timeout=idle, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        if not done:
            rung.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _one(self, job: Job, photo: Photo | None) -> None:
        """One photo, from its file to a reading. Its failure is its own."""
        try:
            reading = await self._read(job, photo)
        except MediaError as error:
            log.error("cannot reach a preview", error=str(error))
            await self._give_back([job], _SYSTEMIC_PAUSE)
        except Exception as error:
            if not isinstance(error, PictureError):
                log.exception("unexpected error", asset=str(job.asset_id))
            await self._failed(job, _reason(error))
        else:
            if reading.failed and reading.vector is None and reading.lines is None:
                await self._failed(job, reading.reason)
                return
            self._unwritten[job] = None
            self._finished.put_nowait((not job.urgent, next(self._numbers), reading))

    async def _read(self, job: Job, photo: Photo | None) -> Reading:
        again = {task.removesuffix("!") for task in job.tasks if task.endswith("!")}
        wanted = {"clip", "ocr"} & (job.tasks | again)
        if photo is None or not photo.eligible or photo.path is None or not wanted:
            return Reading(job, photo)
        data = await self._media.read(photo.path, urgent=job.urgent)
        digest = hashlib.sha256(data).digest()
        clip, ocr = self._inference.clip, self._inference.ocr
        # The same picture, read by the same model, reads the same: only who asks for it has it read again regardless.
        stale = digest != photo.digest
        read_clip = clip is not None and (stale or "clip" in again or photo.clip_model != clip.name)
        read_ocr = ocr is not None and (stale or "ocr" in again or photo.ocr_model != ocr.name)
        made = Made()
        if read_clip or read_ocr:
            made = await self._inference.read_each(data, clip=read_clip, ocr=read_ocr, urgent=job.urgent)
        for part, error in made.failed.items():
            if not isinstance(error, PictureError):
                log.error("a model failed", asset=str(job.asset_id), task=part, exc_info=error)
        return Reading(
            job,
            photo,
            digest,
            clip_model=clip.name if clip is not None and made.vector is not None else None,
            vector=made.vector,
            ocr_model=ocr.name if ocr is not None and made.lines is not None else None,
            lines=made.lines,
            failed={part: clean(_reason(error)) for part, error in made.failed.items()},
        )

    async def _failed(self, job: Job, reason: str) -> None:
        async for attempt in _patiently():
            with attempt:
                dead = await self._answer(self._queue.fail(job, clean(reason)))
        self._tell(job, reason, dead)

    @staticmethod
    def _tell(job: Job, reason: str, dead: bool) -> None:
        log.warning("given up" if dead else "failed", asset=str(job.asset_id), reason=reason, attempt=job.attempts)

    async def _give_back(self, jobs: Sequence[Job], pause: float) -> None:
        async for attempt in _patiently():
            with attempt:
                await self._answer(self._queue.release(jobs, pause))

    async def _write_all(self) -> None:
        while True:
            batch = [(await self._finished.get())[-1]]
            while len(batch) < WRITE_BATCH and not self._finished.empty():
                batch.append(self._finished.get_nowait()[-1])
            await self._write(batch)
            for reading in batch:
                self._unwritten.pop(reading.job, None)
            self._room.set()

    async def _write(self, batch: Sequence[Reading]) -> None:
        """Write a batch; one that cannot be written is parted, so that a bad reading fails by itself."""
        try:
            async for attempt in _patiently():
                with attempt:
                    failed = await self._answer(results.write(self._pool, self._queue, batch, self._alphabet))
            for reading in batch:
                if reading.job in failed:
                    self._tell(reading.job, reading.reason, failed[reading.job])
            read = sum(reading.digest is not None and not reading.failed for reading in batch)
            self.photos += read
            self._progress.read(read)
        except SchemaError as error:
            log.error("Immich's tables are not as they must be", error=str(error))
            await self._give_back([reading.job for reading in batch], _SYSTEMIC_PAUSE)
        except Exception as error:
            if len(batch) > 1:
                for reading in batch:
                    await self._write([reading])
                return
            log.exception("cannot write", asset=str(batch[0].job.asset_id))
            await self._failed(batch[0].job, f"cannot write the results: {explain(error)}")


def _reason(error: Exception) -> str:
    """Why a photo could not be read, for a person."""
    return str(error) if isinstance(error, PictureError) else f"{type(error).__name__}: {error}"


def _patiently() -> AsyncRetrying:
    """Again and again while the trouble is of a kind that passes; a few times where Immich changed things under us."""

    def passes(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        return error is not None and (
            is_transient(error) or (isinstance(error, results.CHANGED) and state.attempt_number < _LOOKS)
        )

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None and state.attempt_number == _LOOKS:  # most troubles have passed by then
            log.warning("the database refuses, trying on", reason=explain(error))

    wait = at_least(0.05, wait_random_exponential(multiplier=0.05, max=3))
    return AsyncRetrying(retry=passes, wait=wait, before_sleep=say, reraise=True)
