"""What is written for a photo: each row once, and nothing that is right already."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from indexer.database.pool import Pool, open_pool
from indexer.photos import results
from indexer.work.reconcile import Reconciler
from tests.support import stubs
from tests.support.installs import install
from tests.support.workers import eventually, idle, is_indexed, settings_for, working

OURS = "immich_indexer.photo"
TABLES = (OURS, "public.smart_search", "public.ocr_search", "public.asset_ocr")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database)
    yield pool
    await pool.close()


@pytest.fixture
async def written(database: str, connection: asyncpg.Connection) -> None:
    """Has a table `written` that gets a row for each row that is written from now on, but by new facts."""
    await install(database)
    await connection.execute(
        """CREATE TABLE public.written (into_table text, what text);
           CREATE FUNCTION public.count_it() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
           $$ BEGIN INSERT INTO public.written VALUES (TG_TABLE_NAME, TG_OP); RETURN NULL; END $$"""
    )
    for table in TABLES:
        await connection.execute(
            f"""CREATE TRIGGER count_it AFTER INSERT OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION public.count_it()"""
        )
        facts = "WHEN (old.facts_hash IS NOT DISTINCT FROM new.facts_hash)" if table == OURS else ""
        await connection.execute(
            f"""CREATE TRIGGER count_updates AFTER UPDATE ON {table}
                FOR EACH ROW {facts} EXECUTE FUNCTION public.count_it()"""
        )


async def counted(connection: asyncpg.Connection) -> Counter[str]:
    """How many rows were written since the last call."""
    rows = await connection.fetch("DELETE FROM public.written RETURNING into_table || ' ' || what AS written")
    return Counter(row["written"] for row in rows)


@pytest.mark.usefixtures("written")
async def test_each_row_is_written_once(database, immich, connection, owner, pool):
    """A row of ours that is written a second time has its whole document indexed a second time."""
    async with working(settings_for(database, immich.media.directory)):
        assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(20)]
        await idle(connection)
        expected = {f"{table.partition('.')[2]} INSERT": 20 for table in TABLES}
        assert await counted(connection) == expected | {"photo UPDATE": 20}, "a photo has a row before it is read"
        for asset in assets:
            await immich.generate_thumbnails(asset, stubs.picture(77))
        await idle(connection)
        again = await counted(connection)
        assert again["photo UPDATE"] == again["smart_search UPDATE"] == 20
        assert again["photo INSERT"] == 0
    assert await is_indexed(connection, assets[3], stubs.picture(77))
    await results.restore(pool, assets)
    assert await counted(connection) == {}, "all is right"


@pytest.mark.parametrize("next_model", [None, "next"])
async def test_a_photo_that_an_event_has_just_told_of_is_not_queued_again(
    database, immich, connection, owner, pool, next_model
):
    """It would be read twice: the event may be in the queue, or done, before the reconciler's request arrives."""
    await install(database)
    reconciler = Reconciler(pool, database, "stub clip", "stub ocr", next_model=next_model)
    asset = await immich.upload(stubs.picture(1), owner=owner)
    assert await reconciler.enqueue_missing() == 0
    await connection.execute("UPDATE immich_indexer.inbox SET tasks = '{text}'")
    assert await reconciler.enqueue_missing() == 1, "another event tells of less"
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.inbox WHERE asset_id = $1", asset) == 2


@pytest.mark.usefixtures("written")
async def test_the_fractions_of_a_date_are_no_reason_to_write_a_document_again(
    database, immich, connection, owner, pool
):
    """Facts and text are written at different times. Both have to keep the date that Immich has."""
    taken_at = datetime(2024, 5, 1, 10, 20, 30, 123456, tzinfo=UTC)
    async with working(settings_for(database, immich.media.directory)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await idle(connection)
        await immich.change_date(asset, taken_at)
        kept = "SELECT taken_at = $2 FROM immich_indexer.photo WHERE asset_id = $1"
        await eventually(lambda: connection.fetchval(kept, asset, taken_at))
    await counted(connection)
    await results.restore(pool, [asset])
    assert await counted(connection) == {}


@pytest.mark.usefixtures("written")
async def test_only_what_is_wrong_is_written_again(database, immich, connection, owner, pool):
    async with working(settings_for(database, immich.media.directory)):
        one, two = [await immich.upload(stubs.picture(number), owner=owner) for number in (1, 2)]
        await idle(connection)
    await connection.execute('DELETE FROM smart_search WHERE "assetId" = $1', one)
    await connection.execute('UPDATE asset_ocr SET "isVisible" = false WHERE "assetId" = $1', two)
    await counted(connection)
    await results.restore(pool, [one, two])
    assert await counted(connection) == {"smart_search INSERT": 1, "asset_ocr DELETE": 1, "asset_ocr INSERT": 1}
    for number, asset in enumerate((one, two), 1):
        assert await is_indexed(connection, asset, stubs.picture(number))
