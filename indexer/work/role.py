"""Makes the database role of the indexer and the gateway. It runs sql/role.sql with Immich's own login.

It waits for the database, and in a new database for Immich's tables, which Immich makes when it starts.
"""

import asyncio
import time
from collections.abc import Callable

import asyncpg

from indexer.database import schema
from indexer.database.pool import Connection, connect, hang_up
from indexer.database.statements import sql
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError
from indexer.immich.api import Immich, ImmichAwayError, ImmichError
from indexer.work import verdicts

_LOOK = 1.0  # seconds between two tries


class _NotYetError(IndexerError):
    """Something is not there yet. The text says what."""


async def await_immich(immich: Immich, *, say: Callable[[str], None], patience: float) -> None:
    """Wait until Immich answers: started in a newer version, it makes tables before it does.

    Args:
        immich: its API.
        say: is told what is waited for, once for each thing, and where the wait was in vain.
        patience: seconds to wait.
    """
    give_up = time.monotonic() + patience
    said = ""
    while True:
        try:
            return await immich.ping()
        except ImmichError as error:
            reason = str(error)
            if not isinstance(error, ImmichAwayError) or time.monotonic() > give_up:
                return say(f"not waiting for Immich: {reason}")
        if reason != said:
            say(f"waiting: {reason}")
            said = reason
        await asyncio.sleep(_LOOK)


async def make(dsn: str, password: str, *, say: Callable[[str], None], patience: float) -> None:
    """Make or repair the role `ii`. It can be done at any time, and again.

    Args:
        dsn: of Immich's database, with Immich's own login.
        password: the password that the role gets.
        say: called with what is waited for, once for each thing.
        patience: seconds to wait for the database and Immich's tables.

    Raises:
        IndexerError: they did not appear in time, or that login may not make a role. The text says what to do.
    """
    give_up = time.monotonic() + patience
    said = ""
    while True:
        try:
            return await _try(dsn, password)
        except (*TROUBLE, _NotYetError) as error:
            if _is_final(error):
                raise IndexerError(_explain(error)) from error
            reason = str(error) if isinstance(error, _NotYetError) else explain(error)
        if reason != said:
            say(f"waiting: {reason}")
            said = reason
        if time.monotonic() > give_up:
            raise IndexerError(f"gave up after {patience:.0f} s: {reason}")
        await asyncio.sleep(_LOOK)


def script(password: str) -> str:
    """sql/role.sql without what only psql knows. `password` is an SQL literal, with its quotes."""
    lines = [line for line in sql("role.sql").splitlines() if not line.startswith("\\")]
    return "\n".join(lines).replace(":'password'", password)


async def _try(dsn: str, password: str) -> None:
    connection = await connect(dsn)
    try:
        await _require_tables(connection)
        literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
        await connection.execute(script(literal))
    finally:
        await hang_up(connection)


async def _require_tables(connection: Connection) -> None:
    rows = await connection.fetch(schema.SQL["tables_present"], list(schema.TABLES))
    missing = [row["name"] for row in rows if not row["present"]]
    if missing:
        database = await connection.fetchval("SELECT current_database()")
        raise _NotYetError(
            f"the database {database} lacks Immich's tables {', '.join(missing)}: Immich 2.7 or newer makes them when "
            "it starts (check DB_DATABASE_NAME)"
        )


def _is_final(error: BaseException) -> bool:
    """Whether waiting is useless."""
    if isinstance(error, _NotYetError):
        return False
    return isinstance(error, asyncpg.InsufficientPrivilegeError | asyncpg.RaiseError) or not verdicts.passes(error)


def _explain(error: BaseException) -> str:
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return (
            f"the login in DB_USERNAME may not make a role: {error}. It has to be Immich's own in its stock image, or "
            "another superuser's; where there is none, the database's administrator runs sql/role.sql"
        )
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):  # a wrong password is one, too
        return f"the database refused the login: {error} (this command logs in as Immich: DB_USERNAME, DB_PASSWORD)"
    if isinstance(error, asyncpg.RaiseError):
        return f"{error.message}. {error.hint}" if error.hint else str(error)
    return explain(error)
