"""The index on Immich's vectors. It is dropped before all of them are written, and made again afterwards.

An HNSW index makes each row that is written cost tens of milliseconds. So Immich itself drops it before it changes its
vectors. Until it is back, searches compare all vectors: exact, only slower.

It belongs to Immich's role. With that login it is made again while others write (CONCURRENTLY). The role `ii` has a
function for it (sql/role.sql), and while that makes the index, whoever writes vectors waits.
"""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import structlog

from indexer.database import schema
from indexer.database.pool import OwnConnection, connect_to_immich, hang_up
from indexer.database.refusal import RUN_ROLE
from indexer.database.statements import queries

log = structlog.get_logger()

MANY = 2000  # rows from which on dropping it is faster
_SQL = queries("clip_index")


@contextlib.asynccontextmanager
async def dropped(connection: OwnConnection, dsn: str, many: int = MANY) -> AsyncIterator[None]:
    """While the block runs Immich's column has no index, if it has at least `many` rows and we may drop it."""
    state = await connection.fetchrow(_SQL["state"])
    if state is None or not state["there"] or state["rows"] < many:
        yield
        return
    if not state["ours"] and not state["lent"]:
        log.warning(
            f"the index on Immich's vectors stays, so writing them takes some 30 ms each: {RUN_ROLE}",
            photos=state["rows"],
        )
        yield
        return
    try:
        async for attempt in schema.while_locked(schema.LOCK_PATIENCE):
            with attempt:
                async with connection.transaction():
                    await _begin(connection)
                    definition = await connection.fetchval(_SQL["remember"])
                    if state["ours"]:
                        await connection.execute("DROP INDEX public.clip_index")
                    else:
                        await connection.execute(_SQL["put"], definition, False)
        yield
    finally:
        await restore(dsn)


async def restore(dsn: str) -> bool:
    """Make the index again, if we have dropped it. Returns whether it did."""
    connection = await connect_to_immich(dsn)
    try:
        definition = await connection.fetchval(_SQL["remembered"])
        if definition is None or not await connection.fetchval(_SQL["alone"]):
            return False
        state = await connection.fetchrow(_SQL["state"])
        if state is not None and not state["valid"]:
            log.info("making the index on Immich's vectors again", photos=state["rows"])
            if state["ours"]:
                await _make(connection, definition, broken=state["there"])
            else:
                await _have_made(connection, definition)
        await connection.execute(_SQL["forget"])
        return True
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError):
        log.warning(f"the index on Immich's vectors is missing, and may not be made: {RUN_ROLE}")
        return False
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        log.warning("Immich's vectors stay locked: their index will be made later")
        return False
    finally:
        await hang_up(connection)


async def _make(connection: OwnConnection, definition: str, *, broken: bool) -> None:
    await connection.execute("SET lock_timeout = 0")  # it waits for others, but makes nobody wait
    if broken:
        await connection.execute("DROP INDEX CONCURRENTLY IF EXISTS public.clip_index")
    await connection.execute(definition.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1))


async def _have_made(connection: OwnConnection, definition: str) -> None:
    async for attempt in schema.while_locked(schema.LOCK_PATIENCE):
        with attempt:
            async with connection.transaction():
                await _begin(connection)
                await connection.execute(_SQL["put"], definition, True)


async def _begin(connection: OwnConnection) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{schema.LOCK_TIMEOUT}'")
    await connection.execute(_SQL["qualify"])
