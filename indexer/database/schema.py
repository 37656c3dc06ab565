"""Our schema in Immich's database: how it is installed, repaired and removed.

This is safe while Immich is busy. Everything is checked first, and what is right is not touched. Only CREATE TRIGGER
needs a lock on Immich's tables. It waits for the lock only a fraction of a second at a time.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from indexer.database import functions, owners, tuning, zhparser
from indexer.database.pool import Connection
from indexer.database.refusal import RUN_ROLE
from indexer.database.statements import queries, sql, sql_files
from indexer.errors import SchemaError

log = structlog.get_logger()

TABLES = (
    *("asset", "asset_file", "asset_exif", "asset_edit", "asset_job_status", "smart_search", "asset_ocr", "ocr_search"),
    *("tag", "tag_asset", "album", "album_asset", "album_user", "person", "asset_face"),
)
LOCK_TIMEOUT = "300ms"  # how long Immich's writers may have to wait behind us, at most
LOCK_PATIENCE = 120.0  # seconds until we stop trying
FROZEN = "30s"  # an install that does nothing for so long is ended: its process is frozen
_ADVISORY = 0x1DE8E5  # one install at a time
_ALIVE = 20  # seconds: an indexer seen within them is running, and uninstall refuses

SQL = queries("schema")


@dataclass
class Change:
    """What an install did, for a person to read."""

    migrations: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)  # everything else that was changed, in words
    notes: list[str] = field(default_factory=list)  # what a person should know or do

    def __bool__(self) -> bool:
        """Whether anything was changed."""
        return bool(self.migrations or self.triggers or self.done)


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


@contextlib.contextmanager
def _rights() -> Iterator[None]:
    """Say what to run where our role lacks a right."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise SchemaError(
            f"{error}: {RUN_ROLE} (after Immich restored a backup, its own role owns our schema), or run "
            "immich-indexer as the role that Immich itself uses"
        ) from error


async def version(connection: Connection) -> int:
    """The version of our schema in this database; 0 when it is not installed.

    Raises:
        SchemaError: it is installed, but this role may not read it.
    """
    with _rights():
        if await connection.fetchval("SELECT to_regclass('immich_indexer.migration')") is None:
            return 0
        return max((row["version"] for row in await connection.fetch(SQL["applied"])), default=0)


def known_version() -> int:
    """The version of the schema that this program works with."""
    return _migrations()[-1].version


async def require(connection: Connection) -> int:
    """The version of our schema, if this program can work with it.

    Raises:
        SchemaError: it is not installed, or has another version. The text says what to run.
    """
    have = await version(connection)
    if have == 0:
        raise SchemaError("immich-indexer is not installed in this database: run `immich-indexer install`")
    if have > known_version():
        raise _too_new(have, known_version())
    if have < known_version():
        raise SchemaError(
            f"the database has schema version {have}, this immich-indexer needs {known_version()}: "
            "run `immich-indexer install`"
        )
    return have


async def missing_triggers(connection: Connection) -> list[str]:
    """Triggers that are missing, disabled or different, as `table.name`."""
    return [f"{t.table}.{t.name}" for t in _triggers() if not await _trigger_is_right(connection, t)]


async def is_current(connection: Connection) -> bool:
    """Whether the schema and all triggers are as this program needs them."""
    if await version(connection) != known_version() or await missing_triggers(connection):
        return False
    return bool(await connection.fetchval(SQL["is_whole"])) and await zhparser.state(connection) != "lost"


async def install(connection: Connection, *, migrations: Path | None = None, patience: float = LOCK_PATIENCE) -> Change:
    """Bring the database to what this program needs. Where it is so already, it changes nothing and locks nothing.

    Args:
        connection: as a role with the rights of sql/role.sql, outside a transaction.
        migrations: another folder of migrations (for tests of upgrades).
        patience: seconds to go on trying while Immich holds a lock.

    Raises:
        SchemaError: Immich's tables are missing, the schema is newer than this program, a right is missing, or a lock
            was not free in time.
    """
    change = Change()
    await _check_immich(connection)
    await connection.execute(f"SET idle_session_timeout = '{FROZEN}'")
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _ADVISORY):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.1)
    try:
        with _rights():
            await _install(connection, change, _migrations(migrations), patience)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _ADVISORY)
        await connection.execute("RESET idle_session_timeout")
    return change


async def _install(connection: Connection, change: Change, steps: list[_Migration], patience: float) -> None:
    have = await version(connection)
    if have > steps[-1].version:
        raise _too_new(have, steps[-1].version)
    for step in steps:
        if step.version > have:
            await _migrate(connection, step)
            change.migrations.append(step.path.stem)
    if not await connection.fetchval(SQL["is_whole"]):
        await connection.execute(sql("mend.sql"))
        change.done.append("the columns for vectors are back: a restored backup had taken them along")
    change.done += await functions.install(connection)
    change.done += await zhparser.install(connection)
    change.done += await _grant(connection)
    for trigger in _triggers():
        if not await _trigger_is_right(connection, trigger):
            await _create_trigger(connection, trigger, patience)
            change.triggers.append(f"{trigger.table}.{trigger.name}")
    change.done += await tuning.apply(connection)
    if words := await zhparser.advice(connection):
        change.notes.append(f"zhparser: {words}")
    change.notes += [*await tuning.advice(connection), *filter(None, [await owners.trouble(connection)])]


async def uninstall(connection: Connection, *, patience: float = LOCK_PATIENCE) -> list[str]:
    """Remove everything of ours from the database.

    Returns what a person should know: what stays, and how to replace it.

    Raises:
        SchemaError: an indexer is running, a right is missing, or a lock was not free for `patience` seconds.
    """
    if await connection.fetchval("SELECT to_regnamespace('immich_indexer')") is None:
        return ["nothing to do: immich-indexer is not installed in this database"]
    notes = []
    with _rights():
        if await version(connection):
            running = await connection.fetch(SQL["running"], _ALIVE)
            if running:
                names = ", ".join(row["name"] for row in running)
                raise SchemaError(f"an indexer is running and would install everything again: stop it first ({names})")
            if await connection.fetchval(SQL["is_whole"]):
                notes += await _left_behind(connection)
            notes += await tuning.take_back(connection)
        with _explain_lock("Immich's tables", patience):
            async for attempt in while_locked(patience):
                with attempt:
                    async with connection.transaction():
                        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                        await connection.execute(sql("uninstall.sql"))
    return notes


async def vector_width(connection: Connection) -> int:
    """The present width of Immich's vector column.

    Raises:
        SchemaError: there is no such column, or it has no width (while Immich changes it).
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
            f"this database lacks Immich's tables {', '.join(missing)}: Immich 2.7 or newer must have started on it "
            "once (check DB_DATABASE_NAME)"
        )


def _too_new(have: int, known: int) -> SchemaError:
    return SchemaError(
        f"the database has schema version {have}, this immich-indexer knows {known}: upgrade immich-indexer"
    )


def while_locked(patience: float) -> AsyncRetrying:
    """Try again while locks are held: Immich has precedence."""
    return AsyncRetrying(
        retry=retry_if_exception_type((asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)),
        wait=wait_random_exponential(multiplier=0.2, max=3),
        stop=stop_after_delay(patience),
        reraise=True,
    )


@contextlib.contextmanager
def _explain_lock(what: str, patience: float) -> Iterator[None]:
    """Say why a lock was not free in time."""
    try:
        yield
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
        raise SchemaError(
            f"could not lock {what} for {patience:g} s: some transaction on it stays open (see pg_stat_activity, state "
            "'idle in transaction'); try again when it has ended"
        ) from error


async def _migrate(connection: Connection, step: _Migration) -> None:
    log.info("migrating", migration=step.path.stem)
    async with connection.transaction():
        await connection.execute(step.path.read_text(encoding="utf-8"))
        await connection.execute(
            "INSERT INTO immich_indexer.migration (version, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            step.version,
            step.path.stem,
        )


async def _grant(connection: Connection) -> list[str]:
    """Let the owner of Immich's tables read ours: Immich's backup runs as this role. Returns what was granted."""
    granted = []
    owner = await connection.fetchval(SQL["immich_owner"])
    for row in await connection.fetch(SQL["unreadable_schemas"], owner):
        await connection.execute(f"GRANT USAGE ON SCHEMA {row['schema']} TO {row['role']}")
        await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {row['schema']} TO {row['role']}")
        granted.append(f"{row['role']} may back up schema {row['schema']}")
    return granted


async def _trigger_is_right(connection: Connection, trigger: _Trigger) -> bool:
    there = await connection.fetchval(SQL["trigger_definition"], trigger.table, trigger.name)
    return bool(there == trigger.definition)


async def _create_trigger(connection: Connection, trigger: _Trigger, patience: float) -> None:
    statement = trigger.definition.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)
    with _explain_lock(trigger.table, patience):
        async for attempt in while_locked(patience):
            with attempt:
                async with connection.transaction():
                    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    await connection.execute(statement)


async def _left_behind(connection: Connection) -> list[str]:
    left = await connection.fetchrow(SQL["left_behind"])
    if left is None or not left["vectors"] + left["texts"]:
        return []
    return [
        f"{left['vectors']} vectors stay in smart_search and the texts of {left['texts']} photos in asset_ocr and "
        "ocr_search: Immich goes on searching them. To replace them with Immich's own, run Administration > Job Queues "
        "> Smart Search > All and OCR > All."
    ]
