"""What to ask for photos with words in them: `ocr:` in Immich's search box, and the words of any other search.

Immich keeps an answer until it is restarted, so that none is given in doubt: not while the database is away, nor while
it is not known what the library looks like now.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import numpy as np
import structlog

from gateway.errors import BusyError, UnavailableError
from gateway.library import Library, Vector
from gateway.ml.sample import Rows, Sample, Sampler, ask, look_up, to_rows
from indexer.database.pool import Connection
from indexer.database.statements import queries
from indexer.errors import QueryError
from indexer.photos import lexical
from indexer.photos.vectors import room, scales
from indexer.text import buckets
from indexer.text.query import Query, parse

log = structlog.get_logger()

_SQL = queries("words")
_PATIENCE = 10.0  # seconds for the index to name the matches, where nothing can be answered without them
_BESIDE_PATIENCE = 0.12  # where a search by meaning is good enough; the arithmetic takes some 20 ms more
_BESIDE_WAIT = 2.0  # seconds such a search waits for a sample
_OWNERS = 32  # people, whose photos are looked at
_LOOK = 1000  # matches looked at in a large library, of all of them together
_MATCHES = 200  # matches learnt from
# A vector of CLIP's own width can point at no more, whatever they look like: in a small library, where it can be seen
# who comes before them, and in a large one.
_MATCHES_WITHOUT_ROOM = 50
_FEW = 12
_MANY = 50


@dataclass(frozen=True)
class _Matches:
    """Photos that say it.

    Attributes:
        ids: of all of them, or of as many as were looked for.
        all: whether it is all.
        learnt: those to learn from.
        read: what was read of those that are not in the sample.
    """

    ids: frozenset[UUID]
    all: bool
    learnt: Sequence[UUID]
    read: Sequence[asyncpg.Record]


class Words:
    """Finds the direction in Immich's column along which photos with certain words stand out.

    Args:
        library: the photos there are.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._sampler = Sampler(library)

    async def only(self, text: str, width: int, dimensions: int) -> Vector | None:
        """The question that ranks photos by `text` alone, of length 1; None where there is nothing to ask for.

        Where no photo has the text, it is what one that comes later would look like, as far as the column has room for
        words.

        Raises:
            BusyError: what can be known now is not enough for a good one.
        """
        query = _parsed(text)
        if not query:
            return None
        sample = await self._sampler.current(width, dimensions)
        if not sample.places:  # Immich would keep the answer for when there are photos
            raise UnavailableError(
                "no photo has a vector yet, and Immich shows none without: search for words once some have one, or now "
                "in the gateway's console",
                30,
            )
        matches = await self._matches(query, sample, _PATIENCE)
        question = await asyncio.to_thread(_sharpened, query, sample, matches)
        length = float(np.linalg.norm(question))
        return question / np.float32(length) if length else None

    async def beside(self, text: str, width: int, dimensions: int) -> Vector | None:
        """What to add to the model's question: photos with `text` come 1 nearer than those with other text or none.

        None where the column has no room for words, no photo has the text, or the database is away or slow.
        """
        query = _parsed(text)
        if not (query and room(width, dimensions)):
            return None
        try:
            sample = await self._sampler.current(width, dimensions, _BESIDE_WAIT)
            matches = await self._matches(query, sample, _BESIDE_PATIENCE)
        except BusyError as error:  # or unavailable
            log.debug("searched by meaning alone", why=str(error))
            return None
        return await asyncio.to_thread(_beside, query, sample, matches)

    async def learn(self, width: int, dimensions: int) -> None:
        """Get to know the library. Raises BusyError."""
        await self._sampler.take(width, dimensions)

    def close(self) -> None:
        """Start nothing more."""
        self._sampler.close()

    async def _matches(self, query: Query, sample: Sample, patience: float) -> _Matches:
        most = _most(sample)
        # In a small library, whom to put first is known of every photo.
        limit = len(sample.places) + _MATCHES if sample.whole else most + 1
        look = limit if sample.whole else _LOOK

        async def find(connection: Connection) -> _Matches:
            found, cap = await _find(connection, query, limit, look)
            owners = Counter(row["owner"] for row in found)
            complete = len(found) < limit and max(owners.values(), default=0) < cap
            ids = [row["id"] for row in found]
            unknown = [asset for asset in ids[:most] if asset not in sample.places]
            read = await look_up(connection, unknown, sample.width)
            return _Matches(frozenset(ids), complete, ids[:most], read)

        return await ask(self._library, patience, find)


def _most(sample: Sample) -> int:
    """How many matches to learn from."""
    if room(sample.width, sample.dimensions):
        return _MATCHES
    return _MATCHES_WITHOUT_ROOM if sample.whole else _FEW


def _rows(matches: _Matches, sample: Sample) -> Rows:
    """What to learn from, of length 1 in both parts."""
    known = [asset for asset in matches.learnt if asset in sample.places]
    places = [sample.places[asset] for asset in known]
    rest = to_rows(matches.read, sample.width)
    scale = scales(sample.width, sample.dimensions)
    return Rows(
        [*known, *rest.ids],
        [*(sample.owners[place] for place in places), *rest.owners],
        np.concatenate([sample.background.rows[places], rest.vectors * scale]),
    )


def _sharpened(query: Query, sample: Sample, matches: _Matches) -> Vector:
    learnt = _rows(matches, sample)
    # The model's part counts like the words: it is what leads through an HNSW index, whose graph follows it. Three
    # times as much leads better, but misses more of what says the same and looks different.
    others = None
    # In a large library the sample stands for the others, and what many matches have in common is good enough.
    if matches.all and (sample.whole or len(learnt.ids) <= _MANY):
        others = np.ones(len(sample.places), dtype=np.bool_)
        others[[sample.places[asset] for asset in matches.ids if asset in sample.places]] = False
    plain = _plain(query, sample.width, sample.dimensions)
    if len(learnt.ids):
        question = sample.background.question(
            learnt.vectors, learnt.owners, words=plain, dimensions=sample.dimensions, others=others
        )
    else:
        question = sample.background.toward(plain)
    return question * scales(sample.width, sample.dimensions)


def _beside(query: Query, sample: Sample, matches: _Matches) -> Vector | None:
    learnt = _rows(matches, sample)
    if not len(learnt.ids):
        return None
    plain = _plain(query, sample.width, sample.dimensions)
    question = sample.background.question(learnt.vectors, learnt.owners, words=plain, dimensions=sample.dimensions)
    question[: sample.dimensions] = 0  # the order of photos without the words stays the model's
    question[-1] = 0 if sample.unrelated is None else sample.unrelated @ question
    scaled = sample.background.scaled(question, learnt.vectors, learnt.owners)
    return scaled * scales(sample.width, sample.dimensions)


def _plain(query: Query, width: int, dimensions: int) -> Vector:
    """The direction of the words themselves; zeros where the column has no room for them."""
    question = np.zeros(width, dtype=np.float32)
    words = room(width, dimensions)
    if words:
        question[dimensions:-1] = lexical.question(_apart(query), words)
    return question


def _parsed(text: str) -> Query:
    try:
        return parse(text)
    except QueryError:  # nobody is told; it is a search by meaning
        return Query(())


def _apart(query: Query) -> str:
    """All its runs: one that ends before a space does not go on behind it, as Chinese would in a text."""
    return ",".join(query.phrases).replace(" ", ",")


async def _find(connection: Connection, query: Query, limit: int, look: int) -> tuple[list[asyncpg.Record], int]:
    """Photos that match, `limit` at most and of no owner more than the number that comes with them."""
    owners = [row["id"] for row in await connection.fetch(_SQL["owners"], _OWNERS)]
    if not owners:
        return [], limit
    cap = min(limit, max(look // len(owners), 1))
    rows = await connection.fetch(
        _SQL["matches"],
        owners,
        [f"{query.sieve} & {buckets.owned([owner])}" for owner in owners],
        None if query.sieved else query.literal,
        list(query.phrases),
        list(query.excluded),
        cap,
        limit,
    )
    return list(rows), cap
