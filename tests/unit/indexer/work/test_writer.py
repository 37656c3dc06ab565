"""Several writers at once: who writes what, who waits for Immich, and who takes care of what cannot be written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from indexer.outage import Outage
from indexer.photos import results
from indexer.photos.reading import Reading
from indexer.queue.jobs import Job, Priority
from indexer.work.pace import USUAL
from indexer.work.writer import BATCH, Writer

PACE = replace(USUAL, write=0.01, write_longest=0.02, way=60)


class Database:
    """In the place of `results.write`: it tells which batches are being written, and writes one when it may."""

    def __init__(self) -> None:
        self.at_work: list[list[UUID]] = []
        self.most = 0
        self.begun = asyncio.Semaphore(0)
        self.may_end = asyncio.Event()
        self.written: list[UUID] = []
        self.poison: set[UUID] = set()
        self.failed: dict[UUID, str] = {}
        self.error: Exception = asyncpg.DataError("not this one")
        self.noted = asyncio.Event()

    async def write(self, pool: Any, queue: Any, batch: list[Reading], alphabet: Any) -> dict[Job, bool]:
        assets = [reading.job.asset_id for reading in batch]
        self.at_work.append(assets)
        self.most = max(self.most, len(self.at_work))
        self.begun.release()
        try:
            await self.may_end.wait()
            await asyncio.sleep(0)  # for others to begin
        finally:
            self.at_work.remove(assets)
        if self.poison.intersection(assets):
            raise self.error
        self.written += assets
        return {}

    async def fail(self, job: Job, reason: str) -> bool:
        """In the place of the queue's."""
        self.failed[job.asset_id] = reason
        return True

    async def note(self, *_: Any) -> None:
        """As above."""
        self.noted.set()


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database()
    monkeypatch.setattr(results, "write", made.write)
    return made


def writer_to(database: Database) -> Writer:
    return Writer(None, database, None, Outage("the database"), PACE)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def writing(writer: Writer, count: int) -> AsyncIterator[None]:
    """So many at work."""
    tasks = [asyncio.create_task(writer.run(yields=number > 0)) for number in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def put(writer: Writer, count: int) -> list[UUID]:
    """Have so many readings written."""
    assets = [uuid4() for _ in range(count)]
    for asset in assets:
        job = Job(asset, frozenset({"clip"}), Priority.BACKFILL, 1, 1)
        writer.put(Reading(job, None, b"digest", waiting={}))
    return assets


async def finished(writer: Writer) -> None:
    while writer.unwritten:
        writer.ended.clear()
        await writer.ended.wait()


async def test_two_write_different_photos_at_once(database):
    writer = writer_to(database)
    assets = put(writer, 2 * BATCH)
    async with writing(writer, 2):
        for _ in range(2):
            await database.begun.acquire()
        assert sorted(asset for batch in database.at_work for asset in batch) == sorted(assets)
        database.may_end.set()
        await finished(writer)
    assert sorted(database.written) == sorted(assets)


async def test_while_immich_writes_one_writes(database):
    writer = writer_to(database)
    writer.give_way()
    assets = put(writer, 4 * BATCH)
    database.may_end.set()
    async with writing(writer, 3):
        await finished(writer)
    assert database.most == 1
    assert sorted(database.written) == sorted(assets)


@pytest.mark.parametrize("writers", [1, 2, 4])
async def test_what_cannot_be_written_is_found_alone(database, writers):
    writer = writer_to(database)
    assets = put(writer, 4 * BATCH)
    database.poison = set(assets[::BATCH])
    database.may_end.set()
    async with writing(writer, writers):
        await finished(writer)
    assert database.failed.keys() == database.poison
    assert all("not this one" in reason for reason in database.failed.values())
    assert sorted(database.written) == sorted(set(assets) - database.poison)


async def test_what_other_writers_write_proves_what_cannot_be_written(database):
    """The writer that tries it alone may find no other photo to write: the others take them all."""
    database.error = asyncpg.ProgramLimitExceededError("not this one")
    database.may_end.set()
    writer = writer_to(database)
    database.poison = set(put(writer, 1))
    async with writing(writer, 2):
        await database.noted.wait()
        others = put(writer, 1)
        async with asyncio.timeout(20):
            await finished(writer)
    assert database.failed.keys() == database.poison
    assert database.written == others
