"""Our schema in Immich's database: put in and taken out without Immich noticing."""

import asyncio
import os
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog
from click.testing import CliRunner

from indexer.cli.main import main
from indexer.database import schema, tuning, zhparser
from indexer.database.pool import connect_to_immich
from indexer.database.statements import sql, sql_files
from indexer.demo.immich import OcrLine, StandIn
from indexer.demo.server import THROWAWAY, EmbeddedServer, on_server
from indexer.errors import SchemaError
from indexer.text import tokens
from indexer.text.query import parse
from tests.conftest import IMMICH_ROLE, every_version
from tests.support import stubs
from tests.support.installs import install, make_role, schema_of, uninstall
from tests.support.workers import eventually, settings_for, working

Connection = asyncpg.Connection

# Whatever an install may have touched, with the transaction that wrote it.
EVERYTHING = """
SELECT 'trigger', oid::text, xmin::text FROM pg_trigger
UNION ALL SELECT 'function', oid::text, xmin::text FROM pg_proc
UNION ALL SELECT 'relation', oid::text, xmin::text FROM pg_class
UNION ALL SELECT 'namespace', oid::text, xmin::text FROM pg_namespace
UNION ALL SELECT 'extension', oid::text, xmin::text FROM pg_extension
UNION ALL SELECT 'configuration', oid::text, xmin::text FROM pg_ts_config
UNION ALL SELECT 'setting', setconfig::text, xmin::text FROM pg_db_role_setting
UNION ALL SELECT 'migration', version::text, xmin::text FROM immich_indexer.migration
UNION ALL SELECT 'state', key, xmin::text FROM immich_indexer.state
ORDER BY 1, 2
"""
SETTINGS = """
SELECT coalesce(array_agg(setting ORDER BY setting), '{}') FROM pg_db_role_setting, unnest(setconfig) AS setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.fixture
async def installed(database: str) -> str:
    await install(database)
    return database


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def open_transaction(url: str, *statements: str) -> AsyncIterator[Connection]:
    async with connected(url) as connection:
        await connection.transaction().start()
        for statement in statements:
            await connection.execute(statement)
        yield connection


async def tries_again(connection: Connection) -> None:
    """Waits until a program of ours has given up waiting for a lock, and waits for it once more."""
    tries = set()

    async def two() -> bool:
        tries.update(
            await connection.fetch(
                """SELECT xact_start FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'immich-indexer' AND wait_event_type = 'Lock'"""
            )
        )
        return len(tries) >= 2

    await eventually(two)


async def inbox(connection: Connection) -> list[tuple[str, ...]]:
    """The tasks of all wishes, which are then gone."""
    rows = await connection.fetch("DELETE FROM immich_indexer.inbox RETURNING tasks")
    return sorted(tuple(row["tasks"]) for row in rows)


# Installing


async def test_installing_again_changes_nothing_and_waits_for_nobody(installed: str, connection: Connection):
    before = await connection.fetch(EVERYTHING)
    tables = ", ".join(schema.TABLES)
    async with open_transaction(installed, f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"), asyncio.timeout(5):
        change = await install(installed)
    assert await connection.fetch(EVERYTHING) == before
    assert not change


async def test_an_install_says_what_it_did(database: str, connection: Connection):
    change = await install(database)
    assert change.migrations == ["0001_initial", "0002_facts", "0003_models"]
    assert len(change.triggers) == await connection.fetchval(
        "SELECT count(*) FROM pg_trigger WHERE tgname ~ 'immich_indexer'"
    )
    assert any("hnsw.ef_search = 1000" in note for note in change.done)


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE asset_file DISABLE TRIGGER immich_indexer_insert",
        "ALTER TABLE asset_file ENABLE ALWAYS TRIGGER immich_indexer_insert",
        "DROP TRIGGER immich_indexer_insert ON asset_file",
        "CREATE OR REPLACE TRIGGER immich_indexer_insert AFTER INSERT ON asset_file REFERENCING NEW TABLE AS new_rows"
        " FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION immich_indexer.on_preview_write()",
    ],
)
async def test_a_trigger_that_is_not_right_is_put_right(installed: str, connection: Connection, damage: str):
    await connection.execute(damage)
    assert await schema.missing_triggers(connection) == ["asset_file.immich_indexer_insert"]
    assert not await schema.is_current(connection)
    change = await install(installed)
    assert change.triggers == ["asset_file.immich_indexer_insert"]
    assert await schema.is_current(connection)
    assert (
        await connection.fetchval("SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgname ~ 'immich_indexer'") == b"O"
    )


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER FUNCTION immich_indexer.on_tag_write() SECURITY INVOKER",
        "ALTER FUNCTION immich_indexer.on_tag_write() RESET search_path",
        "ALTER FUNCTION immich_indexer.on_tag_write() SET search_path = public",
        "GRANT EXECUTE ON FUNCTION immich_indexer.on_tag_write() TO PUBLIC",
        "CREATE OR REPLACE FUNCTION immich_indexer.on_tag_write() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RETURN NULL; END'",
    ],
)
async def test_a_function_that_is_not_right_is_put_right(installed: str, connection: Connection, damage: str):
    definition = """
        SELECT pg_get_functiondef(oid), EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0)
        FROM pg_proc WHERE pronamespace = 'immich_indexer'::regnamespace AND proname = 'on_tag_write'
    """
    right = await connection.fetchrow(definition)
    await connection.execute(damage)
    assert await connection.fetchrow(definition) != right
    await install(installed)
    assert await connection.fetchrow(definition) == right


async def test_a_busy_immich_is_waited_for_and_never_held_up(
    database: str, immich: StandIn, immich_url: str, connection: Connection, asset: uuid.UUID
):
    longest = 0.0

    async def go_on_working() -> None:
        nonlocal longest
        while True:
            start = time.monotonic()
            await immichs.execute("UPDATE asset_file SET path = path")
            longest = max(longest, time.monotonic() - start)
            await asyncio.sleep(0.01)

    insert = "INSERT INTO asset_file (\"assetId\", type, path) SELECT id, 'sidecar', '' FROM asset"
    async with open_transaction(immich_url, insert) as busy, connected(immich_url) as immichs:
        installing = asyncio.create_task(install(database))
        working = asyncio.create_task(go_on_working())
        await tries_again(connection)
        assert not installing.done()
        await busy.execute("COMMIT")
        async with asyncio.timeout(10):
            change = await installing
        working.cancel()
    assert "asset_file.immich_indexer_insert" in change.triggers
    lock_timeout = float(schema.LOCK_TIMEOUT.removesuffix("ms")) / 1000
    assert longest < lock_timeout + 0.5, "an upload waited for our install"
    assert longest > lock_timeout / 2, "this test saw nobody wait at all"


async def test_a_transaction_left_open_is_named(database: str, immich_url: str, connection: Connection):
    async with open_transaction(immich_url, "LOCK TABLE asset_file IN ROW EXCLUSIVE MODE"):
        with pytest.raises(SchemaError, match=r"could not lock asset_file for 1 s.*idle in transaction"):
            await install(database, patience=1)
    change = await install(database)
    assert change.migrations == []
    assert await schema.is_current(connection)


async def test_a_newer_schema_is_left_alone(installed: str, connection: Connection):
    await connection.execute("INSERT INTO immich_indexer.migration (version, name) VALUES (999, 'from the future')")
    message = "schema version 999, this immich-indexer knows 3: upgrade immich-indexer"
    with pytest.raises(SchemaError, match=message):
        await install(installed)
    with pytest.raises(SchemaError, match=message):
        await schema.require(connection)
    assert not await schema.is_current(connection)


async def test_not_installed_says_what_to_run(database: str, connection: Connection):
    assert await schema.version(connection) == 0
    assert not await schema.is_current(connection)
    with pytest.raises(SchemaError, match="run `immich-indexer install`"):
        await schema.require(connection)
    await install(database)
    assert await schema.require(connection) == schema.known_version()


async def test_several_may_install_at_once(database: str, connection: Connection):
    changes = await asyncio.gather(*(install(database) for _ in range(4)))
    assert sorted(len(change.migrations) for change in changes) == [0, 0, 0, schema.known_version()]
    assert sorted(len(change.triggers) for change in changes)[:3] == [0, 0, 0]
    assert await schema.is_current(connection)


async def test_an_install_that_froze_keeps_nobody_out(database: str, monkeypatch: pytest.MonkeyPatch):
    frozen, begun = await connect_to_immich(database), asyncio.Event()

    async def freeze(*_: object) -> None:  # the first thing that it does, being the only one that installs
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(schema, "FROZEN", "300ms")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "version", freeze)
        installing = asyncio.create_task(schema.install(frozen))
        await begun.wait()
    async with asyncio.timeout(20):
        assert (await install(database)).migrations
    installing.cancel()  # it wakes, and has lost its connection
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await installing


async def test_a_database_that_is_not_immichs(server_url: str):
    name = f"not_immich_{uuid.uuid4().hex}"
    url = on_server(server_url, name)
    administrator = await asyncpg.connect(server_url)
    await administrator.execute(f"CREATE DATABASE {name}")
    try:
        with pytest.raises(SchemaError, match=r"no pgvector extension: it is not Immich's \(check DB_DATABASE_NAME\)"):
            await install(url)
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE EXTENSION vector; CREATE TABLE asset (id int)")
        with pytest.raises(SchemaError, match=r"lacks Immich's tables asset_file, .*check DB_DATABASE_NAME"):
            await install(url)
        assert await connection.fetchval("SELECT to_regnamespace('immich_indexer')") is None
        await connection.close()
    finally:
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await administrator.close()


@every_version
async def test_every_version_of_immich(database: str, immich: StandIn, connection: Connection, owner: uuid.UUID):
    before = await schema_of(database)
    await install(database)
    async with working(settings_for(database, immich.media.directory)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await immich.immich_ocr_job(asset, [OcrLine("from Immich")])
        lines = "SELECT array_agg(text) = ARRAY[$1::text] FROM asset_ocr"
        await eventually(lambda: connection.fetchval(lines, stubs.expected_text(1)))
    await uninstall(database)
    assert await schema_of(database) == before


async def test_immichs_own_role_may_install(immich_url: str, connection: Connection):
    """The same login for both is what most people will use; here it is no superuser."""
    change = await install(immich_url)
    assert await schema.is_current(connection)
    assert any("hnsw.ef_search = 1000" in note for note in change.done)
    await uninstall(immich_url)


# Removing


async def test_uninstall_leaves_no_trace(database: str, connection: Connection):
    name = urlsplit(database).path[1:]
    await connection.execute(f"""ALTER DATABASE {name} SET search_path = "$user", public, vectors""")
    dump, settings = await schema_of(database), await connection.fetchval(SETTINGS)
    await install(database)
    assert await schema_of(database) != dump
    assert len(await connection.fetchval(SETTINGS)) == len(settings) + len(tuning.WANTED["hnsw"])
    await uninstall(database)
    assert await schema_of(database) == dump
    assert await connection.fetchval(SETTINGS) == settings
    assert "nothing to do" in (await uninstall(database))[0]


async def test_settings_that_somebody_made_are_left_alone(database: str, connection: Connection):
    name = urlsplit(database).path[1:]
    await connection.execute(f"LOAD 'vector'; ALTER DATABASE {name} SET hnsw.ef_search = 77")
    await install(database)
    assert await connection.fetchval(SETTINGS) == ["hnsw.ef_search=77", "hnsw.iterative_scan=strict_order"]
    await uninstall(database)
    assert await connection.fetchval(SETTINGS) == ["hnsw.ef_search=77"]


async def test_settings_changed_or_removed_after_an_install(database: str, connection: Connection):
    name = urlsplit(database).path[1:]
    await install(database)
    await connection.execute(f"LOAD 'vector'; ALTER DATABASE {name} RESET hnsw.ef_search")
    await install(database)  # sets it again
    await connection.execute(f"ALTER DATABASE {name} SET hnsw.ef_search = 123")
    await uninstall(database)
    assert await connection.fetchval(SETTINGS) == ["hnsw.ef_search=123"]


async def test_uninstall_says_what_stays(database: str, immich: StandIn, connection: Connection, owner: uuid.UUID):
    async with working(settings_for(database, immich.media.directory)):
        for number in range(2):
            await immich.upload(stubs.picture(number), owner=owner)
        await eventually(lambda: connection.fetchval("SELECT count(*) = 2 FROM asset_ocr"))
    notes = await uninstall(database)
    assert len(notes) == 1
    assert re.match(r"2 vectors stay in smart_search and the texts of 2 photos in asset_ocr and ocr_search", notes[0])
    assert "Smart Search > All" in notes[0]
    assert "OCR > All" in notes[0]
    assert await connection.fetchval("SELECT count(*) FROM smart_search") == 2


async def test_uninstall_refuses_while_an_indexer_runs(database: str, immich: StandIn, connection: Connection):
    async with working(settings_for(database, immich.media.directory)):
        with pytest.raises(SchemaError, match=r"an indexer is running.*stop it first \(.*:\d+\)"):
            await uninstall(database)
    await uninstall(database)
    assert await connection.fetchval("SELECT to_regnamespace('immich_indexer')") is None


async def test_uninstall_waits_for_a_busy_immich(installed: str, immich_url: str, connection: Connection):
    async with open_transaction(immich_url, "LOCK TABLE asset IN ROW EXCLUSIVE MODE") as busy:
        with pytest.raises(SchemaError, match="could not lock Immich's tables for 1 s"):
            await uninstall(installed, patience=1)
        assert await schema.missing_triggers(connection) == []
        leaving = asyncio.create_task(uninstall(installed))
        await tries_again(connection)
        assert not leaving.done()
        await busy.execute("COMMIT")
        async with asyncio.timeout(10):
            await leaving
    assert await connection.fetchval("SELECT count(*) FROM pg_trigger WHERE tgname ~ 'immich_indexer'") == 0


# Triggers


async def test_triggers_stand_in_the_way_of_nothing(installed: str, connection: Connection):
    """No WHEN and no UPDATE OF: either would block Immich's own later changes of those columns."""
    triggers = await connection.fetch("SELECT * FROM pg_trigger WHERE tgname ~ 'immich_indexer'")
    assert len(triggers) == 20
    for trigger in triggers:
        assert trigger["tgqual"] is None
        assert trigger["tgattr"] in ("", [], None)
        joined = trigger["tgoldtable"] is not None and trigger["tgnewtable"] is not None
        assert not joined, "joined as planned for a few rows: the square of their number"


async def test_functions_are_safe_to_run_with_our_rights(installed: str, connection: Connection):
    rows = await connection.fetch(
        """SELECT proname, prosecdef, proconfig, prorettype = 'trigger'::regtype AS trigger,
                  proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0) AS public
           FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^immich_indexer'
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e')"""  # zhparser's
    )
    functions = {row["proname"]: row for row in rows}
    as_whoever_writes = {
        name for name, function in functions.items() if function["trigger"] and not function["prosecdef"]
    }
    assert as_whoever_writes == {
        *("on_album_write", "on_asset_update", "on_exif_write", "on_preview_write", "on_tag_update")
    }
    for name, function in functions.items():
        if name in as_whoever_writes:  # it has no rights that whoever calls it has not
            assert function["proconfig"] is None, name
        else:
            assert "search_path=pg_catalog, pg_temp" in function["proconfig"], name
    assert {name for name, function in functions.items() if function["public"]} == {"note_change", "note_photo"}
    assert sum(function["trigger"] for function in functions.values()) == 11


@pytest.mark.parametrize(
    "damage",
    [
        "SELECT",
        "REVOKE ALL ON SCHEMA immich_indexer_2 FROM PUBLIC",
        "REVOKE ALL ON FUNCTION immich_indexer_2.note_change FROM PUBLIC",
        "REVOKE ALL ON FUNCTION immich_indexer_2.note_photo FROM PUBLIC",
    ],
)
async def test_whoever_may_write_immichs_tables_has_that_noted(
    installed: str, connection: Connection, asset: uuid.UUID, damage: str
):
    """A tool of a person's with a role of its own, which neither Immich nor we know of."""
    await connection.execute(f"{damage}; DELETE FROM immich_indexer.inbox; DELETE FROM immich_indexer_2.change")
    await install(installed)
    async with open_transaction(installed, "CREATE ROLE tool") as tool:
        await tool.execute(
            "GRANT SELECT, UPDATE ON asset, asset_file, asset_exif TO tool; SET LOCAL ROLE tool;"
            " UPDATE asset SET \"originalFileName\" = 'other';"
            " UPDATE asset_file SET path = path;"
            " UPDATE asset_exif SET city = 'other'"
        )
        for forbidden in ("SELECT FROM immich_indexer_2.change", "SELECT immich_indexer_2.facts('{}')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with tool.transaction():
                    await tool.execute(forbidden)
        await tool.execute("RESET ROLE")
        assert await tool.fetchval("SELECT count(*) FROM immich_indexer_2.change WHERE id = $1", asset) == 2
        assert await tool.fetchval("SELECT count(*) FROM immich_indexer.inbox") == 1


BROKEN = [
    "ALTER TABLE immich_indexer.inbox RENAME TO elsewhere",
    "ALTER TABLE immich_indexer.inbox DROP COLUMN tasks",
    "ALTER TABLE immich_indexer.inbox ADD CHECK (false)",
    f"ALTER FUNCTION immich_indexer.on_preview_write() OWNER TO {IMMICH_ROLE};"
    f" ALTER FUNCTION immich_indexer.on_asset_update() OWNER TO {IMMICH_ROLE};"
    f" ALTER FUNCTION immich_indexer.on_ocr_search_write() OWNER TO {IMMICH_ROLE}",
]


@pytest.mark.parametrize("damage", BROKEN, ids=["renamed", "other columns", "refuses", "no rights"])
async def test_trouble_of_ours_is_a_warning_of_immichs(
    installed: str, immich_url: str, immich: StandIn, connection: Connection, owner: uuid.UUID, damage: str
):
    await connection.execute(damage)
    warnings: list[str] = []
    own = await asyncpg.connect(immich_url)
    own.add_log_listener(lambda _, message: warnings.append(f"{message.severity} {message.message}"))
    immich.database = own
    asset = await immich.upload(stubs.picture(1), owner=owner)
    await immich.immich_ocr_job(asset, [OcrLine("text")])
    await immich.trash(asset)
    await immich.restore(asset)
    await own.close()
    assert await connection.fetchval("SELECT count(*) FROM asset_file") == 2
    assert await connection.fetchval("SELECT text FROM ocr_search") == "text"
    assert warnings
    assert all(warning.startswith("WARNING immich-indexer: ") for warning in warnings)


async def test_immich_may_change_what_our_functions_read(
    installed: str, immich: StandIn, connection: Connection, asset: uuid.UUID, owner: uuid.UUID
):
    await immich.name_person(owner, await immich.recognise(asset), "张三")
    await immich.create_album(owner, "相册", asset)
    await immich.tag(asset, "江南")
    await inbox(connection)
    await connection.execute("DELETE FROM immich_indexer_2.change")
    renamed = {
        "asset": ("isOffline", "originalFileName"),
        "asset_file": ("isEdited",),
        "asset_exif": ("city",),
        "asset_face": ("deletedAt",),
        "person": ("isHidden",),
        "album": ("albumName",),
        "album_asset": ("assetId",),
        "tag": ("value",),
        "tag_asset": ("assetId",),
        "ocr_search": ("assetId",),
    }
    for table, columns in renamed.items():
        for column in columns:
            await connection.execute(f'ALTER TABLE {table} RENAME COLUMN "{column}" TO "other_{column}"')
    await connection.execute("ALTER TABLE asset ALTER COLUMN duration TYPE varchar")
    await connection.execute("ALTER TABLE asset DROP COLUMN visibility CASCADE")
    await connection.execute(
        """UPDATE asset SET status = 'trashed'; UPDATE asset_file SET path = path;
           UPDATE asset_exif SET country = '中国'; UPDATE asset_face SET "isVisible" = false;
           UPDATE person SET name = '李四'; UPDATE album SET "updatedAt" = now(); UPDATE tag SET other_value = '江北';
           INSERT INTO ocr_search SELECT id, '' FROM asset; DELETE FROM ocr_search;
           DELETE FROM album_asset; DELETE FROM tag_asset; DELETE FROM asset_face; DELETE FROM person"""
    )
    assert await inbox(connection) == []
    assert await connection.fetch("SELECT FROM immich_indexer_2.change") == []


async def test_a_lock_on_the_inbox_does_not_hold_immich_up(
    installed: str, immich: StandIn, connection: Connection, owner: uuid.UUID
):
    async with open_transaction(installed, "LOCK TABLE immich_indexer.inbox IN ACCESS EXCLUSIVE MODE"):
        async with asyncio.timeout(5):
            asset = await immich.upload(stubs.picture(1), owner=owner)
    assert await connection.fetchval('SELECT count(*) FROM asset_file WHERE "assetId" = $1', asset) == 2


async def test_a_lock_holds_a_statement_up_once_and_not_for_each_row(
    installed: str, immich: StandIn, connection: Connection, owner: uuid.UUID
):
    """All that a statement changes is noted row by row, and it waits 100 ms for a lock."""
    photos = [await immich.upload(stubs.picture(1), owner=owner) for _ in range(60)]
    someone = None
    for asset in photos:
        someone = await immich.recognise(asset, someone)
    lock = "LOCK TABLE immich_indexer.inbox, immich_indexer_2.change IN ACCESS EXCLUSIVE MODE"
    async with open_transaction(installed, lock), asyncio.timeout(5):
        await connection.execute('UPDATE asset SET "fileCreatedAt" = \'2020-01-01\', "isEdited" = true')
        await connection.execute("UPDATE asset_exif SET description = '新'")
        await connection.execute("UPDATE asset_file SET path = path || 'x'")
        await connection.execute('UPDATE asset_face SET "isVisible" = false')
        await connection.execute("UPDATE person SET name = '张三'")
    await immich.describe(photos[0], "旧")
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer_2.change WHERE id = $1", photos[0])


async def test_immich_may_change_the_width_of_its_vectors(
    installed: str, immich: StandIn, connection: Connection, asset
):
    await immich.immich_clip_job(asset, [1.0] + [0.0] * 511)
    for width in (1024, 512):
        await immich.change_clip_model(width)
        assert await schema.vector_width(connection) == width
        await immich.immich_clip_job(asset, [1.0] + [0.0] * (width - 1))
    await immich.smart_search_all()
    await immich.ocr_all()


async def test_what_is_asked_for(installed: str, immich: StandIn, connection: Connection, owner: uuid.UUID):
    asset = await immich.receive(owner=owner)
    assert await inbox(connection) == [], "no preview: not ready"
    await immich.generate_thumbnails(asset, stubs.picture(1))
    everything, text = ("clip", "ocr"), ("text",)
    assert await inbox(connection) == [everything]
    await immich.change_preview_format(asset, "webp")
    assert await inbox(connection) == [everything]

    await immich.immich_ocr_job(asset, [OcrLine("text")])
    assert await inbox(connection) == [text]
    await immich.regenerate_thumbnails(asset)
    assert await inbox(connection) == [("text", "refreshed")]
    await immich.edit(asset, crop=(0, 0, 4, 4))
    assert await inbox(connection) == [text] * 3  # the asset, the lines, and the edited preview
    await immich.remove_edits(asset)
    assert await inbox(connection) == [text] * 2
    await immich.immich_ocr_job(asset, [])
    assert await inbox(connection) == [text]
    await immich.ocr_all()
    await immich.smart_search_all()
    assert await inbox(connection) == []

    for nothing in (immich.favourite, immich.archive, immich.unhide, immich.lock, immich.refresh_metadata, immich.hide):
        await nothing(asset)
        assert await inbox(connection) == [], nothing
    await immich.unhide(asset)
    assert await inbox(connection) == [everything]
    await immich.tag(asset, "receipts")
    await immich.immich_faces_job(asset)
    await immich.immich_clip_job(asset, [1.0] + [0.0] * 511)
    for away, back in ((immich.trash, immich.restore), (immich.go_offline, immich.come_online)):
        await away(asset)
        assert await inbox(connection) == []
        await back(asset)
        assert await inbox(connection) == [everything]
    await immich.delete_for_good(asset)
    assert await inbox(connection) == []


async def test_the_doorbell_rings_once_a_statement_and_says_nothing(installed: str, immich: StandIn, connection, owner):
    rings: list[object] = []
    assets = [await immich.receive(owner=owner) for _ in range(3)]
    await connection.add_listener("immich_indexer", lambda *ring: rings.append(ring[3]))
    await immich.refresh_metadata(assets[0])
    await connection.fetch("SELECT 1")
    await immich.database.execute("UPDATE asset_exif SET city = '上海'")  # no preview: an upload
    await connection.fetch("SELECT 1")
    assert rings == []
    await immich.database.execute(
        "INSERT INTO asset_file (\"assetId\", type, path) SELECT id, 'preview', '' FROM unnest($1::uuid[]) AS id",
        assets,
    )
    await connection.fetch("SELECT 1")
    assert rings == [""]
    assert await inbox(connection) == [("clip", "ocr")] * 3
    rings.clear()
    await immich.database.execute("UPDATE asset_exif SET city = '北京'")
    await connection.fetch("SELECT 1")
    assert rings == [], "an edit is looked for: a notification would take as long as Immich's own write"
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer_2.change") == 3


async def test_a_full_doorbell_does_not_ring(tmp_path):
    """A full notification queue fails the transaction that rings at its commit: Immich's."""
    if "TEST_DATABASE_URL" in os.environ:
        pytest.skip("needs a server with a tiny notification queue")
    with EmbeddedServer(settings={**THROWAWAY, "max_notify_queue_pages": "64"}) as server:
        immich = StandIn(await asyncpg.connect(server.url()), tmp_path)
        await immich.install()
        await install(server.url())
        polling = await asyncpg.connect(server.url())
        await polling.execute("LISTEN immich_indexer; LISTEN other; BEGIN; SELECT 1")
        for number in range(1000):
            if await immich.database.fetchval("SELECT pg_notification_queue_usage()") > 0.9:
                break
            await immich.database.execute("SELECT pg_notify('other', repeat($1, 4000))", chr(ord("a") + number % 26))
        rings: list[object] = []
        await polling.add_listener("immich_indexer", lambda *ring: rings.append(ring))
        asset = await immich.upload(stubs.picture(1), owner=await immich.create_user("ann"))
        assert await inbox(immich.database) == [("clip", "ocr")]
        await polling.execute("COMMIT")
        await polling.execute("SELECT 1")
        assert rings == []
        await immich.change_preview_format(asset, "webp")
        await polling.execute("SELECT 1")
        assert len(rings) == 1
        await polling.close()
        await immich.database.close()


# What restores of Immich's backups depend on (sql/README.md)


async def test_the_first_schema_has_just_these_objects(installed: str, connection: Connection):
    """A released schema may not gain an object: restoring an older backup would fail."""
    objects = await connection.fetch(
        """SELECT oid::regclass::text FROM pg_class
               WHERE relnamespace = 'immich_indexer'::regnamespace AND relkind <> 'i'
           UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'immich_indexer'::regnamespace
           UNION ALL SELECT oid::regconfig::text FROM pg_ts_config WHERE cfgnamespace = 'immich_indexer'::regnamespace
           UNION ALL SELECT oid::regtype::text FROM pg_type
               WHERE typnamespace = 'immich_indexer'::regnamespace AND typrelid = 0 AND typcategory <> 'A'
           ORDER BY 1"""
    )
    assert [row[0].removeprefix("immich_indexer.") for row in objects] == [
        "document(text,text)",
        "heard",
        "inbox",
        "job",
        "migration",
        "on_asset_update()",
        "on_ocr_search_write()",
        "on_preview_write()",
        "on_tag_write()",
        "photo",
        "reprocess(uuid,text[])",
        "reprocess_all(uuid[],text[])",
        "state",
        "tagged",
        "words(text)",
        "worker",
    ]
    assert (
        await connection.fetchval(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'immich_indexer'::regnamespace"
        )
        == 0
    )


def test_migrations_keep_the_rules():
    for path in sql_files("migrations/*.sql"):
        text = path.read_text(encoding="utf-8")
        schemas = set(re.findall(r"CREATE SCHEMA (\w+)", text))
        objects = re.findall(r"CREATE (?:UNLOGGED )?(?:TABLE|FUNCTION|SEQUENCE|TYPE|VIEW)[\w ]* (\w+)\.", text)
        assert schemas >= set(objects), f"{path.name}: an older schema may not gain objects"
        for created in schemas:
            assert f"DROP SCHEMA IF EXISTS {created} CASCADE" in text, path
            assert created in sql("uninstall.sql"), path


# Documents


async def test_every_piece_of_a_text_finds_it(installed: str, connection: Connection):
    text = "增值税专用发票 No.12345678\n購買方：上海測試公司\nＡＢＣ cafe 88.00元，合计"
    document = "SELECT immich_indexer.document($1, $2)"
    ngrams = tokens.document(text.split("\n")).ngrams
    pieces = [text[start : start + length] for length in (1, 2, 3, 5, 9, 20) for start in range(len(text) - length + 1)]
    wanted = {query.literal for piece in pieces if (query := parse(piece))}
    missed = await connection.fetch(
        f"SELECT query FROM unnest($3::text[]) AS query WHERE NOT query::tsquery @@ ({document})",
        text,
        ngrams,
        sorted(wanted),
    )
    assert [row["query"] for row in missed] == []
    for absent in ("发标", "1235", "税票", "元合"):
        assert not await connection.fetchval(
            f"SELECT ({document}) @@ $3::text::tsquery", text, ngrams, parse(absent).literal
        )


async def command_install(url: str) -> str:
    """What `immich-indexer install` prints."""
    before = structlog.get_config()
    try:
        done = await asyncio.to_thread(CliRunner(env={"DB_URL": url}).invoke, main, ["install"])
    finally:
        structlog.configure(**before)
    assert done.exit_code == 0, done.output
    return done.stdout


async def test_a_server_that_has_lost_zhparser(database: str, connection: Connection):
    """As after going back to Immich's stock image; the parser is not the one that was lost, but nothing asks it."""
    if await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'zhparser'"):
        pytest.skip("the server has zhparser")
    role = await make_role(database)
    await install(role)
    whole = await schema_of(database)
    await connection.execute(
        "CREATE SCHEMA immich_indexer_zhparser AUTHORIZATION ii;"
        " CREATE TEXT SEARCH CONFIGURATION immich_indexer_zhparser.words (PARSER = pg_catalog.default)"
    )
    own = await connect_to_immich(role)
    try:
        assert await zhparser.state(own) == "lost"
        assert not await schema.is_current(own), "a running indexer puts it right"
        assert "run `immich-indexer install`" in await zhparser.advice(own)
        said = await command_install(role)
        assert "done: took zhparser's part out, for this server does not have zhparser any more\n" in said
        assert "note: zhparser: this server does not have it" in said
        assert "nothing to do" not in said
        assert "already installed, nothing to do" in await command_install(role)
        assert await schema.is_current(own)
    finally:
        await own.close()
    assert await schema_of(database) == whole


async def test_connections_find_pgvector_wherever_it_is(installed: str, connection: Connection):
    """Immich's older images have it in a schema `vectors`."""
    await connection.execute("CREATE SCHEMA vectors; ALTER EXTENSION vector SET SCHEMA vectors")
    own = await connect_to_immich(installed)
    try:
        assert await own.fetchval("SELECT '[1,2]'::halfvec") is not None
        assert await schema.is_current(own)
        assert (await schema.install(own)).migrations == []
    finally:
        await own.close()
