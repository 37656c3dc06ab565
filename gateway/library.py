"""What the gateway asks Immich's database."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt

from gateway.database import NOT_OURS, AwayError, Database
from gateway.errors import NarrowColumnError, UnavailableError
from indexer.database.pool import Pool
from indexer.database.statements import queries
from indexer.photos import sets
from indexer.photos.lines import StoredLine, parse_lines
from indexer.photos.sets import Progress
from indexer.photos.width import width_advice
from indexer.queue import backlog
from indexer.queue.backlog import Counts, WorkerState

_SQL = queries("gateway")
_WIDTH = "Immich is changing the width of its vectors"
_MODEL = "the model is being changed"
_CHANGE = {_WIDTH: 5.0, _MODEL: 60.0}  # seconds to wait for such a change to end
_AGAIN = 3  # times that a search is made because the model was changed meanwhile

T = TypeVar("T")


Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Stored:
    """What the indexer has stored of a picture: its vector in the model's dimensions, its lines as in the table.

    `facts`: what else is known of the photo and in its vector.
    """

    vector: Vector | None = None
    lines: list[StoredLine] | None = None
    facts: Sequence[str] = ()

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


class Library(Database):
    """Immich's database: for queries, and to enqueue requests. Results are not written from here.

    Args:
        dsn: where it is.
        lease: seconds. An indexer not seen for so long counts as dead.
        patience: as for `Database`.

    Attributes:
        last: Immich's vector column as it was last seen. None: it was not seen yet.
    """

    def __init__(self, dsn: str, *, lease: float = 10, patience: float = 2) -> None:
        super().__init__(dsn, patience=patience)
        self.last: Column | None = None
        self._lease = lease
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
            row["facts"] or (),
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
