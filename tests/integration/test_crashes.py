"""An indexer that was killed, as the next one and `status` find it."""

import asyncio
import signal
import sys
from pathlib import Path

import asyncpg
import pytest

from indexer.database import schema
from indexer.database.pool import connect_to_immich
from indexer.views import status
from indexer.work import crashes

MB = 1 << 20
MARKERS = "SELECT count(*) FROM immich_indexer.state WHERE key LIKE 'started:%'"


class Machine:
    """One whose kernel keeps a container at `memory` megabytes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("proc/self", "proc/sys/kernel/random", "sys/fs/cgroup"):
            (root / folder).mkdir(parents=True)
        (root / "proc/self/cgroup").write_text("0::/")
        self.boot("first")
        self.kills = 0
        self.limit(420)

    def boot(self, boot: str) -> None:
        (self.root / "proc/sys/kernel/random/boot_id").write_text(boot)

    def limit(self, memory: int) -> None:
        (self.root / "sys/fs/cgroup/memory.max").write_text(str(memory * MB))

    @property
    def kills(self) -> int:
        return self._kills

    @kills.setter
    def kills(self, count: int) -> None:
        self._kills = count
        (self.root / "proc/vmstat").write_text(f"oom_kill {count}\n")

    async def start_indexer(self, connection: asyncpg.Connection, needed: int = 1000) -> None:
        await crashes.start(connection, "nas", needed * MB, root=self.root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


@pytest.fixture
async def own(database: str):
    connection = await connect_to_immich(database)
    await schema.install(connection)
    yield connection
    await connection.close()


async def test_killed_for_want_of_memory(own, machine):
    await machine.start_indexer(own)
    assert await crashes.look(own) == []
    for count, times in ((1, "once"), (2, "2 times")):
        machine.kills = count
        await machine.start_indexer(own)
        (said,) = await crashes.look(own)
        assert said.startswith(f"the indexer on nas was killed {times}, last before ")
        assert "because memory ran out: its container may use 420 MB, and the models need some 1000 MB. Raise" in said
    assert said in (await status.look(own)).advice


async def test_killed_where_memory_is_enough(own, machine):
    machine.limit(2000)
    await machine.start_indexer(own)
    await machine.start_indexer(own)
    assert await crashes.look(own) == [], "somebody killed it, once"
    await machine.start_indexer(own)
    (said,) = await crashes.look(own)
    assert "was killed 2 times" in said
    assert "memory did not run out" in said
    machine.kills += 1
    await machine.start_indexer(own)
    assert "may use 2000 MB" in (await crashes.look(own))[0]


async def test_the_machine_was_switched_off(own, machine):
    await machine.start_indexer(own)
    machine.boot("second")
    machine.kills = 0
    await machine.start_indexer(own)
    assert await crashes.look(own) == []


async def test_who_ends_by_itself_leaves_no_marker(own, database):
    async with crashes.marked(database, 1000 * MB):
        assert await own.fetchval(MARKERS) == 1
    assert await own.fetchval(MARKERS) == 0
    with pytest.raises(ValueError, match="trouble"):
        async with crashes.marked(database, 1000 * MB):
            raise ValueError("trouble")
    assert await own.fetchval(MARKERS) == 0


async def test_a_process_that_is_killed_leaves_its_marker(own, database):
    script = f"""
import asyncio, os, signal
from indexer.work import crashes
async def main():
    async with crashes.marked({database!r}, 1000):
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == -signal.SIGKILL
    assert await own.fetchval(MARKERS) == 1


async def test_two_on_one_host(own, machine):
    await machine.start_indexer(own)
    await own.execute(
        "UPDATE immich_indexer.state SET value = jsonb_set(value, '{pid}', '77') WHERE key = 'started:nas'"
    )
    (machine.root / "proc/77").mkdir()
    machine.kills += 1
    await machine.start_indexer(own)
    assert await crashes.look(own) == [], "the other still runs"
    (machine.root / "proc/77").rmdir()
    await machine.start_indexer(own)
    assert len(await crashes.look(own)) == 1


async def test_a_container_made_anew_is_forgotten(own, machine):
    """It has another name, and nobody removes the marker of the old one."""
    await machine.start_indexer(own)
    machine.kills += 1
    await machine.start_indexer(own)
    since = "UPDATE immich_indexer.state SET value = jsonb_set(value, '{started}', to_jsonb(now() - $1::interval))"
    await own.execute(since.replace("$1::interval", "interval '1 hour'"))
    assert await crashes.look(own) == []
    await own.execute(
        "INSERT INTO immich_indexer.worker (id, name, version, device) VALUES (gen_random_uuid(), 'nas:1', '', '')"
    )
    assert len(await crashes.look(own)) == 1, "at work for an hour"
    await own.execute(since.replace("$1::interval", "interval '31 days'"))
    await crashes.start(own, "another", 0, root=machine.root)
    assert await own.fetchval(MARKERS) == 1


async def test_without_a_database_or_a_schema(database, connection):
    async with crashes.marked(database, 1000):
        pass
    assert not await connection.fetchval("SELECT to_regnamespace('immich_indexer') IS NOT NULL")
    async with crashes.marked("postgresql://127.0.0.1:1/immich", 1000):
        pass
