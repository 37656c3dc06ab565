"""Connections to Immich's database."""

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

NAME = "immich-indexer"  # of our sessions, in pg_stat_activity
LOCK_TIMEOUT = "800ms"
IDLE_TIMEOUT = "10s"  # of a transaction: a frozen worker must not keep locks that Immich needs

_STATEMENT = 120.0  # seconds that a statement may take
PATIENCE = _STATEMENT + 30  # seconds to wait for an answer by default: nobody reports a dead connection

INSTALLING = 900.0  # seconds that installing our schema may take: an index of a large table is slow

# The tasks that `within` started and that have not ended: asyncio itself keeps no reference to a task.
_left: set["asyncio.Task[Any]"] = set()

if TYPE_CHECKING:  # asyncpg's classes take no parameters at run time
    OwnConnection = asyncpg.Connection[Any]
    Connection = OwnConnection | PoolConnectionProxy[Any]  # an own connection, or one from a pool
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


def _session(search_path: str | None = None, *, durable: bool = True, name: str = NAME) -> dict[str, str]:
    # These settings are given when the session starts, because a pool's reset between uses goes back to them. That also
    # ends what a cancelled question left: asyncpg may have had a statement planned, and a transaction is open then.
    # The lock timeout is shorter than the server's deadlock_timeout: in a conflict with Immich our statement fails.
    session = {"application_name": name, "lock_timeout": LOCK_TIMEOUT}
    session["idle_in_transaction_session_timeout"] = IDLE_TIMEOUT
    session["jit"] = "off"  # our queries are short: compiling one takes longer than running it
    if search_path is not None:
        session["search_path"] = search_path
    if not durable:
        session["synchronous_commit"] = "off"
        # A worker asks the same few statements all the time. Planning one again takes a third of the time to run it.
        # asyncpg keeps a statement for five minutes at most, so a plan is never much older than the statistics.
        session["plan_cache_mode"] = "force_generic_plan"
    return session


async def connect(dsn: str, *, timeout: float = 10) -> OwnConnection:
    """One plain connection: to LISTEN, to notify, to inspect the database.

    It takes `timeout` seconds at most to connect, and so long for an answer over the new connection.

    Raises:
        RefusedError: the settings are wrong, and waiting does not help.
        OSError, asyncpg.PostgresError: no connection at the moment, or a wrong login. `explain` describes it.
    """
    with refusals():
        connection: OwnConnection = await asyncpg.connect(
            **Dsn.parse(dsn).arguments(timeout), server_settings=_session()
        )
    try:
        # A pooler may drop the settings that a session starts with. Then our statements would wait for Immich's locks
        # without limit. This is sent as plain text, because some poolers do not support prepared statements.
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
    """One connection that finds Immich's tables and pgvector, whatever schema pgvector is in.

    It registers no type of either. A restored backup creates the types again with other OIDs, and a connection that
    knew the old ones would stay wrong. So vectors are sent as text. `timeout` as in `connect`.

    Raises:
        SchemaError: the database has no pgvector.
        OSError, asyncpg.PostgresError: no connection. `explain` describes it.
    """
    connection = await connect(dsn, timeout=timeout)
    try:
        await connection.execute(f"SET search_path = {await _search_path(connection, timeout)}", timeout=timeout)
    except BaseException:
        connection.terminate()  # at once: the server may not answer any more
        raise
    return connection


async def hang_up(connection: OwnConnection) -> None:
    """Close it, with a proper goodbye to the server if the server still answers."""
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
    name: str = NAME,
    lent: Callable[[Any], Coroutine[Any, Any, None]] | None = None,
) -> Pool:
    """A pool of up to `size` such connections, with that `patience`. `timeout` and errors as in `connect_to_immich`.

    `name`: of its sessions, in pg_stat_activity. `lent` is called with each connection that the pool lends out.

    `durable=False` reduces writes to Immich's disk. After a crash of the server the transactions of the last half
    second may then be missing, always whole ones, the newest first. That is safe for a worker: results and the
    completion of their jobs are one transaction.
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
            server_settings=_session(search_path, durable=durable, name=name),
        )
    return Pool(connections, patience)


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, if it ends within `seconds`. Otherwise TimeoutError, and `work` goes on by itself.

    For connections outside of a pool, and for callers with less patience than a pool. None: no limit.

    A timeout of asyncio's is not enough for a query: a cancelled query keeps its connection, and its caller, until the
    server confirms that it was cancelled, and it may be the server that does not answer.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    _left.add(task)
    task.add_done_callback(_forget)
    # asyncio.wait does the same. It takes three times as long, which counts for statements of a millisecond.
    waiter: asyncio.Future[bool] = loop.create_future()

    def end(in_time: bool) -> None:
        if not waiter.done():
            waiter.set_result(in_time)

    task.add_done_callback(lambda _: end(True))
    timer = None if seconds is None else loop.call_later(seconds, end, False)
    try:
        in_time = await waiter
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=1)  # so that the statement has ended, one way or the other
        raise
    finally:
        if timer is not None:
            timer.cancel()
    if not in_time:
        task.cancel()
        raise TimeoutError("the database did not answer in time")
    return task.result()


def _forget(task: "asyncio.Task[Any]") -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()  # reading it stops asyncio's warning about an exception that nobody read
