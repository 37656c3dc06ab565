"""The gateway's queries to Immich's database. It may be unavailable at any time, so none of them waits for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt
import structlog

from gateway.errors import BusyError, NarrowColumnError, UnavailableError
from indexer.database.pool import Connection, Pool, open_pool, within
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import ColumnWidthError, SchemaError
from indexer.photos import sets
from indexer.photos.lines import StoredLine, parse_lines
from indexer.photos.sets import Progress
from indexer.photos.width import width_advice
from indexer.queue import backlog
from indexer.queue.backlog import Counts, WorkerState

log = structlog.get_logger()

_SQL = queries("gateway")
_WIDTH = "Immich is changing the width of its vectors"
_MODEL = "the model is being changed"
_CHANGE = {_WIDTH: 5.0, _MODEL: 60.0}  # seconds to wait for such a change to end
_AGAIN = 3  # times that a search is made because the model was changed meanwhile
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


Vector = npt.NDArray[np.float32]


class AwayError(Exception):
    """The database does not answer. Callers in the gateway catch it and go on without the database."""


class OccupiedError(AwayError):
    """The database answers, but has no time for this query."""


# The connections that were lent to the present query.
_lent: ContextVar[list[Connection] | None] = ContextVar("lent", default=None)


@dataclass(frozen=True)
class Stored:
    """What the indexer has stored of a picture: its vector in the model's dimensions, its lines as in the table."""

    vector: Vector | None = None
    lines: list[StoredLine] | None = None

    def has(self, wanted: frozenset[str]) -> bool:
        """Whether everything `wanted` (clip, ocr) is here."""
        return ("clip" not in wanted or self.vector is not None) and ("ocr" not in wanted or self.lines is not None)


def check_width(width: int, dimensions: int) -> None:
    """Check that Immich's column has room for the vectors of a model.

    Raises:
        NarrowColumnError: it is narrower.
    """
    if width < dimensions:
        raise NarrowColumnError(
            f"Immich's vectors have {width} dimensions, our model's {dimensions}: {width_advice(dimensions)}",
            retry_after=60,
        )


@dataclass(frozen=True)
class Current:
    """The model whose vectors are in Immich's column. `setting`: the value of CLIP_MODEL that names it, if known.

    Of Immich's own model the setting is Immich's name for it, and its own server makes its vectors.
    """

    name: str
    setting: str | None
    dimensions: int | None

    @property
    def is_immichs(self) -> bool:
        """Whether Immich's own machine-learning server answers for it."""
        return self.name == sets.IMMICHS


@dataclass(frozen=True)
class Column:
    """Immich's vector column: its width, and whose vectors are in it. None: no indexer has told yet."""

    width: int
    model: Current | None


class Library:
    """Immich's database: for queries, and to enqueue requests. Results are not written from here.

    Args:
        dsn: where it is.
        lease: seconds. An indexer not seen for so long counts as dead.
        patience: seconds that each of these may take: waiting for a free connection, connecting, the answer.
    """

    def __init__(self, dsn: str, *, lease: float = 10, patience: float = 2) -> None:
        self.trouble: str | None = "not yet connected"
        self.last: Column | None = None
        self._dsn = dsn
        self._lease = lease
        self._patience = patience
        self._pool: Pool | None = None
        self._connecting = asyncio.Lock()
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._try_again = 0.0
        self._reading: asyncio.Task[tuple[Column, str]] | None = None

    @property
    def last_width(self) -> int | None:
        """The width of Immich's vector column as it was last seen."""
        return self.last.width if self.last else None

    async def width(self) -> int:
        """The width of Immich's vector column. As `column`."""
        return (await self.column()).width

    async def column(self) -> Column:
        """Immich's vector column: the present one, or the last known one if the database is unavailable.

        Raises:
            UnavailableError: it was never known, or it is being changed.
        """
        # It is read for every answer, because Immich caches vectors, also those of a wrong width, until its restart.
        return await self._settled(_CHANGE)

    async def model(self) -> Current | None:
        """The model in use. As `column`, but also while Immich changes the width."""
        return (await self._settled({_MODEL: _CHANGE[_MODEL]})).model

    async def unmixed(self, find: Callable[[], Awaitable[T]]) -> T:
        """What `find` comes to, found again where another model came into use meanwhile. Raises UnavailableError."""
        before = self.last.model if self.last else await self.model()
        for _ in range(_AGAIN):
            found = await find()
            now = await self.model()
            if now == before:
                return found
            before = now
        raise UnavailableError(_MODEL, retry_after=5)

    async def name_immichs(self, name: str) -> None:
        """Note the name that Immich has for its own model. Raises AwayError."""
        await self.ask(lambda pool: pool.run(lambda connection: sets.name_immichs(connection, name)))

    async def stored(self, digest: bytes, clip_model: str | None, ocr_model: str | None) -> Stored:
        """What the indexer has stored for the picture with that SHA-256, made by those models.

        Raises:
            AwayError: the database does not answer.
        """
        try:
            row = await self.ask(lambda pool: pool.fetchrow(_SQL["stored"], digest, clip_model, ocr_model))
        except NOT_OURS:  # no indexer was ever installed here
            return Stored()
        assert row is not None  # noqa: S101 - a select without FROM always has a row
        return Stored(
            None if row["vector"] is None else np.array(row["vector"], dtype=np.float32),
            None if row["lines"] is None else parse_lines(row["lines"]),
        )

    async def under_way(self, among: set[UUID] | None = None) -> set[UUID]:
        """Photos that a living indexer is reading or will read soon: all, or those `among` some.

        Raises:
            AwayError: the database does not answer.
        """
        some = None if among is None else list(among)
        try:
            rows = await self.ask(lambda pool: pool.fetch(_SQL["under_way"], some, self._lease))
        except NOT_OURS:
            return set()
        return {row["asset_id"] for row in rows}

    async def backlog(self) -> Counts | None:
        """The indexer's queue. None where there is none, or the database is unavailable."""
        try:
            return await self.ask(backlog.counts)
        except (AwayError, *NOT_OURS):
            return None

    async def workers(self) -> list[WorkerState]:
        """The indexers. None of them while the database is unavailable."""
        try:
            return await self.ask(backlog.workers)
        except (AwayError, *NOT_OURS):
            return []

    async def change(self) -> Progress | None:
        """How far a change of the model is. None where none is under way, or the database does not tell."""

        async def look(pool: Pool) -> Progress | None:
            following = (await sets.read(pool)).next
            return None if following is None else await sets.progress(pool, following.name)

        try:
            return await self.ask(look)
        except (AwayError, *NOT_OURS):
            return None

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

    async def _settled(self, waits: Mapping[str, float]) -> Column:
        """The column, not before those changes of it have ended that are in `waits`. For so many seconds at most."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            while True:
                column, change = await self._read_column()
                if not change:
                    self.last = column
                if change not in waits:
                    return column
                if loop.time() > start + waits[change]:
                    raise UnavailableError(change, retry_after=5)
                await asyncio.sleep(0.1)
        except AwayError as error:
            if self.last is None:
                raise UnavailableError(
                    f"the width of Immich's vectors is not known yet: {error}", retry_after=5
                ) from None
            return self.last

    async def _read_column(self) -> tuple[Column, str]:
        """One query for all requests that need the column at the same time. Also how it is being changed, if it is."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._ask_column())
            self._reading.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # all callers may have been cancelled
        return await asyncio.shield(self._reading)

    async def _ask_column(self) -> tuple[Column, str]:
        async def look(pool: Pool) -> asyncpg.Record | None:
            # First the lock, then the model: one snapshot of both could be from before the end of a change.
            turning = await pool.fetchval(_SQL["turning"])
            return await pool.fetchrow(_SQL["column"], turning)

        try:
            row = await self.ask(look)
        except NOT_OURS:  # no indexer was ever installed here
            row = await self.ask(lambda pool: pool.fetchrow(_SQL["width"]))
        if row is None or row["width"] < 1:
            self.trouble = "smart_search.embedding has no width: is this Immich's database, with smart search set up?"
            raise AwayError(self.trouble)
        told = dict(row)
        model = Current(told["name"], told["setting"], told["dimensions"]) if told.get("name") else None
        return Column(told["width"], model), _MODEL if told.get("turning") else _WIDTH if told["changing"] else ""

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
