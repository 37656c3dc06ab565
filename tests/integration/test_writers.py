"""Several batches of results are written at once, while Immich writes nothing."""

import asyncio
from collections.abc import Iterable
from uuid import UUID, uuid4

import asyncpg

from indexer.database.pool import Connection, open_pool
from indexer.demo.immich import StandIn
from indexer.models.inference import Inference, Made
from indexer.queue.claims import Queue
from indexer.queue.jobs import Job
from indexer.queue.retries import Policy
from indexer.work.media import Media
from indexer.work.pace import WorkerPace
from indexer.work.pipeline import Pipeline
from tests.support import stubs
from tests.support.installs import install
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, is_indexed, settings_for


async def test_others_are_written_beside_a_slow_one_though_nobody_told_of_anything_for_long(
    database: str, immich: StandIn, connection: asyncpg.Connection, owner
):
    await install(database)
    first, *others = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
    first_may_be_written, read, looks = asyncio.Event(), asyncio.Semaphore(0), 0

    class SlowAtFirst(Queue):
        async def hold(self, connection: Connection, jobs: Iterable[Job]) -> set[UUID]:
            jobs = list(jobs)
            if first in (job.asset_id for job in jobs):
                await first_may_be_written.wait()
            return await super().hold(connection, jobs)

    class OneByOne(Inference):
        async def read_each(self, data: bytes, **asked: bool) -> Made:
            if data != stubs.picture(0):
                await read.acquire()
            return await super().read_each(data, **asked)

    def idle() -> float:
        nonlocal looks
        looks += 1
        return 0.05

    async def has_looked() -> bool:
        return looks >= 5

    async def are_written(count: int) -> bool:
        return sum([await is_indexed(connection, each, stubs.picture(n)) for n, each in enumerate(others, 1)]) == count

    pool = await open_pool(database, patience=60)
    queue = SlowAtFirst(pool, uuid4(), Policy(max_attempts=1, retry_seconds=0, lease_seconds=60))
    await queue.register("test", "0", "cpu")
    await queue.drain()
    media = Media.of(settings_for(database, immich.media.directory))
    models = OneByOne(StubClip(), StubOcr(), threads=1)
    pipeline = Pipeline(pool, queue, models, media, writers=2, pace=WorkerPace(way=60))
    running = asyncio.create_task(pipeline.run(asyncio.Event(), idle))
    try:
        await eventually(has_looked)
        for count in range(1, 1 + len(others)):
            read.release()
            await eventually(lambda count=count: are_written(count))
    finally:
        first_may_be_written.set()
        await pipeline.stop(5)
        await asyncio.gather(running, return_exceptions=True)
        pool.terminate()
    assert await is_indexed(connection, first, stubs.picture(0))
