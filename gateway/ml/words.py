"""What to ask for photos with words in them: `ocr:` in Immich's search box, and the words of any other search."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
import numpy as np
import structlog

from gateway.library import NOT_OURS, AwayError, Library, Vector
from indexer import lexical
from indexer.database import Connection, Pool, queries
from indexer.discriminant import Background
from indexer.errors import QueryError
from indexer.text import shelves
from indexer.text.query import Query, parse
from indexer.vectors import received, room, scales

log = structlog.get_logger()

_SQL = queries("words")
_PATIENCE = 0.12  # seconds for the index to name the matches; the arithmetic takes some 20 ms more
_OWNERS = 32  # people, whose photos are looked at
_LOOK = 1000  # matches looked at, of all of them together
_MATCHES = 200  # matches learnt from
_MATCHES_WITHOUT_ROOM = 12  # a vector of CLIP's own width can point at no more, whatever they look like
_SAMPLE = 2000  # photos that stand for the library
_SAMPLE_PATIENCE = 30.0
_SAMPLE_AGE = 1800.0  # seconds


@dataclass(frozen=True)
class _Known:
    """The sample as it was at `time`, for a column of `width` of which `dimensions` are the model's."""

    width: int
    dimensions: int
    time: float
    background: Background
    unrelated: Vector | None  # the mean of sampled photos with text, None where there is none


class Words:
    """Finds the direction in Immich's column along which photos with certain words stand out.

    Args:
        library: the photos there are.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: _Known | None = None
        self._sampling: asyncio.Task[None] | None = None

    async def only(self, text: str, width: int, dimensions: int) -> Vector | None:
        """The question that ranks photos by `text` alone, of length 1; None where there is nothing to ask for.

        Where no photo has the text, or the database is away, it is the plain sum of its tokens' directions.
        """
        found = await self._matches(text, width, dimensions)
        if found is not None:
            question = await asyncio.to_thread(self._sharpened, *found, width, dimensions)
        else:
            question = self._plain(text, width, dimensions)
        length = float(np.linalg.norm(question))
        return question / np.float32(length) if length else None

    async def beside(self, text: str, width: int, dimensions: int) -> Vector | None:
        """What to add to the model's question: photos with `text` come 1 nearer than those with other text or none.

        None where the column has no room for words, no photo has the text, or the database is away.
        """
        if not room(width, dimensions):
            return None
        found = await self._matches(text, width, dimensions)
        return None if found is None else await asyncio.to_thread(self._beside, *found, width, dimensions)

    def close(self) -> None:
        """Start nothing more."""
        if self._sampling is not None:
            self._sampling.cancel()

    def _sharpened(self, rows: Vector, owners: Sequence[object], width: int, dimensions: int) -> Vector:
        # The model's part counts like the words: it is what leads through an HNSW index, whose graph follows it. Three
        # times as much leads better, but misses more of what says the same and looks different.
        scale = scales(width, dimensions)
        return self._background(width, dimensions).question(rows * scale, owners) * scale

    def _beside(self, rows: Vector, owners: Sequence[object], width: int, dimensions: int) -> Vector:
        scale = scales(width, dimensions)
        background = self._background(width, dimensions)
        question = background.question(rows * scale, owners)
        question[:dimensions] = 0  # the order of photos without the words stays the model's
        unrelated = self._known.unrelated if self._known and self._known.width == width else None
        question[-1] = 0 if unrelated is None else unrelated @ question
        return background.scaled(question, rows * scale, owners) * scale

    def _plain(self, text: str, width: int, dimensions: int) -> Vector:
        question = np.zeros(width, dtype=np.float32)
        words = room(width, dimensions)
        if words:
            question[dimensions:-1] = lexical.question(_apart(_parsed(text)), words)
        return question

    def _background(self, width: int, dimensions: int) -> Background:
        known = self._known
        if known is None or (known.width, known.dimensions) != (width, dimensions):
            return Background.unknown(width)
        return known.background

    async def _matches(self, text: str, width: int, dimensions: int) -> tuple[Vector, list[object]] | None:
        """Photos with that text as the column has them, (photos, width), and whose they are; None if none are known."""
        query = _parsed(text)
        if not query:
            return None
        self._keep_up(width, dimensions)
        limit = _MATCHES if room(width, dimensions) else _MATCHES_WITHOUT_ROOM
        try:
            rows = await self._library.ask(lambda pool: _within(pool, _PATIENCE, lambda own: _find(own, query, limit)))
        except (AwayError, *NOT_OURS):
            return None
        vectors = [(received(row["vector"]), row["owner"]) for row in rows]
        kept = [(vector, owner) for vector, owner in vectors if len(vector) == width]  # or Immich is changing it
        return (np.stack([vector for vector, _ in kept]), [owner for _, owner in kept]) if kept else None

    def _keep_up(self, width: int, dimensions: int) -> None:
        """See to it that the sample is not too old. Nobody waits for it."""
        known, now = self._known, asyncio.get_running_loop().time()
        if known and (known.width, known.dimensions) == (width, dimensions) and now - known.time < _SAMPLE_AGE:
            return
        if self._sampling is None or self._sampling.done():
            self._sampling = asyncio.ensure_future(self.learn(width, dimensions))

    async def learn(self, width: int, dimensions: int) -> None:
        """Take a sample of the library; without one the questions are a little worse. Nothing where it is away."""
        try:
            rows = await self._library.ask(
                lambda pool: _within(pool, _SAMPLE_PATIENCE, lambda own: own.fetch(_SQL["sample"], _SAMPLE)),
                patience=_SAMPLE_PATIENCE + 5,
            )
        except (AwayError, *NOT_OURS):
            return
        self._known = await asyncio.to_thread(_learn, rows, width, dimensions, asyncio.get_running_loop().time())


def _learn(rows: Sequence[asyncpg.Record], width: int, dimensions: int, time: float) -> _Known:
    pairs = [(received(row["vector"]), row["owner"]) for row in rows]
    kept = [(vector, owner) for vector, owner in pairs if len(vector) == width]
    if not kept:
        return _Known(width, dimensions, time, Background.unknown(width), None)
    matrix = np.stack([vector for vector, _ in kept]) * scales(width, dimensions)
    worded = matrix[matrix[:, -1] == 0]
    return _Known(
        width,
        dimensions,
        time,
        Background.of(matrix, [owner for _, owner in kept]),
        worded.mean(axis=0) if room(width, dimensions) and len(worded) else None,
    )


def _parsed(text: str) -> Query:
    try:
        return parse(text)
    except QueryError:  # nobody is told; it is a search by meaning
        return Query(())


def _apart(query: Query) -> str:
    """All its runs: one that ends before a space does not go on behind it, as Chinese would in a text."""
    return ",".join(query.phrases).replace(" ", ",")


async def _find(connection: Connection, query: Query, limit: int) -> list[asyncpg.Record]:
    await connection.execute(_SQL["by_index"])
    owners = [row["id"] for row in await connection.fetch(_SQL["owners"], _OWNERS)]
    if not owners:
        return []
    return list(
        await connection.fetch(
            _SQL["matches"],
            owners,
            [f"{query.sieve} & {shelves.owned([owner])}" for owner in owners],
            None if query.sieved else query.literal,
            list(query.phrases),
            list(query.excluded),
            min(limit, _LOOK // len(owners)),
            limit,
        )
    )


async def _within(
    pool: Pool, seconds: float, question: Callable[[Connection], Awaitable[list[asyncpg.Record]]]
) -> list[asyncpg.Record]:
    """The rows of a question whose statements may take so long; none if one takes longer."""
    try:
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute(_SQL["patience"], str(int(1000 * seconds)))
            return await question(connection)
    except asyncpg.QueryCanceledError:
        log.debug("took too long", seconds=seconds)
        return []
