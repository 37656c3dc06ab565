"""Results and facts are written into the same rows, by several connections at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial

import pytest

from indexer.database.pool import Pool, open_pool
from indexer.database.statements import queries
from indexer.photos import facts, results
from tests.support import stubs
from tests.support.installs import install
from tests.support.workers import idle, is_indexed, settings_for, working


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await install(database)
    pool = await open_pool(database, size=6)
    yield pool
    await pool.close()


async def test_nobody_waits_in_a_circle(database, pool, immich, connection, owner):
    """All lock the rows in one order, whether there is one already or not. Otherwise PostgreSQL ends one of them."""
    photos = [await immich.upload(stubs.picture(number), owner=owner) for number in range(12)]
    hidden = [await immich.receive(owner=owner) for _ in range(4)]
    async with working(settings_for(database, immich.media.directory)):
        await idle(connection)

    for _ in range(6):
        for photo in hidden:
            await immich.restore(photo)
        await pool.transact(partial(facts.refresh, assets=[*photos, *hidden]))
        for photo in hidden:
            await immich.trash(photo)
        await connection.execute("DELETE FROM immich_indexer.photo WHERE asset_id = ANY ($1)", photos[::2])
        await connection.execute("UPDATE immich_indexer.photo SET facts_version = 0")
        work = []
        for _ in range(3):
            mixed = random.sample([*photos, *hidden], len(photos) + len(hidden))
            work += [
                pool.transact(partial(facts.refresh, assets=mixed)),
                pool.transact(partial(results.apply, assets=mixed)),
            ]
        await asyncio.gather(*work, pool.execute(queries("reconcile")["orphans"]))
        assert await pool.fetchval("SELECT count(*) FROM immich_indexer.photo WHERE facts_version > 0") == len(photos)
    assert await is_indexed(connection, photos[1], stubs.picture(1))
