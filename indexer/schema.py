"""Our schema in Immich's database: installed, kept right, removed.

Safe on a busy Immich: everything is looked at first, what is right is left alone, and the one kind of statement that
needs a lock on Immich's tables (CREATE TRIGGER) waits for it for a fraction of a second at a time.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from indexer.database import Connection, queries, sql, sql_files
from indexer.errors import SchemaError

log = structlog.get_logger()

TABLES = (
    "asset",
    "asset_file",
    "asset_exif",
    "asset_edit",
    "asset_job_status",
    "smart_search",
    "asset_ocr",
    "ocr_search",
)
LOCK_TIMEOUT = "300ms"  # how long Immich's writers may have to queue behind us, at worst
LOCK_PATIENCE = 120.0  # seconds to go on trying
_ADVISORY = 0x1DE8E5  # one install at a time

# What the database should have for Immich 2.7's own search to see more than 40 photos of a library (and `ocr:` to be exact).
DATABASE_SETTINGS = {"hnsw.ef_search": "200", "hnsw.iterative_scan": "strict_order"}

SQL = queries("schema")


@dataclass
class Change:
    """What an install did, for a person to read."""

    migrations: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Trigger:
    table: str
    name: str
    definition: str


@dataclass(frozen=True)
class _Migration:
    version: int
    path: Path


def _triggers() -> list[_Trigger]:
    found = []
    for statement in re.findall(r"^CREATE TRIGGER .*?;$", sql("triggers.sql"), flags=re.MULTILINE):
        match = re.match(r"CREATE TRIGGER (\w+) .*? ON public\.(\w+) ", statement)
        if match is None:
            raise SchemaError(f"triggers.sql: cannot read {statement!r}")
        found.append(_Trigger(table=match[2], name=match[1], definition=statement.rstrip(";")))
    return found


def _migrations(folder: Path | None = None) -> list[_Migration]:
    paths = sorted(folder.glob("*.sql")) if folder else sql_files("migrations/*.sql")
    return [_Migration(int(path.name.split("_", 1)[0]), path) for path in paths]


async def version(connection: Connection) -> int:
    """The version of our schema in this database; 0 when it is not installed."""
    if await connection.fetchval("SELECT to_regclass('immich_indexer.migration')") is None:
        return 0
    return max((row["version"] for row in await connection.fetch(SQL["applied"])), default=0)


def known_version() -> int:
    """The version of the schema that this program works with."""
    return _migrations()[-1].version


async def require(connection: Connection) -> int:
    """The version of our schema, when this program can work with it.

    Raises:
        SchemaError: it is not installed, or not of this program's version; the text says what to run.
    """
    have = await version(connection)
    if have == 0:
        raise SchemaError("immich-indexer is not installed in this database: run `immich-indexer install`")
    if have != known_version():
        what = "upgrade immich-indexer" if have > known_version() else "run `immich-indexer install`"
        raise SchemaError(
            f"the database has schema version {have}, this immich-indexer knows {known_version()}: {what}"
        )
    return have


async def missing_triggers(connection: Connection) -> list[str]:
    """Triggers that are not there, disabled, or not as they should be, as `table.name`."""
    return [f"{t.table}.{t.name}" for t in _triggers() if not await _trigger_is_right(connection, t)]


async def is_current(connection: Connection) -> bool:
    """Whether schema and triggers are all as this program wants them."""
    if await version(connection) != known_version() or await missing_triggers(connection):
        return False
    return bool(await connection.fetchval(SQL["is_whole"]))


async def install(connection: Connection, *, migrations: Path | None = None) -> Change:
    """Bring the database to what this program needs; does nothing, and locks nothing, where it is so already.

    Args:
        connection: as a role with the rights of sql/role.sql, outside a transaction.
        migrations: another folder of migrations (for tests of upgrades).

    Raises:
        SchemaError: Immich's tables are missing, or the schema is newer than this program, or a lock could not be had.
    """
    change = Change()
    await _check_immich(connection)
    await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY)
    try:
        steps = _migrations(migrations)
        have = await version(connection)
        if have > steps[-1].version:
            raise SchemaError(
                f"the database has schema version {have}, this immich-indexer knows {steps[-1].version}: upgrade immich-indexer"
            )
        for step in steps:
            if step.version > have:
                await _migrate(connection, step)
                change.migrations.append(step.path.stem)
        if not await connection.fetchval(SQL["is_whole"]):
            await connection.execute(sql("mend.sql"))
        await _functions(connection, refresh=bool(change.migrations))
        await _zhparser(connection, change)
        await _grant(connection)
        for trigger in _triggers():
            if not await _trigger_is_right(connection, trigger):
                await _create_trigger(connection, trigger)
                change.triggers.append(f"{trigger.table}.{trigger.name}")
        await _database_settings(connection, change)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _ADVISORY)
    return change


async def uninstall(connection: Connection) -> list[str]:
    """Take everything of ours out of the database. Returns what a person should know: what stays, and how it is replaced."""
    if await connection.fetchval("SELECT to_regnamespace('immich_indexer')") is None:
        return ["nothing to do: immich-indexer is not installed in this database"]
    notes = []
    if await connection.fetchval("SELECT to_regclass('immich_indexer.photo')") is not None:
        left = await connection.fetchrow(SQL["left_behind"])
        if left is not None:
            notes.append(
                f"{left['vectors']} vectors stay in smart_search and the texts of {left['texts']} photos in asset_ocr and ocr_search: "
                "Immich goes on searching them. To replace them with Immich's own, run Administration > Job Queues > "
                "Smart Search > All and OCR > All."
            )
        notes += await _restore_settings(connection)
    async for attempt in _patiently():
        with attempt:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute(sql("uninstall.sql"))
    return notes


async def vector_width(connection: Connection) -> int:
    """Width of Immich's vector column as it is now.

    Raises:
        SchemaError: there is no such column, or (while Immich changes it) it has no width.
    """
    width = await connection.fetchval(SQL["vector_width"])
    if width is None or width < 1:
        raise SchemaError("smart_search.embedding has no width: is this Immich's database, with smart search set up?")
    return int(width)


async def _check_immich(connection: Connection) -> None:
    rows = await connection.fetch(SQL["tables_present"], list(TABLES))
    missing = [row["name"] for row in rows if not row["present"]]
    if missing:
        raise SchemaError(
            f"this database lacks Immich's tables {', '.join(missing)}: Immich 2.7 or newer must have started on it once "
            "(check DB_DATABASE_NAME)"
        )


def _patiently() -> AsyncRetrying:
    """Go on trying while locks are held: Immich has the right of way."""
    return AsyncRetrying(
        retry=retry_if_exception_type((asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)),
        wait=wait_random_exponential(multiplier=0.2, max=3),
        stop=stop_after_delay(LOCK_PATIENCE),
        reraise=True,
    )


async def _migrate(connection: Connection, step: _Migration) -> None:
    log.info("migrating", migration=step.path.stem)
    async with connection.transaction():
        try:
            await connection.execute(step.path.read_text(encoding="utf-8"))
        except asyncpg.InsufficientPrivilegeError as error:
            raise SchemaError(
                f"{error}: run sql/role.sql as a superuser, or install as the owner of the database"
            ) from error
        await connection.execute(
            "INSERT INTO immich_indexer.migration (version, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            step.version,
            step.path.stem,
        )


async def _functions(connection: Connection, *, refresh: bool) -> None:
    """Create or replace functions whose text differs from the file's (`refresh`: all of them)."""
    for path in sql_files("functions/*.sql"):
        text = path.read_text(encoding="utf-8")
        body = text.split("$$")[1]
        there = await connection.fetchrow(
            "SELECT p.oid::regprocedure::text AS signature, prosrc FROM pg_proc p "
            "WHERE pronamespace = 'immich_indexer'::regnamespace AND proname = $1",
            path.stem,
        )
        if refresh or there is None or there["prosrc"] != body:
            async with connection.transaction():
                await connection.execute(text)
                signature = await connection.fetchval(
                    "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'immich_indexer'::regnamespace AND proname = $1",
                    path.stem,
                )
                await connection.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")


async def _zhparser(connection: Connection, change: Change) -> None:
    """Make the Chinese configuration where zhparser is installed, or can be."""
    if await connection.fetchval(SQL["has_zhparser_configuration"]):
        return
    rows = {row["name"]: row for row in await connection.fetch(SQL["extension_versions"])}
    offered = rows.get("zhparser")
    if offered is None:
        change.notes.append("this server has no zhparser: search works on n-grams alone")
        return
    if offered["installed_version"] is None:
        try:
            await connection.execute("CREATE EXTENSION zhparser")
        except asyncpg.InsufficientPrivilegeError:
            change.notes.append("zhparser can be had: run CREATE EXTENSION zhparser as a superuser, then install again")
            return
        await connection.execute(SQL["remember"], "created_extension", json.dumps("zhparser"))
    async with connection.transaction():
        await connection.execute(sql("zhparser.sql"))
    change.notes.append("zhparser ranks Chinese words")


async def _grant(connection: Connection) -> None:
    """Immich dumps the whole database as the owner of its tables: that role must be able to read ours."""
    owner = await connection.fetchval(SQL["immich_owner"])
    me = await connection.fetchval("SELECT current_user")
    if owner == me:
        return
    granted = await connection.fetchval(
        "SELECT has_schema_privilege($1, 'immich_indexer', 'USAGE') AND "
        "bool_and(has_table_privilege($1, oid, 'SELECT')) FROM pg_class "
        "WHERE relnamespace = 'immich_indexer'::regnamespace AND relkind = 'r'",
        owner,
    )
    if granted:
        return
    role = await connection.fetchval("SELECT quote_ident($1)", owner)
    await connection.execute(f"GRANT USAGE ON SCHEMA immich_indexer TO {role}")
    await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA immich_indexer TO {role}")


async def _trigger_is_right(connection: Connection, trigger: _Trigger) -> bool:
    there = await connection.fetchval(SQL["trigger_definition"], trigger.table, trigger.name)
    return bool(there == trigger.definition)


async def _create_trigger(connection: Connection, trigger: _Trigger) -> None:
    statement = trigger.definition.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)
    try:
        async for attempt in _patiently():
            with attempt:
                async with connection.transaction():
                    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    await connection.execute(statement)
    except asyncpg.LockNotAvailableError as error:
        raise SchemaError(
            f"could not lock {trigger.table} for {LOCK_PATIENCE:.0f} s: some transaction on it stays open (see pg_stat_activity, "
            "state 'idle in transaction'); install again when it has ended"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise SchemaError(f"may not create a trigger on {trigger.table}: run sql/role.sql as a superuser") from error


async def settings_to_run(connection: Connection) -> list[str]:
    """The statements that give the database what Immich's own search wants; none where somebody has set it."""
    stored = {row[0].split("=", 1)[0] for row in await connection.fetch(SQL["database_settings"])}
    database = await connection.fetchval("SELECT quote_ident(current_database())")
    return [
        f"ALTER DATABASE {database} SET {name} = '{value}'"
        for name, value in DATABASE_SETTINGS.items()
        if name not in stored
    ]


async def _database_settings(connection: Connection, change: Change) -> None:
    """Set what Immich's own search wants, where we may and nobody else has."""
    lines = await settings_to_run(connection)
    if not lines:
        return
    if not await connection.fetchval(SQL["may_alter_database"]):
        change.notes.append("the database's owner should run: " + "; ".join(lines))
        return
    # hnsw.* are settings of a library that is loaded on first use; before, only a superuser may set them.
    await connection.fetchval("SELECT '[1]'::vector <-> '[1]'::vector")
    for line in lines:
        await connection.execute(line)
    names = [line.split(" SET ")[1].split(" = ")[0] for line in lines]
    await connection.execute(SQL["remember"], "database_settings", json.dumps(names))
    change.notes.append("set on the database: " + ", ".join(line.split(" SET ")[1] for line in lines))


async def _restore_settings(connection: Connection) -> list[str]:
    notes = []
    stored = await connection.fetchval(SQL["remembered"], "database_settings")
    if stored is not None:
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        for name in json.loads(stored):
            try:
                await connection.execute(f"ALTER DATABASE {database} RESET {name}")
            except asyncpg.InsufficientPrivilegeError:
                notes.append(f"the database's owner should run: ALTER DATABASE {database} RESET {name}")
    if await connection.fetchval(SQL["remembered"], "created_extension") is not None:
        async with connection.transaction():
            await connection.execute("DROP TEXT SEARCH CONFIGURATION IF EXISTS immich_indexer.zhparser")
            await connection.execute("DROP EXTENSION IF EXISTS zhparser")
    return notes
