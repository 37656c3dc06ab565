"""A worker with quick models on a real database: from Immich's writes to Immich's columns."""

import asyncpg
import numpy as np

from indexer.demo.immich import StandIn
from indexer.text import immich as immich_text
from tests import stubs
from tests.workers import idle, settings_for, working

Connection = asyncpg.Connection


async def vector_of(connection: Connection, asset) -> np.ndarray | None:
    text = await connection.fetchval('SELECT embedding::text FROM smart_search WHERE "assetId" = $1', asset)
    return None if text is None else np.array([float(x) for x in text.strip("[]").split(",")], dtype=np.float32)


async def lines_of(connection: Connection, asset) -> list[str]:
    rows = await connection.fetch('SELECT text FROM asset_ocr WHERE "assetId" = $1 AND "isVisible" ORDER BY y1', asset)
    return [row["text"] for row in rows]


async def test_an_upload_is_indexed(database, immich: StandIn, connection: Connection, owner):
    async with working(settings_for(database, immich.media.directory)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await idle(connection)
    vector = await vector_of(connection, asset)
    assert vector is not None
    assert float(vector @ stubs.expected_vector(1)) > 0.9999
    assert await lines_of(connection, asset) == [stubs.expected_text(1)]
    search = await connection.fetchval('SELECT text FROM ocr_search WHERE "assetId" = $1', asset)
    assert search == immich_text.search_text([stubs.expected_text(1)])
    assert await connection.fetchval('SELECT "ocrAt" IS NOT NULL FROM asset_job_status WHERE "assetId" = $1', asset)
    assert await connection.fetchval("SELECT text FROM immich_indexer.photo WHERE asset_id = $1", asset) == stubs.expected_text(1)
