"""*Refresh thumbnails* in Immich's asset menu: heals the text that it empties, and has the photo read again."""

from uuid import UUID

import asyncpg
import pytest

from indexer.demo.immich import StandIn
from indexer.immich import tokens as immich_text
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.installs import install
from tests.support.workers import eventually, idle, settings_for, working

Connection = asyncpg.Connection


@pytest.fixture
async def photos(immich: StandIn, database: str, connection: Connection, owner: UUID) -> list[UUID]:
    """Twenty-five of them, all indexed."""
    await install(database)
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(25)]
    async with working(settings_for(database, immich.media.directory)):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 25 FROM immich_indexer.photo"))
        await idle(connection)
    return assets


@pytest.fixture
def models() -> Models:
    return Models(stubs.StubClip(), stubs.StubOcr(), "cpu")


async def texts_are_whole(connection: Connection) -> bool:
    rows = await connection.fetch(
        "SELECT p.text AS ours, s.text AS theirs FROM immich_indexer.photo p"
        ' LEFT JOIN ocr_search s ON s."assetId" = p.asset_id'
    )
    return all(row["theirs"] == immich_text.search_text([row["ours"]]) for row in rows)


async def test_one_photo_is_healed_and_read_again(database, immich, connection, photos, models):
    async with working(settings_for(database, immich.media.directory), models):
        await immich.regenerate_thumbnails(photos[0])
        await eventually(lambda: texts_are_whole(connection))
        await idle(connection)
        assert (models.clip.calls, models.ocr.calls) == (1, 1)
        await immich.regenerate_thumbnails(photos[0], stubs.picture(100))
        await idle(connection)
    assert (models.clip.calls, models.ocr.calls) == (2, 2), "our own healing is no wish"
    text = await connection.fetchval("SELECT text FROM immich_indexer.photo WHERE asset_id = $1", photos[0])
    assert text == stubs.expected_text(100), "the files were rewritten in place, which no event tells of"


async def test_all_thumbnails_are_healed_and_the_first_few_read_again(database, immich, connection, photos, models):
    async with working(settings_for(database, immich.media.directory), models):
        for asset in photos:
            await immich.regenerate_thumbnails(asset)
        await eventually(lambda: texts_are_whole(connection))
        await idle(connection)
        assert models.ocr.calls == 20
        await immich.regenerate_thumbnails(photos[0])
        await idle(connection)
        assert models.ocr.calls == 20, "as long as they keep coming"
        await connection.execute(
            "UPDATE immich_indexer.state SET value = jsonb_set(value, '{at}', to_jsonb(now() - interval '11 minutes'))"
            " WHERE key = 'refreshed'"
        )
        await immich.regenerate_thumbnails(photos[0])
        await idle(connection)
        assert models.ocr.calls == 21, "a new day"
        assert await texts_are_whole(connection)


async def test_all_at_once_are_counted_too(database, immich, connection, photos, models):
    """Pressed while no indexer was running."""
    for asset in photos:
        await immich.regenerate_thumbnails(asset)
    async with working(settings_for(database, immich.media.directory), models):
        await eventually(lambda: texts_are_whole(connection))
        await idle(connection)
    assert models.ocr.calls == 20


async def test_edits_and_immichs_own_ocr_are_no_wish(database, immich, connection, photos, models):
    async with working(settings_for(database, immich.media.directory), models):
        await immich.edit(photos[0], rotate=90)
        await idle(connection)
        await immich.remove_edits(photos[0])  # empties the text
        await idle(connection)
        await immich.edit(photos[1], crop=(0, 7, 8, 1))  # cuts every line away
        await idle(connection)
        await immich.remove_edits(photos[1])
        await immich.immich_ocr_job(photos[2], [])
        await idle(connection)
        await eventually(lambda: texts_are_whole(connection))
    assert (models.clip.calls, models.ocr.calls) == (0, 0)
