"""What differs between versions of Immich, and what an upgrade of Immich does beneath a running indexer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from indexer.database import schema
from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import VERSIONS, StandIn, Version
from indexer.errors import SchemaError
from indexer.photos.lexical import VERSION as WORDS
from indexer.text import tokens
from indexer.work.reconcile import Reconciler
from indexer.work.worker import Models
from tests.conftest import every_version
from tests.support import stubs
from tests.support.installs import make_role, schema_of, uninstall
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, idle, is_indexed, lines_of, settings_for, working

Connection = asyncpg.Connection

ROWS = """SELECT (SELECT count(*) FROM smart_search WHERE "assetId" = $1)
    + (SELECT count(*) FROM asset_ocr WHERE "assetId" = $1) + (SELECT count(*) FROM ocr_search WHERE "assetId" = $1)"""


@asynccontextmanager
async def open_pool_of(url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(url, size=2)
    try:
        yield pool
    finally:
        pool.terminate()


@pytest.mark.parametrize("immich_version", ["2.7"])
async def test_immich_is_upgraded_beneath_us(superuser_url: str, immich: StandIn, connection: Connection, owner: UUID):
    """As a person does it, with the least rights: the indexer goes on over every change of Immich's schema.

    Immich 3 has a table that 2.7 did not, which its own trigger writes with the rights of whoever changes a line.
    """
    role = await make_role(superuser_url)
    photos = {}
    async with working(settings_for(role, immich.media.directory)), open_pool_of(role) as pool:
        for number, version in enumerate(VERSIONS):
            if version != "2.7":
                await immich.upgrade(version)
            with capture_logs() as logs:
                photos[number] = await immich.upload(stubs.picture(number), owner=owner)
                if version == "3.1":
                    with pytest.raises(SchemaError, match=r"INSERT on asset_ocr_audit: .*run sql/role.sql"):
                        await Reconciler(pool, role, None, None).round(thorough=False)
                    await eventually(
                        lambda logs=logs: says(logs, "table asset_ocr_audit (start the service `role` again")
                    )
                    assert await make_role(superuser_url) == role
            await Reconciler(pool, role, None, None).round(thorough=False)
            await eventually(lambda number=number: is_indexed(connection, photos[number], stubs.picture(number)))
            await connection.execute("SELECT immich_indexer.reprocess($1)", photos[0])
            await idle(connection)
            assert await schema.missing_triggers(connection) == []
    for number, asset in photos.items():
        assert await is_indexed(connection, asset, stubs.picture(number))
    assert await immich.version() == VERSIONS[-1]
    await uninstall(role)
    assert "immich_indexer_" not in await schema_of(superuser_url), "none of our triggers stays"


async def says(logs: list[dict[str, Any]], words: str) -> bool:
    return any(words in entry.get("reason", "") for entry in logs if entry["log_level"] == "warning")


@every_version
async def test_phones_are_told_of_every_line_we_change(
    database: str, immich: StandIn, connection: Connection, owner: UUID, immich_version: Version
):
    """A phone asks for rows with a new "updateId", which only 3.2 gives to a row that is updated."""
    say = ["one", "two"]
    models = Models(StubClip(), StubOcr(say=lambda _: say), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: has_lines(connection, asset, "one", "two"))
        await idle(connection)
        before = await connection.fetch("SELECT * FROM asset_ocr")
        await connection.execute("SELECT immich_indexer.reprocess($1)", asset)
        await idle(connection)
        assert await connection.fetch("SELECT * FROM asset_ocr") == before, "read again, and nothing new to tell"
        say[:] = ["one", "three"]
        await connection.execute("SELECT immich_indexer.reprocess($1)", asset)
        await eventually(lambda: has_lines(connection, asset, "one", "three"))
    after = await connection.fetch("SELECT * FROM asset_ocr")
    assert not {row["id"] for row in before} & {row["id"] for row in after}
    if immich_version == "2.7":
        return
    assert min(row["updateId"] for row in after) > max(row["updateId"] for row in before)
    assert await connection.fetchval('SELECT count(*) FROM asset_ocr_audit WHERE "assetId" = $1', asset) == 2


async def has_lines(connection: Connection, asset: UUID, *lines: str) -> bool:
    return await lines_of(connection, asset) == list(lines)


async def test_rows_stay_in_the_trash_as_immichs_own_do_and_none_is_added_there(
    database: str, immich: StandIn, connection: Connection, owner: UUID
):
    """A search with a filter shows them, as those that Immich's own jobs wrote: to take them away is not for us."""
    models = Models(StubClip(), StubOcr(), "cpu")
    ways = {immich.trash: immich.restore, immich.hide: immich.unhide, immich.go_offline: immich.come_online}
    question = [1.0, *[0.0] * 511]
    settings = settings_for(database, immich.media.directory)
    async with working(settings, models), open_pool_of(database) as pool:
        reconciler = Reconciler(pool, database, models.clip.name, models.ocr.name)
        photos = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
        for number, asset in enumerate(photos):
            await eventually(lambda number=number, asset=asset: is_indexed(connection, asset, stubs.picture(number)))
        await idle(connection)
        for asset, put_away in zip(photos, ways, strict=True):
            await put_away(asset)
        unread = await immich.upload(stubs.picture(9), owner=owner, visibility="hidden")
        await idle(connection)
        await reconciler.round(thorough=True)
        assert set(await immich.filtered_search(question, owner)) == set(photos)
        read = models.ocr.calls

        await immich.smart_search_all()
        await immich.ocr_all()
        await connection.execute("UPDATE immich_indexer.photo SET tokens_version = 0, vector_version = 0")
        await reconciler.round(thorough=True)
        await idle(connection)
        for asset in (*photos, unread):
            assert await connection.fetchval(ROWS, asset) == 0
        assert await immich.filtered_search(question, owner) == []

        for number, (asset, bring_back) in enumerate(zip(photos, ways.values(), strict=True)):
            await bring_back(asset)
            await eventually(lambda number=number, asset=asset: is_indexed(connection, asset, stubs.picture(number)))
        versions = await connection.fetch("SELECT DISTINCT tokens_version, vector_version FROM immich_indexer.photo")
        assert [tuple(row) for row in versions] == [(tokens.VERSION, WORDS)]
    assert models.ocr.calls == read, "from our own copy"
