"""Immich's own backup and restore, with us in its database."""

import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from indexer.database import schema
from indexer.database.backoff import Backoff
from indexer.database.pool import open_pool
from indexer.database.statements import sql_files
from indexer.demo import backup
from indexer.demo.backup import OwnerRewriter
from indexer.demo.immich import StandIn
from indexer.demo.server import EmbeddedServer, on_server
from indexer.errors import IndexerError, SchemaError
from indexer.photos import photo as photos
from indexer.work.pace import WorkerPace
from tests.conftest import execute, make_template
from tests.support import stubs
from tests.support.installs import OLD_ROLE, edited, install, make_role, restore, uninstall
from tests.support.workers import eventually, settings_for, working

INSTALLERS = ("superuser", "role", "immich")


@pytest.fixture(params=INSTALLERS)
def installer(request: pytest.FixtureRequest) -> str:
    """Who runs the indexer: the server's superuser, the least-privileged role, or Immich's own role."""
    return str(request.param)


async def url_of(installer: str, database: str, immich_url: str) -> str:
    if installer == "role":
        return await make_role(database)
    return database if installer == "superuser" else immich_url


@asynccontextmanager
async def looking(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection made after a restore, which ends those from before."""
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


def seen(database: str, query: str, *arguments: object) -> Callable[[], Awaitable[Any]]:
    """To wait for an answer, whatever happens to connections meanwhile."""

    async def ask() -> Any:
        try:
            async with looking(database) as connection:
                return await connection.fetchval(query, *arguments)
        except asyncpg.PostgresError:
            return None

    return ask


INDEXED = """SELECT EXISTS (SELECT FROM smart_search s JOIN ocr_search o USING ("assetId") WHERE s."assetId" = $1)"""


async def upload_and_index(url: str, database: str, immich: StandIn, owner: UUID, number: int) -> UUID:
    async with working(settings_for(url, immich.media.directory)):
        return await upload_and_wait(database, immich, owner, number)


async def upload_and_wait(database: str, immich: StandIn, owner: UUID, number: int) -> UUID:
    asset = await immich.upload(stubs.picture(number), owner=owner)
    await eventually(seen(database, INDEXED, asset))
    return asset


async def test_onto_the_same_schema(
    database: str, immich: StandIn, immich_url: str, owner: UUID, tmp_path: Path, installer: str
):
    url = await url_of(installer, database, immich_url)
    await install(url)
    asset = await upload_and_index(url, database, immich, owner, 1)
    await backup.dump(immich_url, tmp_path / "dump.sql")
    later = await upload_and_index(url, database, immich, owner, 2)

    await restore(database, immich_url, tmp_path / "dump.sql")

    async with looking(database) as connection:
        assert await connection.fetchval("SELECT array_agg(asset_id) FROM immich_indexer.photo") == [asset]
        assert await connection.fetchval(INDEXED, asset)
        assert not await connection.fetchval(INDEXED, later)
    if installer == "role":
        with pytest.raises(
            SchemaError,
            match=r"permission denied for schema immich_indexer: .* run sql/role.sql as a superuser \(after Immich",
        ):
            await install(url)
        await make_role(database)
    await install(url)
    await upload_and_index(url, database, immich, owner, 3)
    await backup.dump(immich_url, tmp_path / "another.sql")
    await uninstall(url)


LATER = """
DROP SCHEMA IF EXISTS immich_indexer_999 CASCADE;
CREATE SCHEMA immich_indexer_999;
CREATE TABLE immich_indexer_999.thing (id int PRIMARY KEY);
INSERT INTO immich_indexer_999.thing VALUES (1);
CREATE FUNCTION immich_indexer_999.answer() RETURNS int LANGUAGE sql AS 'SELECT 42';
ALTER TABLE immich_indexer.photo ADD COLUMN IF NOT EXISTS more int;
CREATE INDEX IF NOT EXISTS photo_more ON immich_indexer.photo (more);
"""


def with_migration(folder: Path, text: str) -> Path:
    """The migrations there are, and one more."""
    folder.mkdir()
    for path in sql_files("migrations/*.sql"):
        shutil.copy(path, folder)
    (folder / "0999_more.sql").write_text(text)
    return folder


async def test_onto_a_newer_schema(
    database: str, immich: StandIn, immich_url: str, owner: UUID, tmp_path: Path, installer: str
):
    """A backup from before an upgrade of ours."""
    url = await url_of(installer, database, immich_url)
    await install(url)
    asset = await upload_and_index(url, database, immich, owner, 1)
    await backup.dump(immich_url, tmp_path / "dump.sql")
    migrations = with_migration(tmp_path / "migrations", LATER)
    assert (await install(url, migrations=migrations)).migrations == ["0999_more"]
    await execute(database, "INSERT INTO immich_indexer_999.thing VALUES (2)")

    await restore(database, immich_url, tmp_path / "dump.sql")

    async with looking(database) as connection:
        assert await schema.version(connection) == schema.known_version()
        assert await connection.fetchval("SELECT array_agg(asset_id) FROM immich_indexer.photo") == [asset]
    if installer == "role":
        await make_role(database)
    change = await install(url, migrations=migrations)
    assert change.migrations == ["0999_more"]
    assert change.triggers == []
    async with looking(database) as connection:
        assert await connection.fetch("SELECT id, immich_indexer_999.answer() FROM immich_indexer_999.thing") == [
            (1, 42)
        ]
        assert await connection.fetchval("SELECT count(more) FROM immich_indexer.photo") == 0
    # and the next backup holds it all, of the newer schema onto the newer schema
    await backup.dump(immich_url, tmp_path / "newer.sql")
    await restore(database, immich_url, tmp_path / "newer.sql")
    async with looking(database) as connection:
        assert await connection.fetchval("SELECT count(*) FROM immich_indexer_999.thing") == 1


@pytest.mark.parametrize(
    "against_the_rules",
    [
        "CREATE TABLE immich_indexer.more ()",
        "CREATE FUNCTION immich_indexer.more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE immich_indexer.more AS ENUM ('one')",
    ],
)
async def test_why_the_first_schema_may_not_gain_objects(
    database: str, immich_url: str, asset: UUID, tmp_path: Path, against_the_rules: str
):
    await install(database)
    await backup.dump(immich_url, tmp_path / "dump.sql")
    await install(database, migrations=with_migration(tmp_path / "migrations", against_the_rules))
    with pytest.raises(IndexerError, match="cannot drop schema immich_indexer because other objects depend on it"):
        await restore(database, immich_url, tmp_path / "dump.sql")


async def test_of_a_backup_from_before_us(
    database: str, immich: StandIn, immich_url: str, owner: UUID, tmp_path: Path, installer: str
):
    """Immich drops pgvector with its schema, and our column of that type goes with it."""
    asset = await immich.upload(stubs.picture(1), owner=owner)
    await backup.dump(immich_url, tmp_path / "dump.sql")
    url = await url_of(installer, database, immich_url)
    await install(url)
    await upload_and_index(url, database, immich, owner, 2)

    await restore(database, immich_url, tmp_path / "dump.sql")

    async with looking(database) as connection:
        assert not await schema.is_current(connection)
        assert not await connection.fetchval(INDEXED, asset)
    if installer == "role":
        with pytest.raises(SchemaError, match=r"sql/role\.sql"):
            await install(url)
        await make_role(database)
    change = await install(url)
    assert len(change.triggers) == 20
    async with working(settings_for(url, immich.media.directory)):
        await eventually(seen(database, INDEXED, asset))
        await eventually(
            seen(database, "SELECT array_agg(asset_id) = ARRAY[$1::uuid] FROM immich_indexer.photo", asset)
        )
        another = await immich.upload(stubs.picture(3), owner=owner)
        await eventually(seen(database, INDEXED, another))


async def test_uninstall_straight_after_a_backup_from_before_us(
    database: str, immich_url: str, asset: UUID, tmp_path: Path
):
    await backup.dump(immich_url, tmp_path / "dump.sql")
    await install(database)
    await restore(database, immich_url, tmp_path / "dump.sql")
    await uninstall(database)
    async with looking(database) as connection:
        assert await connection.fetchval("SELECT to_regnamespace('immich_indexer')") is None


@pytest.mark.parametrize("when", ["with us", "before us"])
async def test_under_a_running_indexer(
    database: str, immich: StandIn, immich_url: str, owner: UUID, tmp_path: Path, installer: str, when: str
):
    kept = await immich.upload(stubs.picture(1), owner=owner)
    if when == "before us":
        await backup.dump(immich_url, tmp_path / "dump.sql")
    url = await url_of(installer, database, immich_url)
    async with working(settings_for(url, immich.media.directory, reconcile_seconds=0.3)):
        await eventually(seen(database, INDEXED, kept))
        if when == "with us":
            await backup.dump(immich_url, tmp_path / "dump.sql")
        await restore(database, immich_url, tmp_path / "dump.sql")
        if installer == "role":
            await make_role(database)
        new = await immich.upload(stubs.picture(2), owner=owner)
        await eventually(seen(database, INDEXED, new))
        await eventually(seen(database, INDEXED, kept))
        async with looking(database) as connection:
            await eventually(lambda: schema.is_current(connection))
        # heard, not found by looking around
        last = await immich.upload(stubs.picture(3), owner=owner)
        await eventually(seen(database, INDEXED, last))


async def test_a_role_that_is_refused_asks_more_and_more_rarely(
    database: str, immich: StandIn, immich_url: str, owner: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each refusal is an error in PostgreSQL's log, and there is nobody yet to run role.sql."""
    url = await make_role(database)
    pauses: dict[Backoff, list[float]] = {}
    after = Backoff.after

    def noted(backoff: Backoff, error: BaseException | None) -> float:
        pause = after(backoff, error)
        if isinstance(error, asyncpg.InsufficientPrivilegeError | SchemaError):
            pauses.setdefault(backoff, []).append(pause)
        return pause

    monkeypatch.setattr(Backoff, "after", noted)

    async def five_loops_have_slowed_down() -> bool:
        return sum(each[-1] >= 4 * each[0] for each in pauses.values()) >= 5

    settings = settings_for(
        url, immich.media.directory, reconcile_seconds=0.3, immich_url="http://127.0.0.1:9", immich_api_key="key"
    )
    async with working(settings, pace=WorkerPace(untag=0.2)):
        await upload_and_wait(database, immich, owner, 1)
        await backup.dump(immich_url, tmp_path / "dump.sql")
        await restore(database, immich_url, tmp_path / "dump.sql")
        await eventually(five_loops_have_slowed_down)
        await make_role(database)
        await upload_and_wait(database, immich, owner, 2)


async def test_on_a_server_that_does_not_know_the_role(database: str, immich_url: str, asset: UUID, tmp_path: Path):
    """Rights on Immich's tables are part of a dump, so the role must be there first; it needs nothing else."""
    await install(await make_role(database))
    dump = tmp_path / "dump.sql"
    await backup.dump(immich_url, dump)
    role = f"unknown_{asset.hex}"
    dump.write_text(re.sub(r"^(GRANT .*) TO ii;$", rf"\1 TO {role};", dump.read_text(), flags=re.MULTILINE))
    with pytest.raises(IndexerError, match=f'role "{role}" does not exist'):
        await restore(database, immich_url, dump)
    await execute(database, f"CREATE ROLE {role}")
    try:
        await restore(database, immich_url, dump)
    finally:
        await execute(database, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.parametrize("immich_user", ["postgres", "immich"])
@pytest.mark.parametrize("role", ["fresh", "renamed"])
async def test_by_immichs_own_restore(private_server: EmbeddedServer, tmp_path: Path, immich_user: str, role: str):
    """Immich writes its user's name over the owners in the dump, and the end of a longer name stays."""
    template = await make_template(private_server.url(), "3.1", immich_user)
    database = on_server(private_server.url(), template)
    immich_url = on_server(database, template, f"{immich_user}:{immich_user}")
    async with asyncpg.create_pool(immich_url, min_size=0, max_size=4) as pool:
        immich = StandIn(pool, tmp_path / "media")
        owner = await immich.create_user("ann")
        kept = []
        if role == "renamed":
            old = await make_role(database, name="immich_indexer", script=OLD_ROLE)
            kept.append(await upload_and_index(old, database, immich, owner, 1))
            await backup.dump(immich_url, tmp_path / "old.sql")
            fault = "postgresndexer" if immich_user == "postgres" else "immich_indexer"  # the name's length plus ours
        url = await make_role(database)
        kept.append(await upload_and_index(url, database, immich, owner, 2))
        await backup.dump(immich_url, tmp_path / "dump.sql")

        await restore(database, immich_url, tmp_path / "dump.sql")

        await make_role(database)
        for asset in kept:
            assert await seen(database, INDEXED, asset)()
        await upload_and_index(url, database, immich, owner, 3)
        async with looking(database) as connection:
            assert await connection.fetchval("SELECT to_regrole('immich_indexer')") is None
        if role == "renamed":  # a backup from before the new name
            with pytest.raises(IndexerError, match=f'role "{fault}" does not exist'):
                await restore(database, immich_url, tmp_path / "old.sql")
            await restore(database, immich_url, await edited(tmp_path / "old.sql", "RENAMED.sql.gz"))
            await make_role(database)
            assert await seen(database, INDEXED, kept[0])()
            await upload_and_index(url, database, immich, owner, 4)


@pytest.mark.parametrize(
    ("user", "owner", "becomes"),
    [
        ("postgres", "immich_indexer", "postgresndexer"),
        ("immich", "postgres", "immiches"),
        ("postgres", "ii", "postgres"),
        ("immich", "immich", "immich"),
        ("db", "ii", "db"),
        ("im", '"a b"', 'im b"'),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_owners_that_immich_writes(user: str, owner: str, becomes: str, size: int):
    def dump(name: str) -> bytes:
        lines = (
            f"ALTER TABLE a OWNER TO {name};",
            f"GRANT ALL ON a TO {owner};",
            f"ALTER TABLE 发票 OWNER TO {name};",
            "COPY a FROM stdin;",
            f"OWNER TO {owner};",
        )
        return "\n".join(lines).encode()

    rewriter, text = OwnerRewriter(user), dump(owner)
    rewritten = b"".join(rewriter.feed(text[start : start + size]) for start in range(0, len(text), size))
    assert rewritten == dump(becomes)


def test_no_function_of_ours_says_what_immich_looks_for():
    """Their text is in the dump before any data."""
    for path in sql_files("functions/*.sql"):
        text = path.read_text(encoding="utf-8")
        assert "OWNER TO " not in text, path.name
        assert "FROM stdin" not in text, path.name


async def test_ours_are_the_locks_that_give_way(database: str, asset: UUID):
    """Immich's restore holds every lock there is: a deadlock with us must not be what it fails of."""
    await install(database)
    pool = await open_pool(database)
    try:
        async with looking(database) as connection:
            async with connection.transaction():
                await connection.execute("LOCK TABLE asset IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await photos.describe(pool, [asset])
            assert await connection.fetchval(
                "SELECT $1::interval < current_setting('deadlock_timeout')::interval",
                await pool.fetchval("SELECT current_setting('lock_timeout')::interval"),
            )
    finally:
        pool.terminate()
