"""The least-privileged role does everything, and only that."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from indexer.database import schema
from indexer.database.pool import connect_to_immich
from indexer.demo.immich import OcrLine, StandIn
from indexer.demo.server import on_server
from indexer.errors import IndexerError, SchemaError
from indexer.work.worker import Models
from tests.conftest import every_version, execute
from tests.support import stubs
from tests.support.installs import OLD_ROLE, both_ways, install, make_role, schema_of, uninstall
from tests.support.workers import eventually, settings_for, working

Connection = asyncpg.Connection

RIGHTS = """
SELECT array_agg(DISTINCT format('%s: %s', relname, privilege_type) ORDER BY format('%s: %s', relname, privilege_type))
FROM pg_class, aclexplode(relacl) WHERE grantee = 'ii'::regrole
"""
SETTINGS = (
    "SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = $1)"
)


@every_version
async def test_install_work_uninstall(
    database: str, immich: StandIn, connection: Connection, owner: UUID, immich_version: str
):
    role = await make_role(database)
    # Of role.sql's making; goes when we go.
    await connection.execute("DROP SCHEMA IF EXISTS immich_indexer_zhparser, immich_indexer_index CASCADE")
    dump = await schema_of(database)
    assert await make_role(database) == role
    change = await install(role)
    name = urlsplit(database).path[1:]
    assert change.triggers
    newer = await connection.fetchval("SELECT current_setting('server_version_num')::integer >= 170000")
    assert [note for note in change.notes if "hnsw" in note] == [
        "Immich shows at most 40 results until the database's owner runs: "
        f"ALTER DATABASE {name} SET hnsw.ef_search = '1000'; "
        f"ALTER DATABASE {name} SET hnsw.iterative_scan = 'strict_order'"
    ] * (newer or immich_version == "2.7")
    assert not await install(role)

    say = ["one"]
    settings = settings_for(role, immich.media.directory, reconcile_seconds=0.3)
    models = stubs_that_say(say)
    async with working(settings, models):
        asset = await immich.upload(stubs.picture(1), owner=owner)

        async def lines_are(*expected: str) -> bool:
            rows = await connection.fetch('SELECT text FROM asset_ocr WHERE "assetId" = $1', asset)
            vectors = await connection.fetchval('SELECT count(*) FROM smart_search WHERE "assetId" = $1', asset)
            return vectors == 1 and [row["text"] for row in rows] == list(expected)

        await eventually(lambda: lines_are("one"))
        say[:] = ["another"]
        await connection.execute("SELECT immich_indexer.reprocess($1)", asset)
        await eventually(lambda: lines_are("another"))
        if immich_version != "2.7":
            # Immich's own trigger on the lines we replaced
            assert await connection.fetchval("SELECT count(*) FROM asset_ocr_audit") == 1
        say[:] = []
        await connection.execute("SELECT immich_indexer.reprocess($1)", asset)
        await eventually(lambda: lines_are())
        await immich.immich_ocr_job(asset, [OcrLine("from Immich")])
        await eventually(lambda: lines_are())
        await immich.change_clip_model(1024)
        await eventually(lambda: lines_are())
        await immich.delete_for_good(asset)
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 0 FROM immich_indexer.photo"))

    await uninstall(role)
    assert await schema_of(database) == dump.replace("vector(512)", "vector(1024)")
    assert await connection.fetchval(SETTINGS, name) == 0


def stubs_that_say(lines: list[str]) -> Models:
    return Models(stubs.StubClip(), stubs.StubOcr(say=lambda _: lines), "cpu")


@both_ways
async def test_it_may_do_nothing_more(database: str, connection: Connection, make):
    role = await make(database)
    written = ("asset_job_status", "asset_ocr", "ocr_search", "smart_search")
    for right in await connection.fetchval(RIGHTS):
        table, privilege = right.split(": ")
        if privilege in ("INSERT", "UPDATE", "DELETE"):
            assert table in written or right == "asset_ocr_audit: INSERT"
        else:
            assert privilege in ("SELECT", "TRIGGER")
    attributes = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = 'ii'")
    assert attributes["rolcanlogin"]
    for power in ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"):
        assert not attributes[power]
    own = await asyncpg.connect(role)
    for forbidden in (
        "SELECT * FROM api_key",
        "DELETE FROM asset",
        "UPDATE asset SET status = 'trashed'",
        "DELETE FROM asset_file",
        "TRUNCATE smart_search",
        "DROP TABLE asset_ocr",
        "CREATE TABLE public.mine ()",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.execute(forbidden)
    await own.close()


@both_ways
async def test_role_sql_may_be_run_again(database: str, connection: Connection, make):
    await make(database)
    rights = await connection.fetchval(RIGHTS)
    role = await make(database)
    await install(role)
    dump = await schema_of(database)
    await make(database)
    assert await connection.fetchval(RIGHTS) == rights
    assert await schema_of(database) == dump


@both_ways
async def test_it_takes_over_from_a_superuser(
    database: str, immich: StandIn, connection: Connection, owner: UUID, make
):
    """Installed in haste as postgres, then done properly."""
    await install(database)
    role = await make(database)
    await connection.execute("DROP TRIGGER immich_indexer_insert ON asset_file")
    await connection.execute("ALTER FUNCTION immich_indexer.on_asset_update() SECURITY INVOKER")
    assert (await install(role)).triggers == ["asset_file.immich_indexer_insert"]
    async with working(settings_for(role, immich.media.directory)):
        await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: connection.fetchval("SELECT count(*) = 1 FROM smart_search"))
    await uninstall(role)
    assert await connection.fetchval("SELECT to_regnamespace('immich_indexer')") is None


async def test_immichs_role_can_end_its_sessions(database: str, immich_url: str):
    """Immich's restore begins by doing so."""
    role = await make_role(database)
    own, theirs = await asyncpg.connect(role), await asyncpg.connect(immich_url)
    gone = asyncio.Event()
    own.add_termination_listener(lambda _: gone.set())
    await theirs.execute("SELECT pg_terminate_backend($1)", own.get_server_pid())
    async with asyncio.timeout(5):
        await gone.wait()
    await theirs.close()


async def test_without_its_rights_it_says_what_to_run(database: str, connection: Connection):
    role = await make_role(database)
    name = urlsplit(database).path[1:]
    await connection.execute(f"REVOKE CREATE ON DATABASE {name} FROM ii")
    with pytest.raises(SchemaError, match=f"permission denied for database {name}: .*run sql/role.sql as a superuser"):
        await install(role)
    await make_role(database)
    await connection.execute("REVOKE TRIGGER ON asset FROM ii")
    with pytest.raises(SchemaError, match=r"permission denied for table asset: .*run sql/role\.sql"):
        await install(role)
    await make_role(database)
    await install(role)
    assert await schema.is_current(connection)


async def test_a_schema_in_other_hands_is_an_error_that_says_so(database: str, immich_url: str, tmp_path: Path):
    """As after a restore by Immich."""
    await install(immich_url)
    role = await make_role(database)
    await uninstall(role)  # make_role gave it to the role
    await install(immich_url)
    own = await connect_to_immich(role)
    for ask in (schema.require, schema.is_current, schema.install, schema.uninstall):
        with pytest.raises(
            SchemaError, match=r"permission denied for schema immich_indexer: .*run sql/role.sql as a superuser"
        ):
            await ask(own)
    with pytest.raises(SchemaError, match=r"sql/role\.sql"):
        async with working(settings_for(role, tmp_path)):
            pass
    await make_role(database)
    assert await schema.is_current(own)
    await own.close()


async def test_the_role_can_be_removed(database: str, connection: Connection):
    dump = await schema_of(database)
    role = await make_role(database)
    await install(role)
    await uninstall(role)
    await connection.execute("DROP OWNED BY ii")
    assert await schema_of(database) == dump


@both_ways
async def test_the_old_role_hands_over_where_both_are_there(own_immich: tuple[str, StandIn], make):
    """The old one was made for a backup that names it, or another database has it still."""
    database, _ = own_immich
    await install(await make_role(database, name="immich_indexer", script=OLD_ROLE))
    await execute(database, "CREATE ROLE ii", "CREATE DATABASE another")
    another = on_server(database, "another")
    await execute(another, "CREATE TABLE kept ()", "GRANT SELECT ON kept TO immich_indexer")

    role = await make(database)

    assert (await install(role)).triggers == []
    await uninstall(role)
    looking = await asyncpg.connect(database)
    old = "SELECT to_regrole('immich_indexer') IS NOT NULL"
    assert await looking.fetchval(old), "another database needs it"
    await execute(another, "REVOKE SELECT ON kept FROM immich_indexer")
    await make(database)
    assert not await looking.fetchval(old)
    await looking.close()


@both_ways
async def test_a_role_of_somebody_else_stays_theirs(own_immich: tuple[str, StandIn], make):
    database, _ = own_immich
    await execute(database, "CREATE ROLE ii LOGIN PASSWORD 'theirs'")
    with pytest.raises((AssertionError, IndexerError), match="this server has a role ii that is not ours"):
        await make(database)
    await execute(database, "COMMENT ON ROLE ii IS 'immich-indexer'")
    await install(await make(database))


async def test_the_function_for_the_index_does_nothing_else(database: str, connection: Connection):
    own = await asyncpg.connect(await make_role(database))
    index = "CREATE INDEX clip_index ON public.smart_search USING hnsw (embedding public.vector_cosine_ops)"
    put = "SELECT immich_indexer_index.put($1, $2)"
    for other in (
        "CREATE ROLE mine SUPERUSER",
        f"{index}; CREATE ROLE mine SUPERUSER",
        f"{index} WITH (m='16'); DROP TABLE public.asset; SELECT ('')",
        f"{index} WITH (m='16') WHERE pg_sleep(1) IS NULL",
        "CREATE INDEX clip_index ON public.smart_search USING btree (pg_sleep(1))",
        index.replace("clip_index ON public.smart_search", "clip_index ON public.asset"),
    ):
        with pytest.raises(asyncpg.RaiseError, match="no index on Immich's vectors"):
            await own.execute(put, other, True)
    definition = await connection.fetchval("SELECT pg_get_indexdef('clip_index'::regclass)")
    await own.execute(put, index, False)
    await own.execute(put, f"{index} WITH (ef_construction='300', m='16')", True)
    assert await connection.fetchval("SELECT pg_get_indexdef('clip_index'::regclass)") == definition
    await own.close()
    await connection.execute("CREATE ROLE ii_stranger")
    try:
        await connection.execute("SET ROLE ii_stranger")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(put, index, False)
    finally:
        await connection.execute("RESET ROLE; DROP ROLE ii_stranger")
