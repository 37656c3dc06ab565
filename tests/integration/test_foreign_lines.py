"""What Immich read with a text model for a script that our recogniser does not know: it is not replaced by nothing."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import OcrLine, StandIn
from indexer.photos import results
from indexer.work.reconcile import Reconciler
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.installs import install
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import idle, lines_of, settings_for, working

ALPHABET = frozenset("发票合计0123456789")
RECEIPT = [
    OcrLine("Кассовый чек", box=(0.1, 0.4, 0.9, 0.4, 0.9, 0.5, 0.1, 0.5)),
    OcrLine("12", box=(0.1, 0.6, 0.2, 0.6, 0.2, 0.65, 0.1, 0.65)),
]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database)
    yield pool
    await pool.close()


def models() -> Models:
    return Models(StubClip(), StubOcr(say=lambda _: ["发票12"], alphabet=ALPHABET), "cpu")


async def texts_of(connection: asyncpg.Connection, asset: UUID) -> tuple[list[str], str, str]:
    """In Immich's overlay, in Immich's search and in ours."""
    return (
        await lines_of(connection, asset),
        await connection.fetchval('SELECT text FROM ocr_search WHERE "assetId" = $1', asset),
        await connection.fetchval("SELECT text FROM immich_indexer.photo WHERE asset_id = $1", asset),
    )


BOTH = (["发票12", "Кассовый чек"], "发票 12 Кассовый чек", "发票12\nКассовый чек")


async def test_immich_was_first(database, immich: StandIn, owner: UUID, connection):
    await install(database)
    asset = await immich.upload(stubs.picture(1), owner=owner)
    await immich.immich_ocr_job(asset, RECEIPT)
    before = await connection.fetchrow("SELECT xmin, * FROM asset_ocr WHERE text = 'Кассовый чек'")
    async with working(settings_for(database, immich.media.directory), models()):
        await idle(connection)
        assert await texts_of(connection, asset) == BOTH
        kept = await connection.fetchrow("SELECT * FROM asset_ocr WHERE text = 'Кассовый чек'")
        assert [kept[name] for name in ("x1", "y3", "boxScore", "textScore")] == [
            before[name] for name in ("x1", "y3", "boxScore", "textScore")
        ]
        # Read again, which starts from what we have written there ourselves.
        await connection.execute("SELECT immich_indexer.reprocess($1)", asset)
        await idle(connection)
        assert await texts_of(connection, asset) == BOTH


async def test_immich_comes_later_and_empties_its_tables(database, immich: StandIn, owner: UUID, connection, pool):
    await install(database)
    asset = await immich.upload(stubs.picture(1), owner=owner)
    async with working(settings_for(database, immich.media.directory), models()):
        await idle(connection)
        assert await lines_of(connection, asset) == ["发票12"]
        await immich.immich_ocr_job(asset, RECEIPT)
        await idle(connection)
        assert await texts_of(connection, asset) == BOTH
    await immich.ocr_all()
    await Reconciler(pool, database, None, None, ALPHABET).round(thorough=True)
    assert await texts_of(connection, asset) == BOTH
    await immich.immich_ocr_job(asset, [RECEIPT[1]])  # it read the photo anew, and no such letters any more
    await results.restore(pool, [asset], ALPHABET)
    assert await texts_of(connection, asset) == (["发票12"], "发票 12", "发票12")
