"""Claims jobs, reads their files, runs the models and writes the results. Several photos are under way at once."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import structlog

from indexer.database.backoff import Backoff
from indexer.database.pool import Pool, within
from indexer.database.trouble import explain
from indexer.models.engines.hosted import alphabet_of, name_of
from indexer.models.inference import Inference, Made
from indexer.outage import Outage
from indexer.photos import photo as photos
from indexer.photos.photo import Photo
from indexer.photos.reading import Reading
from indexer.queue.claims import Queue
from indexer.queue.jobs import Choice, Job, Priority
from indexer.queue.requests import enqueue
from indexer.queue.tasks import PARTS, Part, forced, parts, tasks_of
from indexer.text.normalise import clean
from indexer.work import verdicts
from indexer.work.engines import Doubted, Engines, reason_of
from indexer.work.health import Health
from indexer.work.media import Media, MediaError, UnreadableError
from indexer.work.pace import USUAL, WorkerPace
from indexer.work.verdicts import Verdict
from indexer.work.writer import WRITERS, Writer

log = structlog.get_logger()

_REQUESTS = 8  # photos that a person waits for are under way in addition to the others, up to this number


class Pipeline:
    """Works on the queue until told to stop.

    Args:
        pool: connections to the database. Its patience should be short: one connection may be dead while the others
            work, and the next try uses another one.
        queue: this worker's view of the queue.
        inference: the models.
        media: reads previews.
        batch: photos claimed at once. Up to twice as many are under way, and a few that persons wait for.
        writers: batches of results written at once, each over a connection of its own.
        outage: logs that the database is waited for.
        pace: how often to look, and how long to wait.
        doubted: photos that an earlier pipeline could not have read again.
        drained: called after jobs were enqueued.

    Attributes:
        reading: whether files can be read and decoded.
        doubted: photos that a sick engine may have read, and that are not yet enqueued to be read again.
    """

    def __init__(
        self,
        pool: Pool,
        queue: Queue,
        inference: Inference,
        media: Media,
        *,
        batch: int = 8,
        writers: int = WRITERS,
        outage: Outage | None = None,
        pace: WorkerPace = USUAL,
        doubted: Iterable[Doubted] = (),
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        self._pace = pace
        self.doubted = list(doubted)
        self._drained = drained
        self.reading = Health("the previews", frozenset(task for part in PARTS for task in tasks_of(part)), self._pace)
        self._engines = Engines(inference, self._pace)
        self._pool = pool
        self._queue = queue
        self._inference = inference
        self._media = media
        self._batch = batch
        self._writers = writers
        self._under_way: dict[asyncio.Task[None], Job] = {}
        self._outage = outage or Outage("the database", soon=self._pace.outage)
        self._writer = Writer(pool, queue, alphabet_of(inference.ocr), self._outage, self._pace)
        self._room = self._writer.ended
        self._loops: list[asyncio.Task[None]] = []
        self._again: set[asyncio.Task[None]] = set()  # that enqueue what is doubted
        self._stopping = asyncio.Event()
        self._due = False  # to look into the inbox, although nobody has told us of anything
        self._asked = True  # there may be photos that a person waits for and that are not started

    async def run(self, notified: asyncio.Event, idle: Callable[[], float]) -> None:
        """Work until `stop`. Looks for jobs when `notified` is set, and every `idle()` seconds."""
        with self._engines.watched(notified.set, self._read_again):
            async with asyncio.TaskGroup() as self._tasks:  # an unexpected error in one task ends all of them
                self._loops = [
                    self._tasks.create_task(self._claim_all(notified, idle), name="claims"),
                    *(
                        self._tasks.create_task(self._writer.run(yields=number > 0), name="writer")
                        for number in range(self._writers)
                    ),
                ]
                for doubted in self.doubted:
                    self._insist_on(doubted)

    def _read_again(self, doubted: Doubted) -> None:
        self.doubted.append(doubted)
        self._insist_on(doubted)

    def _insist_on(self, doubted: Doubted) -> None:
        task = self._tasks.create_task(self._writer.insist(partial(self._enqueue, doubted)))
        self._again.add(task)
        task.add_done_callback(self._again.discard)

    async def _enqueue(self, doubted: Doubted) -> None:
        await enqueue(self._pool, doubted.assets, (f"{doubted.part}!",), Priority.BULK)
        if doubted in self.doubted:
            self.doubted.remove(doubted)

    async def stop(self, grace: float) -> None:
        """Claim nothing more, finish what is under way within `grace` seconds, and release the other jobs.

        What the engines have read without a successful probe since then is enqueued to be read again. What the database
        does not take is left in `doubted`.
        """
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await asyncio.wait(self._loops[:1])
                await self._drain()
                await self._engines.prove()
                await asyncio.gather(*self._again)
        tasks = [*self._loops, *self._under_way, *self._again]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=1)  # statements already sent end, or are rolled back
        self._inference.close()
        self.doubted += self._engines.doubted()
        if left := await within(2, self._give_back()):
            log.info("released what was not finished", photos=left)

    async def _give_back(self) -> int:
        """Release all jobs, and enqueue what is doubted. Returns how many jobs."""
        left = await self._queue.release_all()
        for doubted in list(self.doubted):
            log.warning("an engine may have been sick: photos will be read again", **doubted.told)
            await self._enqueue(doubted)
        return left

    @property
    def photos(self) -> int:
        """Read and written since the start."""
        return self._writer.photos

    @property
    def _load(self) -> int:
        return len(self._under_way) + len(self._writer.unwritten)

    async def _claim_all(self, notified: asyncio.Event, idle: Callable[[], float]) -> None:
        loop = asyncio.get_running_loop()
        compare = loop.time()  # when to check next that our claims in the database are the jobs that we work on
        backoff = Backoff(1)
        while not self._stopping.is_set():
            try:
                # They may differ: the answer to a claim was lost with its connection. Or a claim that had timed out was
                # done after all, by a server process that had been frozen.
                if loop.time() >= compare:
                    await self._queue.release_all(but=[*self._under_way.values(), *self._writer.unwritten])
                    compare = loop.time() + self._pace.compare
                claimed = await self._claim(notified, idle)
            except Exception as error:  # no photo is to blame: none was started yet
                self._outage.goes_on("claims", explain(error))
                compare = loop.time()
                notified.set()  # the inbox was perhaps not drained
                await self._pause(backoff.after(error))
                continue
            backoff.after(None)
            self._outage.ends("claims")
            if not claimed:
                if not self._load and self.reading.well and self._engines.ready == self._engines.parts:
                    self._writer.progress.caught_up()
                await self._wait(notified, min(idle(), self.reading.wait or idle()))

    async def _claim(self, notified: asyncio.Event, idle: Callable[[], float]) -> bool:
        """Claim and start as many jobs as there is room for. False: there is no job, or no room."""
        await self._take_in(notified)
        if self._load >= self._batch:
            await self._claim_requests()
            return False
        if self.reading.due and (jobs := await self._queue.claim(1)):
            await self._start(jobs, notified, idle, tries=True)
            return True
        jobs = await self._queue.claim(self._batch, self._choice)
        await self._start(jobs, notified, idle)
        return bool(jobs)

    @property
    def _choice(self) -> Choice:
        """Which jobs to claim: those of which a part can be done now."""
        return self._engines.choice if self.reading.well else Choice(self.reading.tasks, strictly=True)

    async def _start(
        self, jobs: Sequence[Job], notified: asyncio.Event, idle: Callable[[], float], *, tries: bool = False
    ) -> None:
        """Start `jobs`. A job that has to run alone starts when no other is under way."""
        alone = any(job.alone for job in jobs)
        if alone:
            await self._clear(notified, idle)
        await self._start_all(jobs, tries=tries)
        if alone:
            await self._clear(notified, idle)

    async def _take_in(self, notified: asyncio.Event) -> None:
        """Drain the inbox into the queue: when we are notified, and when there is room."""
        immich_writes = notified.is_set()
        look = immich_writes or self._due
        notified.clear()  # before looking: what arrives or ends meanwhile sets it again
        self._room.clear()
        self._due = False
        self._asked |= look
        if look or self._load < self._batch:
            while drained := await self._queue.drain():
                self._drained()
                immich_writes = self._asked = True
                if drained < 10_000:
                    break
        if immich_writes:
            self._writer.give_way()
        if look:
            await self._promote()

    async def _claim_requests(self) -> None:
        """Start jobs that a person waits for, also where there is no room for others."""
        room = _REQUESTS - sum(job.interactive for job in self._under_way.values())
        if self._asked and room > 0:
            jobs = await self._queue.claim_requests(room, self._choice)
            self._asked = len(jobs) == room
            await self._start_all(jobs)

    async def _promote(self) -> None:
        """Start background jobs again, as the first, that a person has asked for since they were claimed."""
        ahead = {job.asset_id: task for task, job in self._under_way.items() if not job.interactive}
        asked = await self._queue.asked_meanwhile(list(ahead)) if ahead else {}
        # A photo that was already read is written. As it was asked for since, its job then goes back to the queue.
        if stopped := {asset: generation for asset, generation in asked.items() if ahead[asset].cancel()}:
            await self._start_all(await self._queue.promote(stopped))

    async def _start_all(self, jobs: Sequence[Job], *, tries: bool = False) -> None:
        """Start `jobs`. `tries`: it is a single one, and shows whether files can be read again."""
        if not jobs:
            return
        known = await photos.describe(self._pool, [job.asset_id for job in jobs])
        for job in jobs:
            if tries:
                self.reading.begin(job.asset_id)
            task = self._tasks.create_task(self._one(job, known.get(job.asset_id)))
            self._under_way[task] = job
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._under_way.pop(task, None)
        if job is not None:
            self.reading.end(job.asset_id)
        self._room.set()

    async def _clear(self, notified: asyncio.Event, idle: Callable[[], float]) -> None:
        """Wait until nothing is under way. Jobs that a person waits for are still started meanwhile."""
        while self._load and not self._stopping.is_set():
            await self._wait(notified, idle())
            await self._take_in(notified)
            await self._claim_requests()
        await self._drain()

    async def _drain(self) -> None:
        while self._load:
            self._room.clear()
            await self._room.wait()

    async def _wait(self, notified: asyncio.Event, idle: float) -> None:
        """Wait for a notification, for the end of a job, or for `idle` seconds."""
        tasks = [asyncio.ensure_future(event.wait()) for event in (self._room, self._stopping, notified)]
        done, _ = await asyncio.wait(tasks, timeout=idle, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        self._due |= not done

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _one(self, job: Job, photo: Photo | None) -> None:
        """Read one photo, and put its reading, or how it failed, to be written."""
        try:
            reading = await self._read(job, photo)
        except Exception as error:
            if isinstance(error, MediaError) and not isinstance(error, UnreadableError):  # perhaps of this file alone
                log.error("cannot reach a preview", error=str(error))
                await self._writer.release(job, str(error))
            elif verdicts.of(error) is Verdict.PHOTO:
                await self._writer.fail(job, clean(reason_of(error)))
            elif self.reading.failed(job.asset_id, clean(reason_of(error)), provable=verdicts.can_be_proven(error)):
                await self._writer.fail(job, clean(f"{reason_of(error)}, {verdicts.PROVEN}"))
            else:
                self._engines.trace("reading", job.asset_id, error)
                await self._writer.release(job, self.reading.error, self.reading.pause(job.asset_id))
            return
        if reading.whole or reading.done or reading.has_results:
            self._writer.put(reading)
        elif reading.waiting:
            await self._writer.release(job, reading.reason, reading.pause)
        else:
            await self._writer.fail(job, reading.reason)

    async def _read(self, job: Job, photo: Photo | None) -> Reading:
        wanted, again = parts(job.tasks), forced(job.tasks)
        if photo is None or not photo.eligible or photo.path is None or not wanted:
            return Reading(job, photo)
        data = await self._media.read(photo.path, interactive=job.interactive)
        digest = hashlib.sha256(data).digest()
        clip, ocr, following = self._inference.clip, self._inference.ocr, self._inference.next
        # The same model reads the same in the same picture, so it is not read again unless somebody asked for it.
        stale = digest != photo.digest
        wants: dict[Part, bool] = {
            "clip": clip is not None and (stale or "clip" in again or name_of(clip) not in photo.clip_models),
            "ocr": ocr is not None and (stale or "ocr" in again or photo.ocr_model != name_of(ocr)),
            "next": following is not None and (stale or "next" in again or name_of(following) not in photo.clip_models),
        }
        reads = {part: self._engines.is_ready(part) for part in wants if wants[part]}
        made = Made()
        if any(reads.values()):
            made = await self._inference.read_each(
                data,
                clip=reads.get("clip", False),
                ocr=reads.get("ocr", False),
                following=reads.get("next", False),
                interactive=job.interactive,
            )
            self.reading.succeeded(job.asset_id)
        outcome = self._engines.outcome(job.asset_id, reads, made)
        if following is None and "next" in wanted:
            outcome.waiting["next"] = "another indexer reads with that model"
        return Reading(
            job,
            photo,
            digest,
            clip_model=name_of(clip) if clip is not None and made.vector is not None else None,
            vector=made.vector,
            ocr_model=name_of(ocr) if ocr is not None and made.lines is not None else None,
            lines=made.lines,
            next_model=name_of(following) if following is not None and made.next_vector is not None else None,
            next_vector=made.next_vector,
            failed=outcome.failed,
            waiting=outcome.waiting,
            pause=outcome.pause,
        )
