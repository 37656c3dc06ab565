"""A photo that was not read has a row, too: of its facts. Only a search by words may take that for more than no row."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from indexer.database.statements import queries, sql_files
from indexer.demo.immich import StandIn
from indexer.photos import facts
from tests.support import stubs
from tests.support.installs import install
from tests.support.workers import idle, settings_for, working

Connection = asyncpg.Connection

START = UUID(int=0)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

# Where the row of facts is meant: what writes it, drops it, or searches it.
MEANT = {
    *("facts known", "facts stale", "queue drain", "reconcile orphans", "results forget"),
    *(
        "search ranked",
        "search described",
        "suggest places",
        "years years",
        "pinyin learn",
        "pinyin page",
    ),
}
# What writes results and facts, in the row that each photo gets before.
WRITTEN = {"rows lock", "rows stored", "rows write"}


def asked(unread: UUID, owner: UUID) -> dict[str, list[tuple[Any, ...]]]:
    """For each other statement, what it is asked."""
    both = ([unread],)
    return {
        "alike source": [(unread, owner, [owner])],
        "alike sharing": [(owner, [owner], False, uuid4(), ["'img'"], ["'img'"], 100)],
        "forgotten forgotten": [(timedelta(),)],
        "gateway stored": [(b"", "stub clip", "stub ocr")],
        "hybrid described": [both],
        "photos describe": [both],
        "photos previews_with_text": [(100,)],
        "queue reap": [([uuid4()], [datetime.now(UTC)], 3, 1e9, 1e9)],
        "reconcile missing": [
            (START, 100, "stub clip", "stub ocr", None),
            (START, 100, None, "stub ocr", "a newer clip"),
        ],
        "reconcile undone": [(START, 100, 0, 0, 512)],
        "reconcile altered": [(START, 100, 512, LONG_AGO)],
        "reconcile foreign_vectors": [()],
        "schema left_behind": [()],
        "selection chosen": [
            (None, None, None, no_text, "a newer clip", "a newer ocr", other_model, failed)
            for no_text, other_model, failed in ((True, False, False), (False, True, False), (False, False, True))
        ],
        "sets has_vectors": [("stub clip",), ("a newer clip",)],
        "sets keep": [(*both, "a newer clip")],
        "sets made": [()],
        "sets progress": [("stub clip",), ("a newer clip",)],
        "sets replace": [(*both, "stub clip")],
        "sets settle": [(100,)],
        "shown shown": [(unread, owner, [owner])],
        "status in_use": [()],
        "suggest texts": [(owner, False, ["'img'"], 100)],
        "status progress": [(None, "stub clip", "stub ocr"), (owner, None, None)],
        "turn unstaged": [("stub clip", START, 100), ("a newer clip", START, 100)],
        "trials sample": [(100,)],
        "turn mark": [("stub clip",)],
        "turn forget_stale": [()],
        "words matches": [([owner], ["'img'"], None, "[]", "'img'", 100, 100)],
        "words vectors": [([unread], 512, 0)],
        "words state": [(1000,)],
        "words grown": [(LONG_AGO, 100)],
        "words sample": [(1000,)],
    }


@pytest.fixture
async def unread(database: str, immich: StandIn, connection: Connection, owner: UUID) -> UUID:
    """A photo with facts that was given up, beside one that was read. Another program has written a vector of it."""
    await install(database)
    read = await immich.upload(stubs.picture(1), owner=owner)
    unread = await immich.upload(b"no picture", owner=owner)
    async with working(settings_for(database, immich.media.directory, max_attempts=1)):
        await idle(connection)
    await connection.execute(
        'INSERT INTO smart_search SELECT $1, embedding FROM smart_search WHERE "assetId" = $2', unread, read
    )
    async with connection.transaction():
        await facts.refresh(connection, [read, unread])
    assert await connection.fetchval("SELECT count(digest) = 1 AND count(*) = 2 FROM immich_indexer.photo")
    return unread


def naming() -> set[str]:
    """All statements that name our table of photos."""
    return {
        f"{path.stem} {name}"
        for path in sql_files("queries/*.sql")
        for name, text in queries(path.stem).items()
        if "immich_indexer.photo " in text.replace("\n", " ")
    }


async def test_each_answer_is_that_of_no_row(connection: Connection, unread: UUID, owner: UUID):
    table = asked(unread, owner)
    assert table.keys() | MEANT | WRITTEN == naming(), "say of a new statement what it makes of a row without a digest"

    async def answers() -> dict[str, list[Any]]:
        answered: dict[str, list[Any]] = {}
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(queries("turn")["stage"])
        for name, calls in table.items():
            file, query = name.split()
            statement = await connection.prepare(queries(file)[query])
            answered[name] = []
            for arguments in calls:
                rows = await statement.fetch(*arguments)
                answered[name].append((statement.get_statusmsg(), [comparable(row) for row in rows]))
        await transaction.rollback()
        return answered

    with_facts = await answers()
    await connection.execute("DELETE FROM immich_indexer.photo WHERE asset_id = $1", unread)
    without = await answers()
    for name, answer in with_facts.items():
        assert answer == without[name], name


def comparable(row: asyncpg.Record) -> dict[str, Any]:
    """Without the time and how far a page goes, and with no order where there is none."""
    return {key: sorted(value) if key == "ids" else value for key, value in row.items() if key not in ("time", "last")}


async def test_reprocess_says_that_it_was_not_read(database: str, immich: StandIn, connection: Connection, owner: UUID):
    await install(database)
    photo = await immich.receive(owner=owner)
    async with connection.transaction():
        await facts.refresh(connection, [photo])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "indexer.cli", "reprocess", str(photo)),
        env=os.environ | {"DB_URL": database},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert "not read: it is hidden, offline, in the trash, or has no preview yet" in " ".join(said.decode().split())
    assert process.returncode == 1


@pytest.mark.parametrize("statement", ["reconcile orphans", "results forget"])
async def test_what_immich_shows_no_longer_keeps_no_facts_unless_it_was_read(
    connection: Connection, immich: StandIn, unread: UUID, statement: str
):
    """A photo that comes back needs no second reading. Its facts are asked for in any case."""
    read = await connection.fetchval("SELECT asset_id FROM immich_indexer.photo WHERE digest IS NOT NULL")
    file, name = statement.split()

    async def left() -> set[UUID]:
        await connection.execute(queries(file)[name], *([[read, unread]] if name == "forget" else []))
        return {row["asset_id"] for row in await connection.fetch("SELECT asset_id FROM immich_indexer.photo")}

    assert await left() == {read, unread}
    for asset in (read, unread):
        await immich.trash(asset)
    assert await left() == {read}
