"""Writes how each job ended: results, a failure, or why it waits. Tries again while the database cannot write."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from indexer.database.backoff import at_least
from indexer.database.pool import Pool
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import SchemaError
from indexer.outage import Outage
from indexer.photos import results
from indexer.photos.reading import Reading
from indexer.queue.claims import Queue
from indexer.queue.jobs import Job
from indexer.text.normalise import clean
from indexer.work import verdicts
from indexer.work.health import Suspects
from indexer.work.pace import WorkerPace
from indexer.work.progress import Progress
from indexer.work.verdicts import Verdict

log = structlog.get_logger()
T = TypeVar("T")

BATCH = 16  # each insert into an HNSW index takes milliseconds, and Immich waits for our locks: short transactions
WRITERS = 4  # batches written at once at most, while Immich writes nothing; more than processors gain nothing
_TRIES = 8  # to write a batch, before each photo is written alone; or while Immich changes its columns


class Writer:
    """Writes readings in small batches, several at once. A reading that cannot be written does not delay the others.

    No photo is in two batches, because only the holder of its job has a reading of it. Each batch locks the rows of a
    table in the order of their ids. So two batches never wait for each other in a circle.

    Args:
        pool: connections to the database.
        queue: this worker's view of the queue.
        alphabet: the characters that the OCR model knows, None where it knows all.
        outage: logs that the database is waited for.
        pace: how long to wait between tries.
    """

    def __init__(
        self,
        pool: Pool,
        queue: Queue,
        alphabet: frozenset[str] | None,
        outage: Outage,
        pace: WorkerPace,
    ) -> None:
        self.photos = 0  # read and written since the start
        self.progress = Progress()
        self.ended = asyncio.Event()  # set when something was written; who waits for it clears it
        self.unwritten: dict[Job, None] = {}
        self._pool = pool
        self._queue = queue
        self._alphabet = alphabet
        self._outage = outage
        self._pace = pace
        self._suspects = Suspects()
        self._failures = 0  # to write a photo alone
        self._alone: list[Reading] = []  # could not be written together with others
        self._isolating = False
        self._quiet = 0.0  # when Immich will have written nothing for a while, by the loop's clock
        self._readings: asyncio.PriorityQueue[tuple[int, int, Reading]] = asyncio.PriorityQueue()
        self._numbers = itertools.count()

    def put(self, reading: Reading) -> None:
        """Have `run` write `reading`, and complete its job."""
        self.unwritten[reading.job] = None
        self._readings.put_nowait((not reading.job.interactive, next(self._numbers), reading))

    async def run(self, *, yields: bool = False) -> None:
        """Write what `put` was given, one batch after the other, until cancelled. Several calls may run at once.

        `yields`: only while Immich is not writing. One writer is enough then, and more would take Immich's processors.
        """
        while True:
            if yields and (pause := self._quiet - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(pause)
                continue
            batch = [(await self._readings.get())[-1], *self._more(BATCH - 1)]
            try:
                await self._write(batch, _TRIES)
            except Exception:
                await self._isolate(batch)
            else:
                self._end(batch)

    def give_way(self) -> None:
        """Immich is writing."""
        self._quiet = asyncio.get_running_loop().time() + self._pace.way

    async def fail(self, job: Job, reason: str) -> None:
        """Record a failed attempt of `job`. The photo is to blame."""
        self._tell(job, reason, await self.insist(lambda: self._queue.fail(job, clean(reason))))

    async def release(self, job: Job, reason: str, pause: float | None = None) -> None:
        """Release `job`: it waits for at least `pause` seconds. The photo is not to blame."""
        seconds = self._pace.release if pause is None else pause
        await self.insist(lambda: self._queue.release(job, clean(reason), seconds))

    def _more(self, most: int) -> Iterator[Reading]:
        for _ in range(min(most, self._readings.qsize())):
            yield self._readings.get_nowait()[-1]

    def _end(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            self.unwritten.pop(reading.job, None)
        self.ended.set()

    async def _write(self, batch: Sequence[Reading], tries: int) -> None:
        """Try to write a batch, up to `tries` times. Raises what the last try raised."""
        looks = AsyncRetrying(
            retry=retry_if_exception(_is_error),
            stop=lambda state: state.attempt_number >= (tries if _is_the_machines(state) else _TRIES),
            wait=at_least(0.05, wait_random_exponential(multiplier=0.05, max=self._pace.write)),
            before_sleep=self._say(self),
            reraise=True,
        )
        async for attempt in looks:
            with attempt:
                begun = self._failures
                failed = await results.write(self._pool, self._queue, batch, self._alphabet)
        self._outage.ends(self)
        if begun == self._failures:  # otherwise it says nothing of the time since the last failure
            for reading in batch:
                self._suspects.succeeded(reading.job.asset_id)
        for reading in batch:
            if reading.job in failed:
                self._tell(reading.job, reading.reason, failed[reading.job])
        read = sum(reading.digest is not None and reading.whole for reading in batch)
        self.photos += read
        self.progress.read(read)

    async def _isolate(self, batch: Sequence[Reading]) -> None:
        """Have each of `batch`, which could not be written together, written alone. One writer at a time does that."""
        self._alone += batch
        if not self._isolating:
            self._isolating = True
            try:
                await self._write_each(self._alone)
            finally:
                self._isolating = False

    async def _write_each(self, left: list[Reading]) -> None:
        """Write each alone, until all are written or given up, those that are added meanwhile, too.

        New readings are added here. If those can be written, or what other writers write meanwhile, the ones that still
        fail are to blame themselves.
        """
        pause = self._pace.write
        while left:
            reading = left.pop(0)
            try:
                await self._write([reading], 1)
            except Exception as error:
                self._failures += 1
                if await self._is_settled(reading, error):
                    continue
                self._outage.goes_on(self, explain(error))
                left.append(reading)  # the others are tried first
                with contextlib.suppress(Exception):
                    await self._queue.note([one.job for one in left], clean(explain(error)))
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._pace.write_longest)
                left += self._more(BATCH - len(left))
            else:
                self._end([reading])
                pause = self._pace.write

    async def _is_settled(self, reading: Reading, error: Exception) -> bool:
        """Whether `reading`, which could not be written alone, needs no other try: its job failed or was released.

        False while the machine is to blame: then it is tried again.
        """
        if isinstance(error, SchemaError):
            self._outage.goes_on(self, str(error))
            await self.release(reading.job, str(error))
        elif verdicts.of(error) is not Verdict.MACHINE:
            await self.fail(reading.job, f"cannot write the results: {explain(error)}")
        elif verdicts.can_be_proven(error) and self._suspects.failed(reading.job.asset_id):
            bug = None if isinstance(error, TROUBLE) else error  # an error of the server needs no traceback
            log.error("cannot write", asset=str(reading.job.asset_id), error=explain(error), exc_info=bug)
            await self.fail(reading.job, f"cannot write the results: {explain(error)}, {verdicts.PROVEN}")
        else:
            return False
        self._end([reading])
        return True

    async def insist(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, which is tried again for as long as the database cannot do it."""
        who = object()
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(lambda error: isinstance(error, Exception)),
                wait=at_least(0.05, wait_random_exponential(multiplier=0.05, max=self._pace.write)),
                before_sleep=self._say(who),
            ):
                with attempt:
                    return await work()
            raise AssertionError("unreachable: the retrying above has no end")
        finally:
            self._outage.ends(who)

    def _say(self, who: object) -> Callable[[RetryCallState], None]:
        def say(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is not None:
                self._outage.goes_on(who, explain(error))

        return say

    @staticmethod
    def _tell(job: Job, reason: str, dead: bool) -> None:
        log.warning("given up" if dead else "failed", asset=str(job.asset_id), reason=reason, attempt=job.attempts)


def _is_error(error: BaseException) -> bool:
    """Whether to try again. After a SchemaError the job is released instead: a person has to mend Immich's tables."""
    return isinstance(error, Exception) and not isinstance(error, SchemaError)


def _is_the_machines(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    return error is not None and verdicts.of(error) is Verdict.MACHINE
