"""The gateway's connections to Immich's database. It may be unavailable at any time, so no query waits for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar

import asyncpg
import structlog

from gateway.errors import BusyError, NarrowColumnError, UnavailableError
from indexer.database.pool import Connection, Pool, open_pool, within
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import ColumnWidthError, SchemaError

log = structlog.get_logger()

_PAUSE = 1.0  # seconds between two tries to reach a database that does not answer
_CONNECTIONS = 4
_CONFIRM = 1.0  # seconds for the server to confirm that a query was cancelled: otherwise its connection is dead

_TROUBLE = (*TROUBLE, SchemaError)
# The database's errors where no indexer was ever installed, or where we may not read its tables.
NOT_OURS = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
)

T = TypeVar("T")


class AwayError(Exception):
    """The database does not answer. Callers in the gateway catch it and go on without the database."""


class OccupiedError(AwayError):
    """The database answers, but has no time for this query."""


# The connections that were lent to the present query.
_lent: ContextVar[list[Connection] | None] = ContextVar("lent", default=None)


class Database:
    """Immich's database.

    Args:
        dsn: where it is.
        patience: seconds that each of these may take: waiting for a free connection, connecting, the answer.

    Attributes:
        trouble: why it did not answer the last time. None: it did.
    """

    def __init__(self, dsn: str, *, patience: float = 2) -> None:
        self.trouble: str | None = "not yet connected"
        self._dsn = dsn
        self._patience = patience
        self._pool: Pool | None = None
        self._connecting = asyncio.Lock()
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._try_again = 0.0

    async def ask(self, question: Callable[[Pool], Awaitable[T]], *, patience: float | None = None) -> T:
        """The answer to a query. It allows for a database that hangs, is restarted or is restored at any time.

        It waits for a free connection and then for the answer, `patience` seconds each, if given.

        Raises:
            AwayError: the database does not answer.
            OccupiedError: it answers, but all connections are busy, or the query takes longer.
            ColumnWidthError: Immich's column is too narrow for the query.
            asyncpg.PostgresError: a table does not exist, or we may not read it.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._try_again:
            raise AwayError(self.trouble)
        patience = patience or self._patience
        async with self._place(patience):
            lent: list[Connection] = []
            token = _lent.set(lent)
            try:
                pool = await within(self._patience, self._connect())
                answer = await within(patience + _CONFIRM, _in_time(patience, question, pool, lent))
            except (*NOT_OURS, ColumnWidthError):
                raise
            except OccupiedError:
                self.trouble = None  # the database answers: it has confirmed that the query was cancelled
                raise
            except _TROUBLE as error:  # TimeoutError is an OSError
                trouble = "it does not answer" if isinstance(error, TimeoutError) else explain(error)
                if self.trouble != trouble:
                    log.warning("no database", error=trouble)
                self.trouble = trouble
                if isinstance(error, TimeoutError) and lent:
                    await self._drop(lent)  # the next query gets a new connection
                else:
                    self._try_again = loop.time() + _PAUSE
                raise AwayError(trouble) from error
            finally:
                _lent.reset(token)
        self.trouble = None
        return answer

    async def need(self, question: Callable[[Pool], Awaitable[T]], *, patience: float | None = None) -> T:
        """As `ask`, for requests that cannot be answered without the database.

        Raises:
            BusyError: the database has no time for it.
            UnavailableError: there is no answer. The text says why, and what to do.
        """
        try:
            return await self.ask(question, patience=patience)
        except ColumnWidthError as error:
            raise NarrowColumnError(str(error), 60) from error
        except OccupiedError as error:
            raise BusyError(f"the database is busy: {error}", retry_after=2) from error
        except AwayError as error:
            if isinstance(error.__cause__, SchemaError):
                raise UnavailableError(str(error.__cause__), 60) from error
            raise UnavailableError(f"the database does not answer: {error}") from error
        except NOT_OURS as error:
            raise UnavailableError(
                "immich-indexer is not installed in this database, or may not read it: see `immich-indexer doctor`", 60
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def _place(self, patience: float) -> AsyncIterator[None]:
        """One of as many places as there are connections, so that waiting for a connection is not timed as a query."""
        try:
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except TimeoutError:
            raise OccupiedError(f"none of its {_CONNECTIONS} connections was free for {patience:g} s") from None
        try:
            yield
        finally:
            self._places.release()

    async def _connect(self) -> Pool:
        async with self._connecting:
            if self._pool is None:
                self._pool = await open_pool(
                    self._dsn, size=_CONNECTIONS, timeout=self._patience, patience=None, lent=_note
                )
        return self._pool

    async def _drop(self, silent: list[Connection]) -> None:
        """Close connections that may never answer again. Idle ones are checked before they are used."""
        for connection in silent:
            with contextlib.suppress(asyncpg.InterfaceError):  # it is back in the pool
                connection.terminate()
        if self._pool is not None:
            await self._pool.expire()


async def _note(connection: Connection) -> None:
    lent = _lent.get()
    if lent is not None:
        lent.append(connection)


async def _in_time(seconds: float, question: Callable[[Pool], Awaitable[T]], pool: Pool, lent: list[Connection]) -> T:
    """The answer. If it takes longer, the query is cancelled, and this returns when the server has confirmed that.

    Raises:
        OccupiedError: it took longer.
        TimeoutError: no connection was made.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await question(pool)
    except TimeoutError:
        if limit.expired() and lent:
            raise OccupiedError(f"this took longer than {seconds:g} s") from None
        raise
