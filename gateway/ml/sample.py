"""A sample of the library, to tell the photos that match a search from the others. Never outdated."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import asyncpg
import numpy as np

from gateway.errors import UnavailableError
from gateway.library import Library, Vector
from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.photos import lexical
from indexer.photos.vectors import as_column, received, room, scales
from indexer.search.discriminant import Background

SIZE = 2000  # photos. A smaller library is sampled completely, again after each change
_GROWN = 10  # a larger library is sampled again when a tenth as many photos were read since,
_AGE = 1800.0  # and after so many seconds. No search waits for that
_WAIT = 20.0  # seconds that a search may wait for a sample
_PATIENCE = 60.0  # seconds that taking a sample may take
_CHUNK = 250  # vectors in one answer of the database

_SQL = queries("words")

T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """Photos as Immich's column has them, or will have them once the indexer is done: `vectors` is (photos, width)."""

    ids: Sequence[UUID]
    owners: Sequence[UUID]
    vectors: Vector


@dataclass(frozen=True)
class Sample:
    """Photos of the library, scaled so that the model's part of their vectors and the rest have the same length.

    Attributes:
        width: of Immich's column.
        dimensions: those of the column that are the model's.
        places: by photo, its row in `background.rows`.
        owners: the owner of each row.
        background: their statistical description.
        words: the same of the part of their vectors that holds words. None where the column has no room for words.
        fingerprint: of the state of the library, if this is all of it. None where it is only a part.
        photos: number of photos in the library.
        time: when it was taken, by the database's clock.
        taken: when it was taken, by the event loop's clock.
    """

    width: int
    dimensions: int
    places: dict[UUID, int]
    owners: Sequence[UUID]
    background: Background
    words: Background | None
    fingerprint: str | None
    photos: int
    time: datetime
    taken: float

    @property
    def whole(self) -> bool:
        """Whether it contains the whole library."""
        return self.fingerprint is not None


class Sampler:
    """Provides a sample that matches the present library.

    Args:
        library: the database.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._sample: Sample | None = None
        self._taking: asyncio.Task[None] | None = None

    async def current(self, width: int, dimensions: int, wait: float = _WAIT) -> Sample:
        """A sample, with vectors of `width`, taken after the library's last noticeable change.

        Raises:
            UnavailableError: the database does not answer, or taking the sample takes longer than `wait` seconds.
        """
        try:
            async with asyncio.timeout(wait):
                return await self._current(width, dimensions)
        except TimeoutError:
            raise UnavailableError("the library is still being analysed: search again in a minute", 30) from None

    async def _current(self, width: int, dimensions: int) -> Sample:
        started = False
        while not await self._is_current(width, dimensions) and not started:
            if started := self._taking is None or self._taking.done():
                self._start(width, dimensions)
            assert self._taking is not None  # noqa: S101 - just started, or already running
            await asyncio.shield(self._taking)
        sample = self._sample
        if sample is None or (sample.width, sample.dimensions) != (width, dimensions):
            raise UnavailableError("Immich is changing the width of its vectors", 5)
        if not sample.whole and asyncio.get_running_loop().time() - sample.taken > _AGE:
            self._start(width, dimensions)
        return sample

    async def take(self, width: int, dimensions: int) -> None:
        """Take a sample now. Raises UnavailableError."""
        state = await self._state()
        chosen = await self._row("sample", SIZE, plan="by_hash")
        rows = await read(self._library, chosen["ids"], width, _PATIENCE)
        fingerprint = state["hash"] if chosen["photos"] <= SIZE else None
        self._sample = await asyncio.to_thread(
            _made, rows, width, dimensions, fingerprint, chosen, asyncio.get_running_loop().time()
        )

    def forget(self) -> None:
        """Take another sample before the next answer, whatever is being taken now."""
        self.close()
        self._sample = self._taking = None

    def close(self) -> None:
        """Start no more work."""
        if self._taking is not None:
            self._taking.cancel()

    async def _is_current(self, width: int, dimensions: int) -> bool:
        sample = self._sample
        if sample is None or (sample.width, sample.dimensions) != (width, dimensions):
            return False
        if sample.whole:
            return bool((await self._state())["hash"] == sample.fingerprint)
        most = sample.photos // _GROWN + 1
        return bool((await self._row("grown", sample.time, most))["count"] < most)

    async def _state(self) -> asyncpg.Record:
        return await self._row("state", SIZE + 1)

    async def _row(self, query: str, *arguments: object, plan: str = "by_index") -> asyncpg.Record:
        async def fetch(connection: Connection) -> list[asyncpg.Record]:
            return list(await connection.fetch(_SQL[query], *arguments))

        [row] = await ask(self._library, _PATIENCE, fetch, plan=plan)
        return row

    def _start(self, width: int, dimensions: int) -> None:
        if self._taking is None or self._taking.done():
            self._taking = asyncio.ensure_future(self.take(width, dimensions))
            self._taking.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # all callers may have been cancelled


async def ask(
    library: Library, seconds: float, question: Callable[[Connection], Awaitable[T]], *, plan: str = "by_index"
) -> T:
    """The result of a query. Each statement may take so many seconds, and is planned `by_index` or `by_hash`.

    Raises:
        UnavailableError: a statement took longer, or the database does not answer.
    """

    async def asked(pool: Pool) -> tuple[T] | None:
        async with pool.acquire() as connection:
            try:
                async with connection.transaction(readonly=True):
                    await connection.fetchrow(_SQL[plan], str(int(1000 * seconds)))
                    return (await question(connection),)
            except asyncpg.QueryCanceledError:  # that does not mean that the database is down
                return None

    answer = await library.need(asked, patience=seconds + 5)
    if answer is None:
        raise UnavailableError("the database is too busy to look for these words: search again in a minute", 30)
    return answer[0]


async def read(library: Library, ids: Sequence[UUID], width: int, patience: float) -> Rows:
    """The vectors of photos in a column of `width`. Photos without one are left out. Raises UnavailableError."""
    found: list[asyncpg.Record] = []
    for start in range(0, len(ids), _CHUNK):
        found += await ask(library, patience, partial(look_up, ids=ids[start : start + _CHUNK], width=width))
    return await asyncio.to_thread(to_rows, found, width)


async def look_up(connection: Connection, ids: Sequence[UUID], width: int) -> list[asyncpg.Record]:
    """The same in one query, whose result is for `to_rows`."""
    return list(await connection.fetch(_SQL["vectors"], ids, width, lexical.VERSION)) if ids else []


def to_rows(records: Sequence[asyncpg.Record], width: int) -> Rows:
    """The rows in the result of `look_up`."""
    found = [(row["id"], row["owner"], _column(row, width)) for row in records]
    kept = [(asset, owner, vector) for asset, owner, vector in found if vector is not None]
    vectors = np.stack([vector for *_, vector in kept]) if kept else np.zeros((0, width), dtype=np.float32)
    return Rows([asset for asset, *_ in kept], [owner for _, owner, _ in kept], vectors)


def _column(row: asyncpg.Record, width: int) -> Vector | None:
    if row["vector"] is not None:
        return received(row["vector"])
    clip = received(row["clip"])
    return as_column(clip, width, row["text"] or "", row["public_facts"]) if len(clip) <= width else None


def _made(
    rows: Rows, width: int, dimensions: int, fingerprint: str | None, chosen: asyncpg.Record, taken: float
) -> Sample:
    matrix = rows.vectors * scales(width, dimensions)
    return Sample(
        width,
        dimensions,
        {asset: place for place, asset in enumerate(rows.ids)},
        rows.owners,
        Background.of(matrix, rows.owners),
        Background.of(matrix[:, dimensions:-1], rows.owners) if room(width, dimensions) else None,
        fingerprint,
        chosen["photos"],
        chosen["time"],
        taken,
    )
