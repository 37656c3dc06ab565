"""The query vector for photos with certain words: for `ocr:` in Immich's search box, and for the words of any search.

`ocr:` asks for the text in a photo alone. Any other search also asks for its description, place and file name. Never
for people, tags and albums, which are their owner's alone: the answer is the same for all users.

Immich caches an answer until it is restarted. So there is no answer while it might be wrong: neither without the
database, nor without a sample of the present library.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import numpy as np
import structlog

from gateway.errors import BusyError, UnavailableError
from gateway.library import Library, Vector
from gateway.ml import strength
from gateway.ml.sample import Sample, Sampler, ask, look_up, to_rows
from indexer.database.pool import Connection
from indexer.database.statements import queries
from indexer.errors import QueryError
from indexer.photos import lexical
from indexer.photos.vectors import room, scales
from indexer.search.discriminant import Mask
from indexer.text import buckets
from indexer.text.fields import DESCRIPTION, FILE, PLACE
from indexer.text.places import latin
from indexer.text.query import Query, parse
from indexer.text.question import Clause, Question, Term

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
_WORDLESS = 1.5  # how much farther away photos without text are for `ocr:`: an HNSW index then finds more matches
_FACTS = (DESCRIPTION, PLACE, FILE)  # all of the SQL term `public_facts`


@dataclass(frozen=True)
class _Asked:
    """What is asked for: the words, and where a photo may have them."""

    words: Query
    question: Question

    @classmethod
    def of(cls, text: str, *, everywhere: bool) -> "_Asked":
        """The words of `text`, which may be in texts alone or `everywhere`."""
        words = _parsed(text)
        fields = _FACTS if everywhere else ()
        clauses = [
            Clause((Term(word, word, text=True, fields=fields, latin=latin(word) if everywhere else ()),), absent)
            for absent, some in ((False, words.phrases), (True, words.excluded))
            for word in some
        ]
        return cls(words, Question(tuple(clauses)))

    def direction(self, width: int, dimensions: int, *, facts: float = 0) -> Vector:
        """The direction of the words themselves. Zeros where the column has no room for them.

        `facts`: the share of the matches that have them in their facts, the rest have them in their text. Where all
        have them in their facts, photos with some of the words in their text must not come nearer.
        """
        direction = np.zeros(width, dtype=np.float32)
        size = room(width, dimensions)
        if size:
            words = _apart(self.words)
            if facts < 1:
                direction[dimensions:-1] += np.float32(1 - facts) * lexical.question(words, size)
            if facts:
                names = [name for clause in self.question.clauses for term in clause.terms for name in term.latin]
                direction[dimensions:-1] += np.float32(facts) * lexical.question_of_facts(words, size, names)
        return direction


@dataclass(frozen=True)
class _Matches:
    """Photos that have the words.

    Attributes:
        ids: all of them, or as many as were searched for.
        all: whether these are all.
        few: whether these are all, and no user has more than `strength.FEW` of them.
        learnt: those to learn from.
        said: those whose text alone has the words.
        read: the vectors of those that are not in the sample, or may have changed since.
    """

    ids: frozenset[UUID]
    all: bool
    few: bool
    learnt: Sequence[UUID]
    said: frozenset[UUID]
    read: Sequence[asyncpg.Record]


@dataclass(frozen=True)
class _Rows:
    """Photos to learn from. All of one group together have the weight of any other group.

    Attributes:
        vectors: (photos, width), of length 1 in both parts.
        groups: of each photo its owner, and whether its text alone has the words.
    """

    vectors: Vector
    groups: Sequence[tuple[UUID, bool]]


class Words:
    """Finds the direction in Immich's column that singles out photos with certain words.

    Args:
        library: the database.
        patience: seconds for the index to find the matches where a search by meaning alone would do.
    """

    def __init__(self, library: Library, patience: float = _BESIDE_PATIENCE) -> None:
        self._library = library
        self._patience = patience
        self._sampler = Sampler(library)

    async def only(self, text: str, width: int, dimensions: int) -> Vector | None:
        """The query vector, of length 1, that ranks photos by `text` alone. None where `text` has no words.

        Where no photo has the text, it is the vector that a later photo with it would have, as far as the column has
        room for words.

        Raises:
            BusyError: too little is known at the moment for a good vector.
        """
        asked = _Asked.of(text, everywhere=False)
        if not asked.words:
            return None
        sample = await self._sampler.current(width, dimensions)
        if not sample.places:  # Immich would use its cached answer even when there are photos
            raise UnavailableError(
                "no photo has a vector yet, and Immich shows only photos with one: search for words later, or now "
                "in the gateway's console",
                30,
            )
        matches = await self._matches(asked, sample, _PATIENCE)
        question = await asyncio.to_thread(_sharpened, asked, sample, matches)
        length = float(np.linalg.norm(question))
        return question / np.float32(length) if length else None

    async def beside(self, text: str, width: int, vector: Vector, weight: float) -> Vector | None:
        """What to add to the model's `vector` of a query, so that photos with `text` come nearer by `weight`.

        If few photos have it, they come so much nearer that they are first. It is looked for in texts, descriptions,
        places and file names.

        None where the column has no room for words, no photo has the text, or the database is unavailable or slow.
        """
        dimensions = len(vector)
        asked = _Asked.of(text, everywhere=True)
        if not (asked.words and room(width, dimensions)):
            return None
        try:
            sample = await self._sampler.current(width, dimensions, _BESIDE_WAIT)
            matches = await self._matches(asked, sample, self._patience)
        except BusyError as error:  # or UnavailableError
            log.debug("searched by meaning alone", why=str(error))
            return None
        return await asyncio.to_thread(_beside, asked, sample, matches, vector, weight)

    async def learn(self, width: int, dimensions: int) -> None:
        """Take a sample of the library. Raises BusyError."""
        await self._sampler.take(width, dimensions)

    def forget(self) -> None:
        """Forget the sample: its vectors are no longer those in the column."""
        self._sampler.forget()

    def close(self) -> None:
        """Start no more work."""
        self._sampler.close()

    async def _matches(self, asked: _Asked, sample: Sample, patience: float) -> _Matches:
        most = _most(sample)
        # In a small library it is known of every photo whether it matches.
        limit = len(sample.places) + _MATCHES if sample.whole else most + 1
        look = limit if sample.whole else _LOOK

        async def find(connection: Connection) -> _Matches:
            found, cap = await _find(connection, asked, limit, look)
            owners = Counter(row["owner"] for row in found)
            largest = max(owners.values(), default=0)
            complete = len(found) < limit and largest < cap
            ids = [row["id"] for row in found]
            # A part of a library is not sampled again after each edit.
            unknown = [asset for asset in ids[:most] if not sample.whole or asset not in sample.places]
            read = await look_up(connection, unknown, sample.width)
            said = frozenset(row["id"] for row in found if row["said"])
            return _Matches(frozenset(ids), complete, complete and largest <= strength.FEW, ids[:most], said, read)

        return await ask(self._library, patience, find)


def _most(sample: Sample) -> int:
    """How many matches to learn from."""
    if room(sample.width, sample.dimensions):
        return _MATCHES
    return _MATCHES_WITHOUT_ROOM if sample.whole else _FEW


def _rows(matches: _Matches, sample: Sample) -> _Rows:
    rest = to_rows(matches.read, sample.width)
    known = [asset for asset in matches.learnt if asset in sample.places and asset not in set(rest.ids)]
    places = [sample.places[asset] for asset in known]
    scale = scales(sample.width, sample.dimensions)
    owners = [*(sample.owners[place] for place in places), *rest.owners]
    return _Rows(
        np.concatenate([sample.background.rows[places], rest.vectors * scale]),
        [(owner, asset in matches.said) for asset, owner in zip([*known, *rest.ids], owners, strict=True)],
    )


def _sharpened(asked: _Asked, sample: Sample, matches: _Matches) -> Vector:
    learnt = _rows(matches, sample)
    # The model's part has the same weight as the words, because an HNSW index, whose graph follows the model, needs it.
    # Three times the weight finds more through the index, but misses photos with these words that look different.
    others = _known_others(matches, sample, learnt)
    plain = asked.direction(sample.width, sample.dimensions)
    if len(learnt.groups):
        question = sample.background.question(
            learnt.vectors, learnt.groups, words=plain, dimensions=sample.dimensions, others=others
        )
        if room(sample.width, sample.dimensions):
            question[-1] = min(question[-1], -_WORDLESS)
    else:
        question = sample.background.toward(plain)
    return question * scales(sample.width, sample.dimensions)


def _beside(asked: _Asked, sample: Sample, matches: _Matches, vector: Vector, weight: float) -> Vector | None:
    learnt = _rows(matches, sample)
    if sample.words is None or not len(learnt.groups):
        return None
    facts = float(np.mean([not said for _, said in learnt.groups]))
    words = slice(sample.dimensions, -1)  # the rest is 0: photos without the words stay in the model's order
    question = np.zeros(sample.width, dtype=np.float32)
    question[words] = sample.words.question(
        learnt.vectors[:, words],
        learnt.groups,
        words=asked.direction(sample.width, sample.dimensions, facts=facts)[words],
        others=_known_others(matches, sample, learnt),
    )
    others = sample.background.rows[_others(matches, sample)]
    question[-1] = strength.of_wordless(question, others)
    scaled = sample.background.scaled(question, learnt.vectors, learnt.groups)
    if matches.few:
        weight = max(weight, strength.enough(scaled, vector, learnt.vectors, others, sample.photos))
    return np.float32(weight) * scaled * scales(sample.width, sample.dimensions)


def _known_others(matches: _Matches, sample: Sample, learnt: _Rows) -> Mask | None:
    """The same, to push them away. None where that is not known, or not needed."""
    # In a large library the sample represents the others, and what many matches have in common is good enough.
    if matches.all and (sample.whole or len(learnt.groups) <= _MANY):
        return _others(matches, sample)
    return None


def _others(matches: _Matches, sample: Sample) -> Mask:
    """Which photos of the sample do not match."""
    others = np.ones(len(sample.places), dtype=np.bool_)
    others[[sample.places[asset] for asset in matches.ids if asset in sample.places]] = False
    return others


def _parsed(text: str) -> Query:
    try:
        return parse(text)
    except QueryError:  # not reported: it becomes a search by meaning
        return Query(())


def _apart(query: Query) -> str:
    """All runs of the query. A run that ends before a space does not continue after it, as Chinese would in a text."""
    return ",".join(query.phrases).replace(" ", ",")


async def _find(connection: Connection, asked: _Asked, limit: int, look: int) -> tuple[list[asyncpg.Record], int]:
    """Matching photos, at most `limit`, and how many of one owner there are at most."""
    owners = [row["id"] for row in await connection.fetch(_SQL["owners"], _OWNERS)]
    if not owners:
        return [], limit
    cap = min(limit, max(look // len(owners), 1))
    question = asked.question
    rows = await connection.fetch(
        _SQL["matches"],
        owners,
        [f"{question.sieve(None)} & {buckets.owned([owner])}" for owner in owners],
        None if question.sieved else question.literal(None),
        json.dumps(question.conditions(None)),
        asked.words.sieve,
        cap,
        limit,
    )
    return list(rows), cap
