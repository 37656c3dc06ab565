"""The notifications, and all the ways in which it fails: a killed backend, a cut or frozen line, a polling listener."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
from structlog.testing import capture_logs

from indexer.demo.immich import StandIn
from indexer.queue.listener import CHANNEL, Listener
from indexer.views import status
from indexer.work.pace import WorkerPace
from tests.support import stubs
from tests.support.proxy import Proxy
from tests.support.workers import eventually, idle, settings_for, working

# A listener's connection is the one whose last statement is a LISTEN.
LISTENING = "datname = current_database() AND application_name = 'immich-indexer' AND query LIKE 'LISTEN%'"


@contextlib.asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listener]:
    listener = Listener(url, probe_seconds=0.05, patience_seconds=0.5)
    task = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def hears(listener: Listener, connection: asyncpg.Connection) -> None:
    """Fails by the test's own time limit."""
    await eventually_true(lambda: not listener.polling)
    listener.notified.clear()
    await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
    await asyncio.wait_for(listener.notified.wait(), 10)


async def eventually_true(condition) -> None:
    async def look() -> bool:
        return condition()

    await eventually(look)


async def test_a_bell_is_heard(database, connection):
    async with listening(database) as listener:
        assert listener.polling, "as long as it is not known that notifications arrive"
        await listener.listening.wait()
        assert listener.notified.is_set(), "what happened before it listened is to be looked for"
        await hears(listener, connection)


async def test_a_terminated_backend_is_replaced(database, connection):
    async with listening(database) as listener:
        await listener.listening.wait()
        await hears(listener, connection)
        assert await connection.fetchval(
            f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {LISTENING}"
        )
        await listener.notified.wait()  # something may have happened meanwhile
        await hears(listener, connection)


async def test_a_cut_line_is_replaced(database, connection):
    async with Proxy(database) as proxy, listening(proxy.url) as listener:
        await listener.listening.wait()
        await hears(listener, connection)
        proxy.cut()
        await listener.notified.wait()
        await hears(listener, connection)


async def test_a_frozen_line_is_noticed_and_replaced(database, connection):
    async with Proxy(database) as proxy, listening(proxy.url) as listener:
        await listener.listening.wait()
        await hears(listener, connection)
        proxy.freeze()
        await eventually_true(lambda: listener.polling)
        await hears(listener, connection)


async def test_one_who_hears_nothing_knows_it(database, connection):
    async with Proxy(database) as proxy, listening(proxy.url) as listener:
        proxy.polling = True
        with capture_logs() as lines:
            await eventually_true(lambda: any("do not arrive" in line["event"] for line in lines))
        assert listener.polling
        assert listener.listening.is_set(), "the connection itself is all right"
        proxy.polling = False
        await hears(listener, connection)


async def test_a_server_that_is_away_is_waited_for(database, connection):
    async with Proxy(database) as proxy:
        proxy.away = True
        async with listening(proxy.url) as listener:
            await eventually_true(lambda: proxy.turned_away >= 2)
            assert not listener.listening.is_set()
            proxy.away = False
            await hears(listener, connection)


async def test_photos_come_in_though_the_listener_was_killed(database, immich: StandIn, connection, owner):
    async with working(settings_for(database, immich.media.directory)):
        await immich.upload(stubs.picture(1), owner=owner)
        await idle(connection)
        await connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LISTENING}")
        await immich.upload(stubs.picture(2), owner=owner)
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 2 FROM immich_indexer.photo"))


async def test_photos_come_in_though_nobody_hears_the_bell(database, immich: StandIn, connection, owner):
    async with Proxy(database) as proxy:
        proxy.polling = True
        async with working(settings_for(proxy.url, immich.media.directory), pace=WorkerPace(listener=0.2)):
            for number in range(3):
                await immich.upload(stubs.picture(number), owner=owner)
                await eventually(
                    lambda number=number: connection.fetchval(
                        "SELECT count(digest) = $1 FROM immich_indexer.photo", number + 1
                    )
                )
            await eventually(lambda: said_to_be_polling(connection))


async def said_to_be_polling(connection) -> bool:
    return all(worker.polling for worker in (await status.look(connection)).workers)


async def test_photos_come_in_after_every_line_was_cut(database, immich: StandIn, connection, owner):
    async with Proxy(database) as proxy, working(settings_for(proxy.url, immich.media.directory)):
        for number in range(5):
            proxy.cut()
            await immich.upload(stubs.picture(number), owner=owner)
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 5 FROM immich_indexer.photo"))
        await idle(connection)


async def test_photos_come_in_after_every_line_froze(database, immich: StandIn, connection, owner):
    async with Proxy(database) as proxy, working(settings_for(proxy.url, immich.media.directory)):
        await immich.upload(stubs.picture(1), owner=owner)
        await idle(connection)
        proxy.freeze()
        await immich.upload(stubs.picture(2), owner=owner)
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 2 FROM immich_indexer.photo"), seconds=60)
        await idle(connection)
