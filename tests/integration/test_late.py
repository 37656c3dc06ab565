"""What the database does after we have given up on it: its process was frozen and goes on. Nothing late may count."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from uuid import uuid4

import asyncpg
import pytest

from indexer.database.pool import open_pool
from indexer.models.inference import Inference
from indexer.queue.claims import Queue
from indexer.queue.jobs import Choice, Job
from indexer.queue.retries import Policy
from indexer.work.media import Media
from indexer.work.pace import WorkerPace
from indexer.work.pipeline import Pipeline
from tests.support import stubs
from tests.support.installs import install
from tests.support.proxy import Proxy
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, idle, is_indexed, settings_for, working


@pytest.fixture
def freeze() -> Iterator[Callable[[int], None]]:
    """Stops a process of the server's; all go on at the end."""
    if "TEST_DATABASE_URL" in os.environ:
        pytest.skip("stops processes of the server: needs one of our own")
    frozen: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        frozen.append(pid)

    yield stop
    for pid in frozen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def test_photos_of_a_claim_that_comes_late_are_read(database, immich, connection, owner, freeze):
    """The claim was given up; when its process goes on, the photos are ours, and nobody was told which."""
    await install(database)
    pool = await open_pool(database, patience=0.5)
    given_up, thawed = asyncio.Event(), asyncio.Event()

    class Late(Queue):
        pid: int | None = None
        given_back = 0

        async def claim(self, limit: int, choice: Choice = Choice()) -> list[Job]:  # noqa: B008 - it is frozen
            if self.pid is None:
                await super().claim(0)  # so that all that is sent below is the claim itself
                self.pid = await pool.fetchval("SELECT pg_backend_pid()")
                freeze(self.pid)  # the pool lends the connection that came back last
                return await super().claim(limit, choice)
            given_up.set()
            return await super().claim(limit, choice) if thawed.is_set() else []

        async def release_all(self, but: Iterable[Job] = ()) -> int:
            released = await super().release_all(but)
            self.given_back += released
            if self.given_back:
                thawed.set()
            return released

    queue = Late(pool, uuid4(), Policy(max_attempts=1, retry_seconds=0, lease_seconds=60))
    await queue.register("test", "0", "cpu")
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
    media = Media.of(settings_for(database, immich.media.directory))
    pipeline = Pipeline(pool, queue, Inference(StubClip(), StubOcr(), threads=1), media, pace=WorkerPace(compare=0.1))
    running = asyncio.create_task(pipeline.run(asyncio.Event(), lambda: 0.05))
    try:
        await asyncio.wait_for(given_up.wait(), 10)
        assert queue.pid is not None
        os.kill(queue.pid, signal.SIGCONT)
        await idle(connection)
        assert queue.given_back == len(assets), "they were claimed late"
        for number, asset in enumerate(assets):
            assert await is_indexed(connection, asset, stubs.picture(number))
    finally:
        await pipeline.stop(1)
        await asyncio.gather(running, return_exceptions=True)
        pool.terminate()


async def test_locks_of_a_worker_that_froze_within_a_statement_end_with_its_lease(database, immich, connection, owner):
    """The server waits for the second part of the statement, and no limit of its own ends that."""
    async with Proxy(database) as proxy, working(settings_for(proxy.url, immich.media.directory)):
        proxy.last = b"AS done (asset_id, generation)"  # sent to be prepared, while the job is locked
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: all_locked(connection))
        async with working(settings_for(database, immich.media.directory)):
            await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))


async def all_locked(connection: asyncpg.Connection) -> bool:
    """Whether there are claimed jobs, and their rows are locked."""
    claimed, free = await connection.fetchrow(
        """SELECT (SELECT count(*) FROM immich_indexer.job WHERE worker IS NOT NULL), (
               SELECT count(*)
               FROM (SELECT FROM immich_indexer.job WHERE worker IS NOT NULL FOR UPDATE SKIP LOCKED) AS free
           )"""
    )
    return bool(claimed) and not free
