"""Photos by their vectors, through Immich's own index and without it."""

import json
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import numpy as np
import pytest

from indexer.database.pool import open_pool
from indexer.demo.immich import StandIn
from indexer.errors import ColumnWidthError, IndexerError
from indexer.search.meaning import nearest
from indexer.search.viewer import ADMINISTRATOR, find_user, viewer
from tests.conftest import execute
from tests.support.gateways import text_vector
from tests.support.workers import eventually

QUERY = text_vector("日落")


async def photos(immich: StandIn, owner: UUID, *cosines: float, width: int = 512) -> list[UUID]:
    made = []
    for cosine in cosines:
        asset = await immich.receive(owner=owner)
        noise = text_vector(str(asset))
        noise -= (noise @ QUERY) * QUERY
        vector = cosine * QUERY + (1 - cosine**2) ** 0.5 * noise / np.linalg.norm(noise)
        await immich.immich_clip_job(asset, json.loads(json.dumps([*vector.tolist(), *[0.0] * (width - 512)])))
        made.append(asset)
    return made


@pytest.mark.parametrize("index", ["hnsw", "none"])
async def test_far_behind_those_of_others(immich: StandIn, owner: UUID, database: str, index: str, connection):
    others = await photos(immich, await immich.create_user("bob"), *np.linspace(0.9, 0.5, 150))
    own = await photos(immich, owner, 0.3, 0.2, 0.1)
    if index == "none":
        await connection.execute("DROP INDEX clip_index")
    else:  # so few rows are faster read from the table: the index is what this is about
        name = urlsplit(database).path[1:]
        await execute(
            database, f"ALTER DATABASE {name} SET enable_seqscan = off", f"ALTER DATABASE {name} SET enable_sort = off"
        )
    pool = await open_pool(database)
    try:
        eyes = await viewer(pool, owner)
        found = await nearest(pool, QUERY, eyes, eyes.scope(), limit=3)
        assert [near.asset_id for near in found] == own
        assert [near.similarity for near in found] == pytest.approx([0.3, 0.2, 0.1], abs=1e-3)
        everybodys = await nearest(pool, QUERY, ADMINISTRATOR, ADMINISTRATOR.scope(), limit=20)
        assert [near.asset_id for near in everybodys] == others[:20]
    finally:
        await pool.close()
    if index == "hnsw":
        scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'clip_index'"
        await eventually(lambda: connection.fetchval(scans))  # counted once the pool's connection has ended


async def test_a_column_of_another_width(immich: StandIn, owner: UUID, database: str, connection: asyncpg.Connection):
    await immich.change_clip_model(1024)
    made = await photos(immich, owner, 0.2, 0.8, width=1024)
    pool = await open_pool(database)
    try:
        found = await nearest(pool, QUERY, ADMINISTRATOR, ADMINISTRATOR.scope(), limit=5)
        assert [near.asset_id for near in found] == made[::-1]
        await immich.change_clip_model(512)
        with pytest.raises(ColumnWidthError, match="ViT-L-14__openai"):
            await nearest(pool, text_vector("日落", 768), ADMINISTRATOR, ADMINISTRATOR.scope(), limit=5)
    finally:
        await pool.close()


async def test_a_user_by_address(immich: StandIn, owner: UUID, connection: asyncpg.Connection):
    assert await find_user(connection, " Ann@Example.org ") == owner
    await immich.delete_user(owner)
    with pytest.raises(IndexerError, match=r"no user ann@example\.org"):
        await find_user(connection, "ann@example.org")
