"""Whether a search finds exactly the photos that it should, by their text and by all else that Immich knows of them.

The truth is known by construction: every photo is kept in plain Python, too, and a word is wanted where it is a piece
of a value. A second user's photos, with the same
words, must never be found. Then people edit photos, as Immich writes it, and the same is asked again.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from bench import library
from bench.edits import edit
from bench.known import FIELDS, Library, Photo, write
from bench.queue import on_database
from bench.search import SETTINGS, drop_indexes, make_indexes, p95
from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import NEWEST, VERSIONS, StandIn
from indexer.photos import facts
from indexer.queue.claims import Queue
from indexer.queue.retries import Policy
from indexer.search import suggest, words
from indexer.search.hybrid import WORDS
from indexer.search.viewer import viewer
from indexer.text.parser import parse

NAME = "facts"
DESCRIPTION = "recall and precision over all that is known of a photo, before and after edits; times"

_PREFIXED = 0.3  # of the words that are asked for in one field by its name
_BEGUN = ("person", "tag", "album", "place", "text")  # whose values are suggested
_SUGGESTED = 300
_POLICY = Policy(max_attempts=1, retry_seconds=0, lease_seconds=60)


@dataclass(frozen=True)
class _Word:
    """What a person types for a part of a value. `of`: the field that it is asked for in. Empty: anywhere."""

    piece: str
    of: str

    @property
    def typed(self) -> str:
        """As it is typed."""
        return f"{self.of}:{self.piece}" if self.of else self.piece


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `recall` and `precision` of 600 searches for one to three words, and the same after 1,000 edits.

    Both are shares of all photos that should be found, and of all that were; a search finds `WORDS` photos at most.
    `missed` and `wrong` name some of the searches that were not right. `p95_ms` of the first 50 photos, by the
    number of words; `follow_s`, how long it took to write all that the edits changed. `suggest_p95_ms`: suggestions
    for the first one to three characters of a value. `pinyin_share`: what the tables for pinyin take with their
    indexes, as a share of the text index.
    """
    count, edits, asked = (3_000, 200, 150) if options.quick else (options.assets or 100_000, 1_000, 600)
    version = os.environ.get("IMMICH_VERSION", NEWEST)
    with (
        on_database(options.url or os.environ.get("TEST_DATABASE_URL") or None, SETTINGS) as url,
        tempfile.TemporaryDirectory() as media,
    ):
        return asyncio.run(_measure(url, Path(media), version, count, edits, asked))


async def _measure(url: str, media: Path, version: str, count: int, edits: int, asked: int) -> dict[str, object]:
    chance = random.Random(7)
    own = await library.prepare(url, next(known for known in VERSIONS if known == version))
    pool = await open_pool(url, size=3)
    immich_connection = await asyncpg.connect(url)
    try:
        user, stranger = [await library.add_person(own, uuid4()) for _ in range(2)]
        indexes = await drop_indexes(own)
        made = await write(own, media, chance, count, user, stranger)
        start = time.perf_counter()
        await _first_facts(pool)
        await make_indexes(own, indexes)
        filled = time.perf_counter() - start
        queries = [[_word(made, chance, photo, of) for of in fields] for photo, fields in _chosen(made, chance, asked)]
        before = await _ask(pool, made, queries, user)
        suggested = await _suggest(pool, made, chance, user)
        changed = await edit(StandIn(immich_connection, media), made, chance, edits, user)
        start = time.perf_counter()
        await _follow(pool)
        followed = time.perf_counter() - start
        queries = [[_word(made, chance, photo, of) for of in fields] for photo, fields in _chosen(made, chance, asked)]
        queries += [[_word(made, chance, photo, of)] for photo, of in changed if photo.shown]
        after = await _ask(pool, made, queries, user)
        [sizes] = await own.fetch(
            """SELECT pg_relation_size('immich_indexer.photo_document') / 1000000 AS index_mb, round((
                   pg_total_relation_size('immich_indexer_2.pair') + pg_total_relation_size('immich_indexer_2.pinyin')
               )::numeric / pg_relation_size('immich_indexer.photo_document'), 3)::float8 AS pinyin_share,
               version() AS server"""
        )
    finally:
        pool.terminate()
        await own.close()
        await immich_connection.close()
    return {
        "immich": version,
        "photos": count,
        **before,
        **suggested,
        **{f"{name}_after_edits": value for name, value in after.items()},
        "facts_s": round(filled, 1),
        "follow_s": round(followed, 1),
        **dict(sizes),
    }


def _chosen(made: Library, chance: random.Random, count: int) -> Iterator[tuple[Photo, list[str]]]:
    """Photos that are searched for, and the fields whose words are typed: one, two or three of those that it has."""
    photos = [photo for photo in made.photos.values() if photo.shown]
    for number in range(count):
        photo = chance.choice(photos)
        has = [of for of in FIELDS if any(made.values(photo, of))]
        yield photo, chance.sample(has, min(1 + number % 3, len(has)))


def _word(made: Library, chance: random.Random, photo: Photo, of: str) -> _Word:
    value = chance.choice([value for value in made.values(photo, of) if value] or ["none"])
    named = of if of not in ("text", "date") and chance.random() < _PREFIXED else ""
    if of == "date":
        return _Word(chance.choice((value, value[: value.index("月") + 1])), "")
    if of == "file":
        return _Word(value[4:12], named)
    if value.isascii():
        return _Word(value, named)
    han = [at for at in range(len(value)) if not value[at].isascii()]
    start = chance.choice(han)
    piece = value[start : start + chance.randint(2, 4)]
    piece = "".join(character for character in piece if not character.isascii()) or value[start]
    return _Word(piece if piece in value else value[start], named)


async def _ask(pool: Pool, made: Library, queries: Sequence[Sequence[_Word]], user: UUID) -> dict[str, object]:
    eyes = await viewer(pool, user)
    scope = eyes.scope()
    mine = [photo for photo in made.photos.values() if photo.shown and photo.owner == user]
    known = {of: [(photo.id, "\n".join(made.values(photo, of))) for photo in mine] for of in FIELDS}
    known[""] = [(photo.id, "\n".join(known[of][at][1] for of in FIELDS)) for at, photo in enumerate(mine)]
    should, got, right = 0, 0, 0
    missed: list[str] = []
    wrong: list[str] = []
    times: dict[int, list[float]] = {1: [], 2: [], 3: []}
    for query in queries:
        typed = " ".join(word.typed for word in query)
        wanted = set.intersection(*({photo for photo, text in known[word.of] if word.piece in text} for word in query))
        question = parse(typed)
        found = await words.candidates(pool, question, scope=scope, limit=WORDS)
        ids = {candidate.asset_id for candidate in found if not candidate.forgiven}
        most = min(len(wanted), WORDS)
        should, got, right = should + most, got + len(ids), right + len(wanted & ids)
        if len(wanted & ids) < most:
            missed.append(typed)
        if ids - wanted:
            wrong.append(typed)
        start = time.perf_counter()
        await words.search(pool, typed, scope=scope)
        times[len(query)].append(1000 * (time.perf_counter() - start))
    return {
        "queries": len(queries),
        "recall": round(right / should, 5),
        "precision": round(right / max(got, 1), 5),
        "missed": missed[:5],
        "wrong": wrong[:5],
        "p95_ms": {count: p95(some) for count, some in times.items() if some},
    }


async def _suggest(pool: Pool, made: Library, chance: random.Random, user: UUID) -> dict[str, object]:
    """As somebody types: with each character the whole answer, their rights included."""
    photos = [photo for photo in made.photos.values() if photo.shown and photo.owner == user]
    times: list[float] = []
    while len(times) < _SUGGESTED:
        values = made.values(chance.choice(photos), chance.choice(_BEGUN))
        if not values:
            continue
        begun = chance.choice(values).strip()[: chance.randint(1, 3)]
        start = time.perf_counter()
        await suggest.suggest(pool, begun, await viewer(pool, user), limit=4)
        times.append(1000 * (time.perf_counter() - start))
    return {"suggest_p95_ms": p95(times)}


async def _first_facts(pool: Pool) -> None:
    """As the reconciler brings the facts of a library."""
    last: UUID | None = UUID(int=0)
    while last is not None:
        last, assets = await facts.stale(pool, last, 500, thorough=False)
        if assets:
            await pool.transact(partial(facts.refresh, assets=assets))


async def _follow(pool: Pool) -> None:
    """As an indexer follows what triggers have told."""
    queue = Queue(pool, uuid4(), _POLICY)
    while await queue.drain():
        pass
    while await pool.transact(partial(facts.follow, limit=100)):
        pass
