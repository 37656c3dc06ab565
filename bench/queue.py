"""How many jobs two workers claim and complete with nothing to do for each, and how soon a notification is answered."""

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import asyncpg

from indexer.database import schema
from indexer.database.pool import connect_to_immich, open_pool
from indexer.demo.immich import StandIn
from indexer.demo.server import EmbeddedServer, on_server
from indexer.queue.claims import Queue
from indexer.queue.jobs import Priority
from indexer.queue.listener import Listener
from indexer.queue.requests import enqueue
from indexer.queue.retries import Policy

NAME = "queue"
DESCRIPTION = "jobs a second claimed and completed by 2 workers with a no-op model; notifications to claim"

_WORKERS = 2
_BATCH = 64  # what a worker with a GPU claims at once
_POLICY = Policy(max_attempts=4, retry_seconds=15, lease_seconds=60)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `jobs_per_s` (median of the rounds), `p50_ms` and `p99_ms` from commit to claim of a job."""
    jobs, rounds, orders = (4_000, 2, 50) if options.quick else (30_000, 5, 500)
    with on_database(options.url) as url:
        asyncio.run(_prepare(url))
        speeds = [_throughput(url, jobs) for _ in range(rounds)]
        latencies = asyncio.run(_latencies(url, orders))
    latencies.sort()
    return {
        "jobs_per_s": round(statistics.median(speeds)),
        "jobs_per_s_rounds": [round(speed) for speed in speeds],
        "workers": _WORKERS,
        "batch": _BATCH,
        "p50_ms": round(1000 * statistics.median(latencies), 2),
        "p99_ms": round(1000 * latencies[int(len(latencies) * 0.99)], 2),
    }


@contextlib.contextmanager
def on_database(url: str | None, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """A database to use up: on the server given, or on one of our own with its usual durability and `settings`."""
    name = f"bench_{uuid4().hex}"
    with contextlib.ExitStack() as stack:
        if url is None:
            url = stack.enter_context(EmbeddedServer(settings=settings)).url()
        asyncio.run(_execute(url, f"CREATE DATABASE {name}"))
        try:
            yield on_server(url, name)
        finally:
            asyncio.run(_execute(url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, command: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()


async def _prepare(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await StandIn(connection, Path()).install()
    finally:
        await connection.close()
    own = await connect_to_immich(url)
    try:
        await schema.install(own)
    finally:
        await own.close()


def _throughput(url: str, jobs: int) -> float:
    """Jobs a second: two processes work off a full queue, timed from the first claim to the last completion."""
    asyncio.run(_fill(url, jobs))
    with ProcessPoolExecutor(_WORKERS, mp_context=get_context("spawn")) as processes:
        done = list(processes.map(_work, [url] * _WORKERS))
    finished = sum(count for _, _, count in done)
    if finished != jobs:
        raise RuntimeError(f"{finished} jobs completed of {jobs}")
    return jobs / (max(end for _, end, _ in done) - min(start for start, _, _ in done))


async def _fill(url: str, jobs: int) -> None:
    pool = await open_pool(url)
    try:
        await enqueue(pool, [uuid4() for _ in range(jobs)], ("clip", "ocr"), Priority.BACKFILL)
        queue = Queue(pool, uuid4(), _POLICY)
        while await queue.drain():
            pass
        await pool.execute("VACUUM ANALYZE immich_indexer.job")
    finally:
        await pool.close()


def _work(url: str) -> tuple[float, float, int]:
    return asyncio.run(_work_off(url))


async def _work_off(url: str) -> tuple[float, float, int]:
    pool = await open_pool(url, durable=False)
    try:
        queue = Queue(pool, uuid4(), _POLICY)
        await queue.register("bench", "0", "cpu")
        start, count = time.time(), 0
        while jobs := await queue.claim(_BATCH):
            await queue.complete(pool, jobs)
            count += len(jobs)
        return start, time.time(), count
    finally:
        await pool.close()


async def _latencies(url: str, orders: int) -> list[float]:
    """Seconds from just before an order commits until its job is claimed, one at a time, with the real listener."""
    pool = await open_pool(url, durable=False)  # as a worker's
    asking = await connect_to_immich(url)  # somebody else, whose order is to be kept
    listener = Listener(url)
    listening = asyncio.create_task(listener.run())
    try:
        queue = Queue(pool, uuid4(), _POLICY)
        await queue.register("bench", "0", "cpu")
        await listener.listening.wait()
        seconds = []
        for _ in range(orders):
            listener.notified.clear()
            start = time.perf_counter()
            waker = asyncio.create_task(enqueue(asking, [uuid4()], ("clip",), Priority.UPLOAD))
            await listener.notified.wait()
            await queue.drain()
            jobs = await queue.claim(1)
            seconds.append(time.perf_counter() - start)
            await waker
            await queue.complete(pool, jobs)
            if len(jobs) != 1:
                raise RuntimeError("a notifications rang and there was nothing to claim")
        return seconds
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await asking.close()
        await pool.close()
