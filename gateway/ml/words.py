"""The query vector for photos with certain words: for `ocr:` in Immich's search box, and for the words of any search.

Immich caches an answer until it is restarted. So there is no answer while it might be wrong: neither without the
database, nor without a sample of the present library.
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
_PATIENCE = 10.0  # seconds for the index to find the matches, where the answer needs them
_BESIDE_PATIENCE = 0.12  # the same, where a search by meaning alone would do. The computation takes 20 ms more
_BESIDE_WAIT = 2.0  # seconds that such a search waits for a sample
_OWNERS = 32  # the most users whose photos are searched
_LOOK = 1000  # the most matches looked at in a large library, of all users together
_MATCHES = 200  # the most matches to learn from
# A vector of CLIP's own width cannot single out more photos. In a small library it is known which others come first, in
# a large one it is not.
_MATCHES_WITHOUT_ROOM = 50
_FEW = 12
_MANY = 50


@dataclass(frozen=True)
class _Matches:
    """Photos that contain the words.

    Attributes:
        ids: all of them, or as many as were searched for.
        all: whether these are all.
        learnt: those to learn from.
        read: the vectors of those that are not in the sample.
    """

    ids: frozenset[UUID]
    all: bool
    learnt: Sequence[UUID]
    read: Sequence[asyncpg.Record]


class Words:
    """Finds the direction in Immich's column that singles out photos with certain words.

    Args:
        library: the database.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._sampler = Sampler(library)

    async def only(self, text: str, width: int, dimensions: int) -> Vector | None:
        """The query vector, of length 1, that ranks photos by `text` alone. None where `text` has no words.

        Where no photo has the text, it is the vector that a later photo with it would have, as far as the column has
        room for words.

        Raises:
            BusyError: too little is known at the moment for a good vector.
        """
        query = _parsed(text)
        if not query:
            return None
        sample = await self._sampler.current(width, dimensions)
        if not sample.places:  # Immich would use its cached answer even when there are photos
            raise UnavailableError(
                "no photo has a vector yet, and Immich shows only photos with one: search for words later, or now "
                "in the gateway's console",
                30,
            )
        matches = await self._matches(query, sample, _PATIENCE)
        question = await asyncio.to_thread(_sharpened, query, sample, matches)
        length = float(np.linalg.norm(question))
        return question / np.float32(length) if length else None

    async def beside(self, text: str, width: int, dimensions: int) -> Vector | None:
        """What to add to the model's query vector, so that photos with `text` come 1 nearer than all others.

        None where the column has no room for words, no photo has the text, or the database is unavailable or slow.
        """
        query = _parsed(text)
        if not (query and room(width, dimensions)):
            return None
        try:
            sample = await self._sampler.current(width, dimensions, _BESIDE_WAIT)
            matches = await self._matches(query, sample, _BESIDE_PATIENCE)
        except BusyError as error:  # or UnavailableError
            log.debug("searched by meaning alone", why=str(error))
            return None
        return await asyncio.to_thread(_beside, query, sample, matches)

    async def learn(self, width: int, dimensions: int) -> None:
        """Take a sample of the library. Raises BusyError."""
        await self._sampler.take(width, dimensions)

    def forget(self) -> None:
        """Forget the sample: its vectors are no longer those in the column."""
        self._sampler.forget()

    def close(self) -> None:
        """Start no more work."""
        self._sampler.close()

    async def _matches(self, query: Query, sample: Sample, patience: float) -> _Matches:
        most = _most(sample)
        # In a small library it is known of every photo whether it matches.
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
    """The vectors to learn from, of length 1 in both parts."""
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
    # The model's part has the same weight as the words, because an HNSW index, whose graph follows the model, needs it.
    # Three times the weight finds more through the index, but misses photos with these words that look different.
    others = None
    # In a large library the sample represents the others, and what many matches have in common is good enough.
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
    question[: sample.dimensions] = 0  # photos without the words stay in the model's order
    question[-1] = 0 if sample.unrelated is None else sample.unrelated @ question
    scaled = sample.background.scaled(question, learnt.vectors, learnt.owners)
    return scaled * scales(sample.width, sample.dimensions)


def _plain(query: Query, width: int, dimensions: int) -> Vector:
    """The direction of the words themselves. Zeros where the column has no room for them."""
    question = np.zeros(width, dtype=np.float32)
    words = room(width, dimensions)
    if words:
        question[dimensions:-1] = lexical.question(_apart(query), words)
    return question


def _parsed(text: str) -> Query:
    try:
        return parse(text)
    except QueryError:  # not reported: it becomes a search by meaning
        return Query(())


def _apart(query: Query) -> str:
    """All runs of the query. A run that ends before a space does not continue after it, as Chinese would in a text."""
    return ",".join(query.phrases).replace(" ", ",")


async def _find(connection: Connection, query: Query, limit: int, look: int) -> tuple[list[asyncpg.Record], int]:
    """Matching photos, at most `limit`, and how many of one owner there are at most."""
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
