"""The gateway's connections: one that is silent is dropped, and who is busy or slow costs nobody else his answer."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gateway.database import AwayError, OccupiedError
from gateway.errors import BusyError
from gateway.library import Library
from indexer.database.pool import Pool
from indexer.demo.immich import StandIn
from tests.support.installs import install
from tests.support.proxy import Proxy
from tests.support.tcp import serving
from tests.support.workers import eventually


@pytest.fixture
async def library(database: str) -> AsyncIterator[Library]:
    library = Library(database, patience=0.5)
    yield library
    await library.close()


async def one(pool: Pool) -> int:
    return await pool.fetchval("SELECT 1")


async def test_which_model_is_in_use_is_known_while_immich_changes_the_width(database, immich: StandIn):
    library = Library(database)
    async with immich.clip_model_change(768):
        assert await library.model() is None
        assert library.last is None, "a width that is being changed is no width"
    assert (await library.column()).width == 768
    await library.close()


class Slow:
    """A question that holds its connection until it is let go."""

    def __init__(self) -> None:
        self.holding = 0
        self.go_on = asyncio.Event()

    async def __call__(self, pool: Pool) -> int:
        async with pool.acquire() as connection:
            self.holding += 1
            await self.go_on.wait()
            return await connection.fetchval("SELECT 2")

    async def hold(self, count: int) -> None:
        async def so_many() -> bool:
            return self.holding == count

        await eventually(so_many)


async def test_slow_questions_cost_nobody_his_answer(library):
    assert await library.ask(one) == 1
    slow = Slow()
    eight = [asyncio.create_task(library.ask(slow, patience=30)) for _ in range(8)]
    await slow.hold(4)
    with pytest.raises(BusyError, match="the database is busy: none of its 4 connections was free") as refused:
        await library.need(one)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (503, "busy", 2)
    assert library.trouble is None
    slow.go_on.set()
    assert await asyncio.gather(*eight) == [2] * 8
    assert await library.need(one) == 1


async def test_a_question_that_takes_too_long_is_taken_back(library, connection):
    slow = Slow()
    other = asyncio.create_task(library.ask(slow, patience=30))
    await slow.hold(1)
    with pytest.raises(OccupiedError, match=r"this took longer than 0\.5 s"):
        await library.ask(lambda pool: pool.fetchval("SELECT 1 FROM pg_sleep(60)"))
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND state = 'active'"
    assert await connection.fetchval(asleep) == 0
    assert library.trouble is None
    assert await library.ask(one) == 1
    slow.go_on.set()
    assert await other == 2


async def test_only_the_silent_connection_is_dropped(database):
    silent, well = Slow(), Slow()
    async with Proxy(database) as proxy:
        library = Library(proxy.url, patience=0.5)
        over_a_dead_line = asyncio.create_task(library.ask(silent, patience=1))
        await silent.hold(1)
        proxy.freeze()
        patient = asyncio.create_task(library.ask(well, patience=30))
        await well.hold(1)
        silent.go_on.set()
        with pytest.raises(AwayError, match="it does not answer"):
            await over_a_dead_line
        assert await library.ask(one) == 1
        well.go_on.set()
        assert await patient == 2
        await library.close()


async def test_a_server_that_takes_connections_and_says_nothing_is_away():
    async def silence(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(silence) as port:
        library = Library(f"postgresql://somebody@127.0.0.1:{port}/nowhere?sslmode=disable", patience=0.2)
        asked = [asyncio.create_task(library.ask(one, patience=30)) for _ in range(5)]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(answer, AwayError)
            assert not isinstance(answer, OccupiedError)
        assert library.trouble == "it does not answer"
        await library.close()


@pytest.mark.parametrize("tasks", [["clip"], ["clip!"], ["ocr!"], ["text", "refreshed"]])
async def test_what_somebody_asked_for_again_is_under_way(library, database, connection, tasks):
    """Else Immich would be answered, and write, while the indexer does."""
    await install(database)
    await connection.execute(
        "INSERT INTO immich_indexer.worker (id, name, version, device) VALUES ($1, 'test', '0', 'cpu')", uuid4()
    )
    wished, waiting, running, texts = (uuid4() for _ in range(4))
    await connection.execute("INSERT INTO immich_indexer.inbox VALUES ($1, $2, 0)", wished, tasks)
    await connection.execute(
        "INSERT INTO immich_indexer.job (asset_id, tasks, running, priority, worker) VALUES"
        " ($1, $4, '{}', 0, NULL), ($2, '{}', $4, 0, gen_random_uuid()), ($3, '{text}', '{}', 0, NULL)",
        waiting,
        running,
        texts,
        tasks,
    )
    assert await library.under_way() == {wished, waiting, running}
