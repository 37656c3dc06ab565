"""Indexers to test with: settings for a test's database, a worker in this process, and ways to wait for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from pgvector import Vector

from indexer import images
from indexer.immich import tokens as immich
from indexer.models.fetcher import Fetcher
from indexer.models.inference import ClipModel
from indexer.queue.backlog import Failure
from indexer.settings import Settings
from indexer.views import status
from indexer.work.pace import USUAL, WorkerPace
from indexer.work.worker import Models, Worker
from tests.support import stubs
from tests.support.stubs import StubClip, StubOcr

QUICK = WorkerPace(
    idle=0.1, write=0.05, write_longest=0.1, release=0.2, doubt=0.02, doubt_longest=0.2, outage=0.1, vectors=0.1
)
"""Where something fails and is tried again: the same, only sooner."""


def settings_for(url: str, media: Path, **overrides: Any) -> Settings:
    """Quick where a person would be patient."""
    quick: dict[str, Any] = {
        "db_url": url,
        "media_path_map": f"/data={media}",
        "retry_seconds": 0.05,
        "lease_seconds": 2,
        "poll_seconds": 0.2,
        "reconcile_seconds": 3600,
        "cpu_threads": 2,
        "log_level": "warning",
        "_env_file": None,
    }
    return Settings.load(**(quick | overrides))


@contextlib.asynccontextmanager
async def working(
    settings: Settings,
    models: Models | None = None,
    fetcher: Fetcher | None = None,
    *,
    pace: WorkerPace = USUAL,
    open_clip: Callable[[str], ClipModel] | None = None,
) -> AsyncIterator[Worker]:
    """A worker at work, stopped at the end; its failure is the test's. It has enqueued what was there before."""
    models = models or Models(StubClip(), StubOcr(), "cpu")
    for engine in models.engines.values():
        engine.start()
    for engine in models.engines.values():
        await asyncio.to_thread(engine.settle, 30)
    worker = Worker(settings, models, fetcher, pace, open_clip)
    task = asyncio.create_task(worker.run())
    try:
        ready = asyncio.create_task(_is_ready(worker))
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if task.done():
            await task
        yield worker
    finally:
        worker.stop()
        await task
        models.close()


async def _is_ready(worker: Worker) -> None:
    await worker.listener.listening.wait()
    await worker.looked.wait()


async def eventually(condition: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """The first truthy value of `condition`; the database has no event to await for most of what tests wait for."""
    deadline = time.monotonic() + seconds
    while True:
        value = await condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not come about in {seconds} s"
        await asyncio.sleep(0.02)


async def vector_of(connection: asyncpg.Connection, asset: UUID) -> np.ndarray | None:
    text = await connection.fetchval('SELECT embedding::text FROM smart_search WHERE "assetId" = $1', asset)
    return None if text is None else Vector.from_text(text).to_numpy()


async def lines_of(connection: asyncpg.Connection, asset: UUID) -> list[str]:
    """Hidden ones too."""
    rows = await connection.fetch('SELECT text FROM asset_ocr WHERE "assetId" = $1 ORDER BY y1, text', asset)
    return [row["text"] for row in rows]


async def is_indexed(connection: asyncpg.Connection, asset: UUID, picture: bytes) -> bool:
    """Whether each column holds what the stubs make of just this picture, once."""
    rgb = images.decode(picture, max_pixels=10**9).rgb
    text = stubs.text_of(rgb)
    vector = await vector_of(connection, asset)
    return bool(
        vector is not None
        and float(vector[: stubs.DIMENSIONS] @ stubs.vector_of(rgb)) > 0.9999
        and await lines_of(connection, asset) == [text]
        and await connection.fetchval('SELECT text FROM ocr_search WHERE "assetId" = $1', asset)
        == immich.search_text([text])
        and await connection.fetchval("SELECT text FROM immich_indexer.photo WHERE asset_id = $1", asset) == text
    )


async def failures(connection: asyncpg.Connection) -> dict[UUID, Failure]:
    """What a person is told in `status`."""
    return {failure.asset_id: failure for failure in (await status.look(connection, failures=100)).failures}


async def idle(connection: asyncpg.Connection, seconds: float = 20) -> None:
    """Wait until nothing is left to do but dead letters."""

    async def nothing_left() -> bool:
        return bool(
            await connection.fetchval(
                "SELECT NOT EXISTS (SELECT FROM immich_indexer.inbox)"
                " AND NOT EXISTS (SELECT FROM immich_indexer.job WHERE NOT dead)"
            )
        )

    await eventually(nothing_left, seconds)
