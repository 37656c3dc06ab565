"""From every schema that was ever released to the present one, with data in it."""

import asyncpg
import pytest

from indexer.database import schema
from indexer.database.pool import connect_to_immich
from indexer.views import status
from tests.conftest import execute
from tests.support import stubs
from tests.support.installs import install, make_role, schema_of, uninstall
from tests.support.released import FOLDER
from tests.support.workers import eventually, is_indexed, settings_for, working

RELEASED = {int(path.stem): path.read_text(encoding="utf-8") for path in FOLDER.glob("*.sql")}
KEPT = """SELECT (SELECT count(*) FROM immich_indexer.photo WHERE clip IS NOT NULL AND text <> ''),
    (SELECT count(*) FROM immich_indexer.job WHERE dead AND error IS NOT NULL),
    (SELECT count(*) FROM immich_indexer.inbox) + (SELECT count(*) FROM immich_indexer.job WHERE NOT dead)"""


def test_the_present_schema_is_written_down():
    assert sorted(RELEASED) == list(range(1, schema.known_version() + 1)), "run `python -m tests.support.released`"


@pytest.mark.parametrize("version", sorted(RELEASED))
@pytest.mark.parametrize("installer", ["superuser", "role"])
async def test_a_released_schema_becomes_the_present_one(
    version: int, installer: str, database: str, immich, connection: asyncpg.Connection, owner
):
    await execute(database, RELEASED[version])
    assert await schema.version(connection) == version
    assert tuple(await connection.fetchrow(KEPT)) == (1, 1, 1)
    url = await make_role(database) if installer == "role" else database

    change = await install(url)

    assert len(change.migrations) == schema.known_version() - version
    assert len(change.triggers) == 20
    own = await connect_to_immich(url)
    try:
        assert await schema.is_current(own)
        assert (await status.look(own)).queue.dead == 1
    finally:
        await own.close()
    assert tuple(await connection.fetchrow(KEPT)) == (1, 1, 1), "what was known is known still"
    upgraded = await schema_of(database)
    async with working(settings_for(url, immich.media.directory)):
        photo = await immich.upload(stubs.picture(2), owner=owner)
        await eventually(lambda: is_indexed(connection, photo, stubs.picture(2)))
    await uninstall(url)
    if installer == "role":  # with our schema went zhparser's, which only a superuser can make again
        await make_role(database)
    await install(url)
    assert upgraded == await schema_of(database), (
        "an upgrade ends elsewhere than an installation: a released migration may not change. If this version is not "
        "released yet, write it down anew with `python -m tests.support.released`"
    )
