"""How long the first 50 ranked photos take in a library of a million that say something.

The texts are made up, with the frequencies of natural language: words follow Zipf and Mandelbrot's law with
exponent 1 over 50,000 words of mostly two characters, the characters of words one with exponent 0.8 over 3,500; 8 %
of the words are in Latin letters or digits. A photo says 24 words on average (log-normal), 70 characters, was taken
in the last 15 years (ever more each year) by one of two people, and stands in the table in no order. The tables are
ordinary ones of a server with its usual durability, analysed; a query's time is the caller's, after a tenth of the
queries were asked once.
"""

import argparse
import asyncio
import itertools
import os
import random
import statistics
import time
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from multiprocessing import get_context
from uuid import UUID

from bench import library
from bench.queue import on_database
from indexer.database.pool import OwnConnection
from indexer.search import words

NAME = "search"
DESCRIPTION = "the first 50 ranked of a million photos; takes some twenty minutes, most of it to write them"

SETTINGS = {"shared_buffers": "512MB"}  # as Immich sets it for its own database
_CHUNK = 5_000
OWNERS = (UUID(int=1), UUID(int=2))
_SAMPLE = 20_000  # photos looked at to know how frequent words are
_WORDS = 50_000
_PER_CLASS = 100
_HARD = ("two_words", "misread")


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `p95_ms` over the queries for one word or piece, an equal share of each class, and each class's figures.

    `rare` words are in less than 0.05 % of a sample of 20,000 photos, `middling` in 0.1 to 1 %, `frequent` in 1 to
    10 %, `common` in at least 10 %; `characters` are single ones as they come in texts, `pieces` any 3 or 4 characters
    in a row. Not in `p95_ms`, for they take several searches' work: `two_words`, a frequent and a common one, and
    `misread`, pieces of 4 to 8 characters one of which is wrong, which are looked for literally first.
    """
    count = 20_000 if options.quick else options.documents
    with on_database(options.url or os.environ.get("TEST_DATABASE_URL") or None, SETTINGS) as url:
        return asyncio.run(_measure(url, count))


async def _measure(url: str, count: int) -> dict[str, object]:
    connection = await library.prepare(url)
    try:
        start = time.perf_counter()
        await fill(connection, count)
        filled = time.perf_counter() - start
        asked = queries()
        chance = random.Random(3)
        order = [(kind, query) for kind, some in asked.items() for query in some]
        chance.shuffle(order)
        times: dict[str, list[float]] = {kind: [] for kind in asked}
        for kind, query in order[: len(order) // 10] + order:
            begin = time.perf_counter()
            await words.search(connection, query, limit=50)
            times[kind].append(1000 * (time.perf_counter() - begin))
        [sizes] = await connection.fetch(
            """SELECT pg_table_size('immich_indexer.photo') / 1000000 AS table_mb,
                      pg_relation_size('immich_indexer.photo_document') / 1000000 AS index_mb"""
        )
    finally:
        await connection.close()
    every = [ms for kind, some in asked.items() if kind not in _HARD for ms in times[kind][-len(some) :]]
    return {
        "documents": count,
        "p95_ms": p95(every),
        "p50_ms": round(statistics.median(every), 1),
        "classes": {kind: _figures(times[kind][-len(some) :]) for kind, some in asked.items()},
        **dict(sizes),
        "fill_s": round(filled),
    }


def _figures(times: list[float]) -> dict[str, float]:
    return {"p50_ms": round(statistics.median(times), 1), "p95_ms": p95(times), "max_ms": round(max(times), 1)}


def p95(times: list[float]) -> float:
    """The 95th percentile, to a tenth."""
    return round(sorted(times)[int(len(times) * 0.95)], 1)


async def fill(connection: OwnConnection, count: int) -> None:
    """Writes the photos, and then builds the index."""
    indexes = await drop_indexes(connection)
    await write(connection, count)
    await make_indexes(connection, indexes)


async def write(connection: OwnConnection, count: int) -> None:
    """Writes the photos, made by two processes."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        starts = iter(range(0, count, _CHUNK))
        ahead: list[Future[bytes]] = []
        for start in itertools.chain(starts, [None]):
            if start is not None:
                ahead.append(processes.submit(_chunk, start, min(_CHUNK, count - start)))
            while ahead and (len(ahead) > 4 or start is None):
                await library.write(connection, await asyncio.wrap_future(ahead.pop(0)))


async def drop_indexes(connection: OwnConnection) -> list[str]:
    """Drops what is quicker to build at the end; returns the commands for it."""
    rows = await connection.fetch(_INDEXES)
    for row in rows:
        await connection.execute(f"DROP INDEX {row['name']}")
    return [row["indexdef"] for row in rows]


async def make_indexes(connection: OwnConnection, indexes: Sequence[str]) -> None:
    """Builds them."""
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for definition in indexes:
        await connection.execute(definition)
    await connection.execute("VACUUM ANALYZE immich_indexer.photo")
    await connection.execute("VACUUM ANALYZE public.asset")


_INDEXES = """SELECT schemaname || '.' || quote_ident(indexname) AS name, indexdef FROM pg_indexes
    WHERE (schemaname, tablename) IN (('immich_indexer', 'photo'), ('public', 'asset')) AND indexname NOT LIKE '%pkey'
    AND indexdef NOT LIKE '%UNIQUE%'"""


def _chunk(start: int, count: int) -> bytes:
    return library.rows(_photos(start, count))


def _photos(start: int, count: int) -> Iterator[library.Photo]:
    chance = random.Random(start)
    now = datetime.now(UTC)
    for _ in range(count):
        words = _texts(chance)
        text = "".join(words)
        lines = [text[at : at + 12] for at in range(0, len(text), 12)]
        taken = now - timedelta(days=min(chance.expovariate(1 / 1500), 5500))
        yield library.Photo(UUID(int=chance.getrandbits(128)), OWNERS[chance.random() < 0.1], taken, "\n".join(lines))


def _texts(chance: random.Random) -> list[str]:
    """The words of one photo, with what separates them."""
    vocabulary, weights = _vocabulary()
    length = max(1, round(chance.lognormvariate(2.9, 0.75)))
    found = []
    for _ in range(length):
        word = vocabulary[bisect(weights, chance.random() * weights[-1])]
        found.append(f" {word} " if word.isascii() else word + chance.choice(("", "", "", "", "，", "。")))
    return found


@cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """Words, most frequent first, and their cumulated weights."""
    chance = random.Random(1)
    characters = [chr(0x4E00 + 5 * rank) for rank in chance.sample(range(3_500), 3_500)]
    by_rank = list(itertools.accumulate((rank + 10) ** -0.8 for rank in range(len(characters))))
    words: dict[str, None] = {}
    while len(words) < _WORDS:
        if chance.random() < 0.08:
            signs = chance.choice(("0123456789", "abcdefghijklmnopqrstuvwxyz"))
            words["".join(chance.choices(signs, k=chance.randint(2, 9)))] = None
        else:
            length = chance.choices((1, 2, 3, 4), (8, 70, 14, 8))[0]
            word = (characters[bisect(by_rank, chance.random() * by_rank[-1])] for _ in range(length))
            words["".join(word)] = None
    return list(words), list(itertools.accumulate(1 / (rank + 12) for rank in range(_WORDS)))


def queries() -> dict[str, list[str]]:
    """What is asked, by class."""
    sample = [_texts(random.Random(-number)) for number in range(1, _SAMPLE)]
    photos = Counter(word for words in sample for word in {w.strip(" ，。") for w in words} if len(word) > 1)
    chance = random.Random(2)

    def words(least: float, most: float) -> list[str]:
        share = sorted(word for word, seen in photos.items() if least <= seen / _SAMPLE < most)
        return chance.choices(share, k=_PER_CLASS)

    texts = [photo.text.replace("\n", "") for photo in _photos(0, _CHUNK)]  # which are in the library

    def piece(length: int) -> str:
        while True:
            run = chance.choice(texts)
            start = chance.randrange(len(run))
            if (found := run[start : start + length]).isalnum() and len(found) == length:
                return found

    common = words(0.1, 1)
    frequent = words(0.01, 0.1)
    return {
        "rare": words(0, 0.0005),
        "middling": words(0.001, 0.01),
        "frequent": frequent,
        "common": common,
        "characters": [piece(1) for _ in range(_PER_CLASS)],
        "pieces": [piece(chance.randint(3, 4)) for _ in range(_PER_CLASS)],
        "two_words": [f"{a} {b}" for a, b in zip(frequent, common, strict=True)],
        "misread": [f"{word[:2]}\u9f98{word[3:]}" for word in (piece(chance.randint(4, 8)) for _ in range(_PER_CLASS))],
    }
