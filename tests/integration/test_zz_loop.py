import pytest, asyncio
from tests.integration.test_listener import *
from tests.integration.conftest import *
@pytest.mark.parametrize("i", range(60))
async def test_x(database, connection, i):
    async with listening(database) as listener:
        await listener.listening.wait()
        await hears(listener, connection)
        n = await connection.fetchval(
            f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {LISTENING}"
        )
        assert n
        await eventually_true(lambda: not listener.listening.is_set())
        await asyncio.wait_for(listener.listening.wait(), 5)
        await hears(listener, connection)
