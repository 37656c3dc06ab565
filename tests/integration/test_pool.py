"""A database that does not answer: whoever asks a pool, or connects, hears of it in time."""

import asyncio

import pytest

from indexer.database import pool as module
from indexer.database.pool import Connection, connect, connect_to_immich, open_pool
from tests.support.proxy import Proxy


async def one(connection: Connection) -> int:
    return await connection.fetchval("SELECT 1")


QUESTIONS = {
    "execute": lambda pool: pool.execute("SELECT 1"),
    "fetch": lambda pool: pool.fetch("SELECT 1"),
    "fetchrow": lambda pool: pool.fetchrow("SELECT 1"),
    "fetchval": lambda pool: pool.fetchval("SELECT 1"),
    "run": lambda pool: pool.run(one),
    "transact": lambda pool: pool.transact(one),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
async def test_a_dead_line_is_not_waited_for_and_the_next_question_has_another(database, question):
    async with Proxy(database) as proxy:
        pool = await open_pool(proxy.url, patience=0.3)
        try:
            answer = await question(pool)
            proxy.freeze()
            with pytest.raises(TimeoutError):
                await question(pool)
            assert await question(pool.patient(30)) == answer
        finally:
            pool.terminate()


async def test_a_free_connection_is_not_waited_for_without_end(database):
    pool = await open_pool(database, size=1)
    try:
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.patient(0.1).fetchval("SELECT 1")
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        pool.terminate()


async def test_a_transaction_is_whole_or_nothing(database):
    pool = await open_pool(database)

    async def fails(connection: Connection) -> None:
        await connection.execute("CREATE TABLE public.half (id int)")
        raise ValueError("in the middle")

    try:
        with pytest.raises(ValueError, match="in the middle"):
            await pool.transact(fails)
        assert await pool.fetchval("SELECT to_regclass('public.half')") is None
    finally:
        pool.terminate()


async def test_a_question_that_was_cancelled_leaves_nothing_to_the_next(database):
    """asyncpg has a statement planned, and then run: who is cancelled between the two leaves a transaction open."""
    pool = await open_pool(database, size=1)

    async def is_planned(connection: Connection) -> None:
        await connection.prepare("SELECT count(*) FROM public.asset")
        raise asyncio.CancelledError

    async def asks(connection: Connection) -> int:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await one(connection)

    try:
        with pytest.raises(asyncio.CancelledError):
            await pool.run(is_planned)
        assert await pool.run(asks) == 1
    finally:
        pool.terminate()


@pytest.mark.parametrize("connecting", [connect_to_immich, open_pool])
async def test_a_line_that_dies_after_the_login_is_given_up(database, monkeypatch, connecting):
    async with Proxy(database) as proxy:

        async def dying(dsn: str, *, timeout: float) -> Connection:
            connection = await connect(dsn)
            proxy.freeze()
            return connection

        monkeypatch.setattr(module, "connect", dying)
        async with asyncio.timeout(20):
            with pytest.raises(TimeoutError):
                await connecting(proxy.url, timeout=0.3)
