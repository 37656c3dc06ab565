"""Indexers in processes of their own, killed, stopped and frozen: no photo is lost or written by the wrong one."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from indexer.demo.immich import StandIn
from indexer.demo.server import EmbeddedServer
from tests.support import stubs
from tests.support.workers import eventually, failures, idle, is_indexed

SETTINGS = {
    "RETRY_SECONDS": "0.05",
    "LEASE_SECONDS": "1",
    "POLL_SECONDS": "0.2",
    "RECONCILE_SECONDS": "3600",
    "CPU_THREADS": "1",
    "LOG_LEVEL": "warning",
}


async def start(url: str, media: Path, program: str = "stub_worker", **environment: str) -> Process:
    """A stub worker, or another program of tests.support."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.support.{program}"),
        env=os.environ | SETTINGS | {"DB_URL": url, "MEDIA_PATH_MAP": f"/data={media}"} | environment,
    )


async def end(process: Process) -> None:
    """Kill what still runs."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


class Crew:
    """Stub workers, each started again when it dies, as a container's restart policy does. Or other such programs."""

    def __init__(self, url: str, media: Path, program: str = "stub_worker", **environment: str) -> None:
        self.deaths = 0
        self._url, self._media, self._program, self._environment = url, media, program, environment
        self._running: list[Process] = []

    @contextlib.asynccontextmanager
    async def at_work(self, count: int) -> AsyncIterator[None]:
        watching = [asyncio.create_task(self._watch()) for _ in range(count)]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def kill_one(self, chance: random.Random) -> None:
        """Kill one, whatever it is doing; as soon as there is one."""
        before = self.deaths
        chance.choice(await eventually(self._alive)).kill()
        await eventually(lambda: self._more_deaths_than(before))

    async def _alive(self) -> list[Process]:
        return self._running

    async def _more_deaths_than(self, number: int) -> bool:
        return self.deaths > number

    async def _watch(self) -> None:
        while True:
            process = await start(self._url, self._media, self._program, **self._environment)
            self._running.append(process)
            try:
                await process.wait()
                self.deaths += 1
            finally:
                self._running.remove(process)
                await end(process)


async def indexed(url: str) -> int | None:
    """How many photos are; None while the server is away or our schema not there."""
    try:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval("SELECT count(digest) FROM immich_indexer.photo")
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError):
        return None


async def state(url: str) -> str:
    """What holds it up."""
    connection = await asyncpg.connect(url)
    try:
        tables = {table: await connection.fetch(f"SELECT * FROM immich_indexer.{table}") for table in ("job", "worker")}
        tables["sessions"] = await connection.fetch(
            "SELECT pid, state, wait_event, now() - state_change AS since, left(query, 80) AS query"
            " FROM pg_stat_activity WHERE datname = current_database()"
        )
        return str({name: [dict(row) for row in rows] for name, rows in tables.items()})
    finally:
        await connection.close()


async def at_least(url: str, number: int, seconds: float = 60) -> None:
    async def enough() -> bool:
        return (await indexed(url) or 0) >= number

    try:
        await eventually(enough, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {await state(url)}") from None


async def survive(
    url: str, immich: StandIn, server: EmbeddedServer, *, photos: int, kills: int, restarts: int, seconds: float
) -> None:
    """Upload while workers are killed and the server is restarted; then look at every photo."""
    chance = random.Random(photos)
    owner = await immich.create_user("ann")
    events = ["kill"] * kills + ["restart"] * restarts
    chance.shuffle(events)
    moments = sorted(chance.sample(range(photos // 10, photos * 9 // 10), len(events)))
    uploaded: list[UUID] = []
    quiet = asyncio.Lock()  # Immich is not restarted in the middle of an upload: its own losses are not our subject

    async def upload() -> None:
        for number in range(photos):
            async with quiet:
                uploaded.append(await immich.upload(stubs.picture(number), owner=owner))

    crew = Crew(url, immich.media.directory, MAX_ATTEMPTS="50", STUB_DELAY="0.02")
    async with crew.at_work(2):
        uploading = asyncio.create_task(upload())
        for moment, event in zip(moments, events, strict=True):
            await at_least(url, moment, seconds)
            if event == "kill":
                await crew.kill_one(chance)
            else:
                async with quiet:
                    await asyncio.to_thread(server.restart, chance.choice(["fast", "immediate"]))
                    await immich.database.expire_connections()
        await uploading
        await at_least(url, photos, seconds)
        connection = await asyncpg.connect(url)
        await idle(connection, seconds)
    assert crew.deaths == kills
    for number, asset in enumerate(uploaded):
        assert await is_indexed(connection, asset, stubs.picture(number)), number
    assert await failures(connection) == {}
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.job") == 0
    await connection.close()


async def test_workers_are_killed_and_the_server_is_restarted(own_immich, private_server):
    url, immich = own_immich
    await survive(url, immich, private_server, photos=100, kills=3, restarts=1, seconds=60)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_a_thousand_photos_survive_ten_kills_and_two_restarts(own_immich, private_server):
    url, immich = own_immich
    await survive(url, immich, private_server, photos=1000, kills=10, restarts=2, seconds=300)


async def has_been_read(journal: Path, number: int) -> None:
    """Until the CLIP model was given that picture."""

    def read() -> bool:
        return journal.exists() and stubs.expected_text(number) in journal.read_text("utf-8").splitlines()

    await eventually(lambda: asyncio.to_thread(read))


async def test_a_photo_that_kills_the_process_is_given_up(database, immich, connection, owner):
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(12)]
    crew = Crew(database, immich.media.directory, MAX_ATTEMPTS="2", STUB_KILLER="5")
    async with crew.at_work(1):
        await at_least(database, 11)
        await idle(connection)
        found = await failures(connection)
    assert crew.deaths == 2
    assert set(found) == {assets[5]}
    assert found[assets[5]].dead
    assert "the indexer died" in found[assets[5]].error
    for number, asset in enumerate(assets):
        assert await is_indexed(connection, asset, stubs.picture(number)) == (number != 5)


async def test_what_a_killed_worker_held_comes_back(database, immich, connection, owner, tmp_path):
    """Three workers; the one that got stuck is killed with a batch in hand."""
    journal = tmp_path / "journal"
    stuck = await start(database, immich.media.directory, STUB_HANG="1", STUB_JOURNAL=str(journal))
    others = []
    try:
        assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(30)]
        await has_been_read(journal, 1)
        others = [await start(database, immich.media.directory) for _ in range(2)]
        stuck.kill()
        await at_least(database, 30)
        await idle(connection)
        for number, asset in enumerate(assets):
            assert await is_indexed(connection, asset, stubs.picture(number))
        assert await failures(connection) == {}
    finally:
        for process in (stuck, *others):
            await end(process)


async def test_a_worker_that_slept_longer_than_its_lease_writes_nothing(database, immich, connection, owner, tmp_path):
    journal = tmp_path / "journal"
    sleeper = await start(database, immich.media.directory, STUB_DELAY="3", STUB_JOURNAL=str(journal))
    other = None
    try:
        assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
        await has_been_read(journal, 0)
        sleeper.send_signal(signal.SIGSTOP)
        other = await start(database, immich.media.directory)
        await at_least(database, 3)
        await immich.generate_thumbnails(assets[0], stubs.picture(100))
        await eventually(lambda: is_indexed(connection, assets[0], stubs.picture(100)))
        sleeper.send_signal(signal.SIGCONT)
        sleeper.send_signal(signal.SIGTERM)  # it finishes what it believes to be its own
        assert await sleeper.wait() == 0
        await idle(connection)
        for asset, number in zip(assets, (100, 1, 2), strict=True):
            assert await is_indexed(connection, asset, stubs.picture(number))
    finally:
        for process in filter(None, (sleeper, other)):
            await end(process)


async def test_told_to_stop_it_finishes_what_it_has_begun(database, immich, connection, owner, tmp_path):
    journal = tmp_path / "journal"
    worker = await start(database, immich.media.directory, STUB_DELAY="0.2", STUB_JOURNAL=str(journal))
    try:
        assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
        await has_been_read(journal, 0)
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), 10) == 0
    finally:
        await end(worker)
    assert await is_indexed(connection, assets[0], stubs.picture(0))
    left = await connection.fetch("SELECT worker, attempts FROM immich_indexer.job")
    assert {tuple(row) for row in left} <= {(None, 0)}
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.worker") == 0


async def test_told_to_stop_it_gives_back_what_it_cannot_finish(database, immich, connection, owner, tmp_path):
    journal = tmp_path / "journal"
    worker = await start(database, immich.media.directory, STUB_HANG="0", STUB_JOURNAL=str(journal))
    try:
        asset = await immich.upload(stubs.picture(0), owner=owner)
        await has_been_read(journal, 0)
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), 10) == 0, "Docker waits 10 s before it kills"
    finally:
        await end(worker)
    job = await connection.fetchrow("SELECT * FROM immich_indexer.job")
    assert (job["asset_id"], job["worker"], job["attempts"], job["tasks"]) == (asset, None, 0, ["clip", "ocr"])
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.worker") == 0
    assert await failures(connection) == {}


async def test_told_to_stop_while_the_server_is_silent_it_stops_all_the_same(own_immich, private_server, tmp_path):
    url, immich = own_immich
    journal = tmp_path / "journal"
    worker = await start(url, immich.media.directory, STUB_HANG="0", STUB_JOURNAL=str(journal))
    try:
        await immich.upload(stubs.picture(0), owner=await immich.create_user("ann"))
        await has_been_read(journal, 0)
        await immich.database.expire_connections()
        await asyncio.to_thread(private_server.stop)
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), 12) == 0
    finally:
        await end(worker)
