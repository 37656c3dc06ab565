"""Connections to Immich's database, and the SQL files that are asked over them."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from indexer.database.dsn import Dsn
from indexer.database.refusal import POOLER, RefusedError, refusals
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE
from indexer.errors import SchemaError

T = TypeVar("T")

LOCK_TIMEOUT = "800ms"
IDLE_TIMEOUT = "10s"  # of a transaction: a frozen worker or a dead line must not hold locks against Immich

_STATEMENT = 120.0  # seconds that a statement may take
PATIENCE = _STATEMENT + 30  # to wait for an answer, where nothing is shorter: the line may be dead, and nobody tells us

INSTALLING = 900.0  # seconds that installing our schema may take: an index of a large table takes its time

# What `within` is waiting for, or no longer is: asyncio itself keeps no task alive.
_left: set["asyncio.Task[Any]"] = set()

if TYPE_CHECKING:  # asyncpg's classes take no parameters at run time
    OwnConnection = asyncpg.Connection[Any]
    Connection = OwnConnection | PoolConnectionProxy[Any]  # one's own, or one borrowed from a pool
    Connections = asyncpg.Pool[Any]
else:
    OwnConnection = Connection = asyncpg.Connection
    Connections = asyncpg.Pool


class Pool:
    """Connections to share. Whoever asks gets an answer in time, or TimeoutError: the line may be dead.

    Args:
        connections: asyncpg's.
        patience: seconds for each call of a method here: to wait for a free connection, to connect, and to be answered.
            None: whoever asks limits the time.
    """

    def __init__(self, connections: Connections, patience: float | None = PATIENCE) -> None:
        self.patience = patience
        self._connections = connections

    def patient(self, seconds: float) -> "Pool":
        """The same connections, asked with another patience."""
        return Pool(self._connections, seconds)

    async def execute(self, query: str, *arguments: Any) -> str:
        """As asyncpg's, and so are the next three."""
        return await self._in_time(self._connections.execute(query, *arguments))

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:  # noqa: D102
        return await self._in_time(self._connections.fetch(query, *arguments))

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:  # noqa: D102
        return await self._in_time(self._connections.fetchrow(query, *arguments))

    async def fetchval(self, query: str, *arguments: Any) -> Any:  # noqa: D102
        return await self._in_time(self._connections.fetchval(query, *arguments))

    async def run(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """What `work` comes to on one connection, all of it within `patience`."""

        async def borrowed() -> T:
            async with self._connections.acquire() as connection:
                return await work(connection)

        return await self._in_time(borrowed())

    async def transact(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """The same in one transaction."""

        async def transaction(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self.run(transaction)

    def acquire(self) -> "PoolAcquireContext[Any]":
        """As asyncpg's: whoever borrows a connection limits the time."""
        return self._connections.acquire()

    async def expire(self) -> None:
        """Make all connections anew before they are used again."""
        await self._connections.expire_connections()

    async def close(self) -> None:
        """Close all connections, politely."""
        await self._connections.close()

    def terminate(self) -> None:
        """Close all connections at once: nobody is waited for."""
        self._connections.terminate()

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        return await work if self.patience is None else await within(self.patience, work)


async def _vector_schema(connection: Connection, timeout: float) -> str:
    schema = await connection.fetchval(queries("schema")["vector_schema"], timeout=timeout)
    if schema is None:
        raise SchemaError("this database has no pgvector extension: it is not Immich's (check DB_DATABASE_NAME)")
    return str(schema)


def _session(search_path: str | None = None, *, durable: bool = True) -> dict[str, str]:
    # Given when the session starts, so that a pool's reset between uses brings back just this. The lock timeout is less
    # than the server's deadlock_timeout: in a conflict with Immich, as when it restores a backup, we are who gives way.
    session = {"application_name": "immich-indexer", "lock_timeout": LOCK_TIMEOUT}
    session["idle_in_transaction_session_timeout"] = IDLE_TIMEOUT
    session["jit"] = "off"  # our queries are short, and compiling one takes longer than any of them
    if search_path is not None:
        session["search_path"] = search_path
    if not durable:
        session["synchronous_commit"] = "off"
    return session


async def connect(dsn: str, *, timeout: float = 10) -> OwnConnection:
    """One connection that knows nothing special: to LISTEN, to notify, to look around.

    It takes `timeout` seconds at most to connect, and so long for an answer over the new connection.

    Raises:
        RefusedError: the settings are wrong: waiting does not help.
        OSError, asyncpg.PostgresError: no connection for now, or a wrong login; `explain` puts it into words.
    """
    with refusals():
        connection: OwnConnection = await asyncpg.connect(
            **Dsn.parse(dsn).arguments(timeout), server_settings=_session()
        )
    try:
        # A pooler may swallow what a session begins with, and our statements would wait for Immich's locks without end.
        # Asked as one plain text: a prepared statement is what poolers lose.
        kept = await connection.execute(
            f"SELECT WHERE current_setting('lock_timeout') = '{LOCK_TIMEOUT}'", timeout=timeout
        )
        if kept != "SELECT 1":
            raise RefusedError(POOLER)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def connect_to_immich(dsn: str, *, timeout: float = 10) -> OwnConnection:
    """One connection that finds Immich's tables, and pgvector wherever it lives.

    It knows the types of neither: a restored backup makes them anew under other numbers, and a connection that had
    learnt the old ones would be wrong for good. Vectors go as text. `timeout` as in `connect`.

    Raises:
        SchemaError: the database has no pgvector.
        OSError, asyncpg.PostgresError: no connection; `explain` puts it into words.
    """
    connection = await connect(dsn, timeout=timeout)
    try:
        await connection.execute(f"SET search_path = {await _search_path(connection, timeout)}", timeout=timeout)
    except BaseException:
        connection.terminate()  # at once: its line may be dead
        raise
    return connection


async def hang_up(connection: OwnConnection) -> None:
    """Close it, politely where it still answers."""
    with contextlib.suppress(*TROUBLE):
        await connection.close(timeout=1)


async def _search_path(connection: Connection, timeout: float) -> str:
    return f'pg_catalog, "{await _vector_schema(connection, timeout)}", public'


async def open_pool(
    dsn: str,
    *,
    size: int = 4,
    timeout: float = 10,
    patience: float | None = PATIENCE,
    durable: bool = True,
    lent: Callable[[Any], Coroutine[Any, Any, None]] | None = None,
) -> Pool:
    """A pool of up to `size` such connections, with that `patience`. `timeout` and errors as in `connect_to_immich`.

    `lent` is told of each connection that is lent out.

    `durable=False` spares Immich's disk: a crash of the server may then forget our last half second, always whole
    transactions and the latest first. That is all a worker needs, whose results and the end of their jobs are one
    transaction.
    """
    first = await connect(dsn, timeout=timeout)
    try:
        search_path = await _search_path(first, timeout)
    finally:
        await hang_up(first)
    with refusals():
        connections = await asyncpg.create_pool(
            **Dsn.parse(dsn).arguments(timeout),
            min_size=1,
            max_size=size,
            command_timeout=_STATEMENT,
            max_inactive_connection_lifetime=300,
            setup=lent,
            server_settings=_session(search_path, durable=durable),
        )
    return Pool(connections, patience)


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to, if it does within `seconds`; else TimeoutError, and it is left to end by itself.

    For connections of one's own, and for whoever is in more of a hurry than a pool. None: however long it takes.

    A timeout of asyncio's own is not enough for work on a pool: a cancelled query keeps its connection, and whoever
    awaits it, until the server has confirmed the cancelling, and the server may be what does not answer.
    """
    task = asyncio.ensure_future(work)
    _left.add(task)
    task.add_done_callback(_forget)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=1)  # what was sent to the database is done or undone
        raise
    if not done:
        task.cancel()
        raise TimeoutError("the database did not answer in time")
    return task.result()


def _forget(task: "asyncio.Task[Any]") -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()  # seen: nobody else may be there to see it
