"""How many photos a second get from the queue into all columns, with models that cost nothing, and what bounds it.

The limit is bare connections that write the same rows, prepared beforehand, in transactions as large and as durable as
ours. Both sides write photos of 20 lines into one library with Immich's and our own indexes, in turn. What Immich knows
of a photo is in our table before, as in a library that is read for the first time. Then the bare
rows are written again with one index, or the triggers and foreign keys, missing each time, and rolled back: what that
saves is what it costs. Last, somebody uploads while we write: another process, by Immich's own statements.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import asyncpg

from bench import noop
from bench.bare import Rows, write_all
from bench.queue import on_database
from bench.uploads import Library, photos_of, receive_at_once, upload_one_by_one
from indexer.database import schema
from indexer.database.pool import OwnConnection, connect_to_immich, open_pool
from indexer.demo.immich import StandIn
from indexer.models.inference import Inference
from indexer.photos import facts
from indexer.queue.claims import Queue
from indexer.queue.jobs import Priority
from indexer.queue.listener import Listener
from indexer.queue.requests import enqueue
from indexer.queue.retries import Policy
from indexer.work.pipeline import Pipeline
from indexer.work.writer import BATCH

NAME = "write"
DESCRIPTION = "photos/s from queue to all columns with no-op models, as a share of bare connections' with the same rows"

_SETTINGS = {"shared_buffers": "512MB", "autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "8GB"}
_CLAIMED = 64  # photos at once, as on a GPU
_WRITERS = (1, 2, 4)
_POLICY = Policy(max_attempts=4, retry_seconds=15, lease_seconds=60)
_LEFT_OUT = {
    "hnsw": "DROP INDEX public.clip_index",
    "our_gin": "DROP INDEX immich_indexer.photo_document",
    "immich_trigrams": "DROP INDEX public.idx_ocr_search_text",
    "triggers_and_keys": "SET LOCAL session_replication_role = replica",
}

# A GIN index collects new rows in a list. Whoever makes it too long sorts them all in, also those of the other side.
_EMPTY_LISTS = """SELECT gin_clean_pending_list(c.oid)
    FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_index i ON i.indexrelid = c.oid
    WHERE a.amname = 'gin' AND i.indisvalid"""


@dataclass(frozen=True)
class _Size:
    rounds: int
    photos: int  # a round of each side
    library: int  # photos that are there before
    upload_seconds: float  # in which somebody uploads, each round


_FULL = _Size(rounds=5, photos=480, library=5_000, upload_seconds=15)
_QUICK = _Size(rounds=2, photos=160, library=500, upload_seconds=2)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns for each number of writers the speeds and `of_bare_N`, the median of the rounds' ratios.

    `ms_a_photo`: what each part costs a single connection, `client_cpu` what our process needs. `upload_p95_ms`: of all
    of an upload's writes, without us and beside our writers.
    """
    size = _QUICK if options.quick else _FULL
    with on_database(options.url, _SETTINGS) as url:
        return asyncio.run(_measure(url, size))


async def _measure(url: str, size: _Size) -> dict[str, object]:
    async with AsyncExitStack() as stack:
        immich = await asyncpg.connect(url)
        stack.push_async_callback(immich.close)
        stand_in = StandIn(immich, Path())
        await stand_in.install()
        own = await connect_to_immich(url)
        stack.push_async_callback(own.close)
        await schema.install(own)
        library = Library(immich, await stand_in.create_user("bench"))
        bench = _Bench(url, own, library, await schema.vector_width(own))
        await bench.fill(size.library)
        speeds = await bench.speeds(size)
        parts = await bench.parts(size)
        uploads = await bench.uploads(size)
        return {**speeds, **parts, **uploads, "width": bench.width, "library": size.library}


class _Bench:
    def __init__(self, url: str, own: OwnConnection, library: Library, width: int) -> None:
        self.width = width
        self._url = url
        self._own = own
        self._library = library
        self._cpu: list[float] = []  # seconds of this process a photo, with one writer

    async def fill(self, photos: int) -> None:
        """Make a library that is not empty."""
        for start in range(0, photos, 500):
            await self._bare(min(500, photos - start), 4)
        await self._own.execute("VACUUM ANALYZE")

    async def speeds(self, size: _Size) -> dict[str, object]:
        ours: dict[int, list[float]] = {count: [] for count in _WRITERS}
        bare: dict[int, list[float]] = {count: [] for count in _WRITERS}
        await self._ours(_CLAIMED, 1)  # warm
        for number in range(size.rounds):
            for count in _WRITERS:
                for side in ("ours", "bare") if number % 2 else ("bare", "ours"):
                    if side == "ours":
                        ours[count].append(await self._ours(size.photos, count))
                    else:
                        bare[count].append(await self._bare(size.photos, count))
        shown: dict[str, object] = {}
        for count in _WRITERS:
            ratios = [mine / limit for mine, limit in zip(ours[count], bare[count], strict=True)]
            shown[f"of_bare_{count}"] = round(statistics.median(ratios), 3)
            shown[f"of_bare_{count}_rounds"] = [round(ratio, 3) for ratio in ratios]
            shown[f"photos_per_s_{count}"] = round(statistics.median(ours[count]), 1)
            shown[f"bare_photos_per_s_{count}"] = round(statistics.median(bare[count]), 1)
        return shown

    async def parts(self, size: _Size) -> dict[str, object]:
        seconds: dict[str, list[float]] = {name: [] for name in ("all", *_LEFT_OUT)}
        batches = 3 if size is _QUICK else 8
        async with self._connections(1) as (connection,):
            for number in range(size.rounds * 2):
                rows = await self._rows(batches * BATCH)
                names = list(seconds)
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    transaction = connection.transaction()
                    await transaction.start()
                    await connection.execute(_LEFT_OUT.get(name, "SELECT"))
                    start = time.perf_counter()
                    for some in rows:
                        await some.write(connection)
                    seconds[name].append((time.perf_counter() - start) / (batches * BATCH))
                    await transaction.rollback()
        cost = {
            name: statistics.median(whole - left for whole, left in zip(seconds["all"], seconds[name], strict=True))
            for name in _LEFT_OUT
        }
        whole = statistics.median(seconds["all"])
        shown = {"bare": whole, **cost, "tables_and_other_indexes": whole - sum(cost.values())}
        shown["client_cpu"] = statistics.median(self._cpu)
        return {"ms_a_photo": {name: round(1000 * value, 2) for name, value in shown.items()}}

    async def uploads(self, size: _Size) -> dict[str, object]:
        arms = (0, *_WRITERS)
        seconds: dict[int, list[float]] = {count: [] for count in arms}
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            for number in range(size.rounds):
                for count in arms if number % 2 else reversed(arms):
                    seconds[count] += await self._uploaded(process, size.upload_seconds, count)
        p95 = {count: statistics.quantiles(each, n=20)[-1] for count, each in seconds.items()}
        return {
            **{f"immich_waits_{count}": round(p95[count] / p95[1], 3) for count in _WRITERS[1:]},
            "upload_p95_ms": {str(count): round(1000 * value, 1) for count, value in p95.items()},
            "upload_p50_ms": {str(n): round(1000 * statistics.median(each), 1) for n, each in seconds.items()},
            "uploads": {str(count): len(each) for count, each in seconds.items()},
        }

    async def _uploaded(self, process: ProcessPoolExecutor, seconds: float, writers: int) -> list[float]:
        loop = asyncio.get_running_loop()
        async with self._working(round(300 * seconds), writers, listens=True) if writers else nullcontext():
            return await loop.run_in_executor(process, _upload, self._url, self._library.owner, seconds)

    async def _ours(self, photos: int, writers: int) -> float:
        """Photos a second from the first claim to the last commit."""
        start, cpu = time.perf_counter(), time.process_time()
        async with self._working(photos, writers) as (pipeline, begun):
            start, cpu = begun
            while pipeline.photos < photos:
                await asyncio.sleep(0.02)
            took, spent = time.perf_counter() - start, time.process_time() - cpu
        if writers == 1:
            self._cpu.append(spent / photos)
        return photos / took

    @asynccontextmanager
    async def _working(
        self, photos: int, writers: int, *, listens: bool = False
    ) -> AsyncIterator[tuple[Pipeline, tuple[float, float]]]:
        """A pipeline at work on so many photos. `listens`: to what Immich does meanwhile."""
        assets = await self._receive(photos)
        pool = await open_pool(self._url, durable=False, size=4 + writers)
        try:
            queue = Queue(pool, uuid4(), _POLICY)
            await enqueue(pool, assets, ("clip", "ocr"), Priority.BACKFILL)
            await queue.drain()
            await queue.register("bench", "0", "cpu")
            models = cast(Inference, noop.NoModels({asset: noop.made(asset) for asset in assets}))
            pipeline = Pipeline(pool, queue, models, noop.NoFiles(), batch=_CLAIMED, writers=writers)
            listener = Listener(self._url)
            tasks = [asyncio.create_task(listener.run())] if listens else []
            begun = time.perf_counter(), time.process_time()
            tasks.append(asyncio.create_task(pipeline.run(listener.notified, lambda: 0.2)))
            try:
                yield pipeline, begun
            finally:
                await pipeline.stop(1)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await queue.unregister()
                await self._own.execute("DELETE FROM immich_indexer.job")
                await self._own.execute("VACUUM immich_indexer.job, immich_indexer.inbox")
        finally:
            await pool.close()

    async def _bare(self, photos: int, writers: int) -> float:
        """Photos a second over so many bare connections."""
        batches = await self._rows(photos)
        async with self._connections(writers) as connections:
            start = time.perf_counter()
            await write_all(connections, batches)
            return photos / (time.perf_counter() - start)

    async def _receive(self, photos: int) -> list[UUID]:
        """So many new photos, with their facts in our table."""
        assets = await receive_at_once(self._library, photos)
        async with self._own.transaction():
            await facts.refresh(self._own, assets)
        await self._own.execute("DELETE FROM immich_indexer.inbox; DELETE FROM immich_indexer_2.change")
        await self._own.fetch(_EMPTY_LISTS)
        return assets

    async def _rows(self, photos: int) -> list[Rows]:
        """The rows of so many new photos, by transactions."""
        assets = await self._receive(photos)
        found = await self._own.fetch(
            "SELECT asset_id, document::text FROM immich_indexer.photo WHERE asset_id = ANY ($1::uuid[])", assets
        )
        documents = [(row["asset_id"], row["document"]) for row in found]
        owner, width = self._library.owner, self.width
        return [Rows(dict(documents[at : at + BATCH]), owner, width) for at in range(0, photos, BATCH)]

    @asynccontextmanager
    async def _connections(self, count: int) -> AsyncIterator[list[OwnConnection]]:
        async with AsyncExitStack() as stack:
            made = []
            for _ in range(count):
                connection = await connect_to_immich(self._url)
                stack.push_async_callback(connection.close)
                await connection.execute("SET synchronous_commit = off")
                made.append(connection)
            yield made


def _upload(url: str, owner: UUID, seconds: float) -> list[float]:
    return asyncio.run(_upload_for(url, owner, seconds))


async def _upload_for(url: str, owner: UUID, seconds: float) -> list[float]:
    """How long each upload's writes took; there is a short pause between two uploads."""
    connection = await asyncpg.connect(url)
    try:
        library, took = Library(connection, owner), []
        await upload_one_by_one(library, photos_of(1))  # plans are made
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            photo = photos_of(1)
            start = time.perf_counter()
            await upload_one_by_one(library, photo)
            took.append(time.perf_counter() - start)
            await asyncio.sleep(0.02)
        return took
    finally:
        await connection.close()
