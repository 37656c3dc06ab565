"""Indexers to test with: settings for a test's database, a worker in this process, and ways to wait for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from indexer.settings import Settings
from indexer.worker import Models, Worker
from tests.stubs import StubClip, StubOcr


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
async def working(settings: Settings, models: Models | None = None) -> AsyncIterator[Worker]:
    """A worker at work, stopped at the end; its failure is the test's."""
    worker = Worker(settings, models or Models(StubClip(), StubOcr(), "cpu"))
    task = asyncio.create_task(worker.run())
    try:
        listening = asyncio.create_task(worker.listener.listening.wait())
        await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if task.done():
            await task
        yield worker
    finally:
        worker.stop()
        await task


async def eventually(condition: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """The first truthy value of `condition`; the database has no event to await for most of what tests wait for."""
    deadline = time.monotonic() + seconds
    while True:
        value = await condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not come about in {seconds} s"
        await asyncio.sleep(0.02)


async def idle(connection: asyncpg.Connection, seconds: float = 20) -> None:
    """Wait until nothing is left to do but dead letters."""

    async def nothing_left() -> bool:
        return bool(
            await connection.fetchval(
                "SELECT NOT EXISTS (SELECT FROM immich_indexer.inbox) AND NOT EXISTS (SELECT FROM immich_indexer.job WHERE NOT dead)"
            )
        )

    await eventually(nothing_left, seconds)
