"""How long the gateway takes over the question of an `ocr:` search, in a library of 100,000 photos that say something.

Texts, and what is asked, are those of `search`; the column has 1536 dimensions, the widest there is. The path is the
gateway's own: the text index names up to 200 photos that match (`matches` in sql/queries/words.sql), their vectors are
looked up by primary key, and linear discriminant analysis tells them from the library. Where the index takes too long,
or nothing matches, the question is the words' own directions: `sharpened` is the share of the others.
"""

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from bench import library, search
from bench.lexical import clip_vectors
from bench.queue import on_database
from gateway.library import Library
from gateway.ml.words import Words
from indexer.photos import lexical
from indexer.photos.vectors import Vector, as_column

NAME = "sharpen"
DESCRIPTION = "the gateway's question for `ocr:` in a library of 100,000 photos"

_WIDTH, _DIMENSIONS = 1536, 512
_CHUNK = 1_000


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `p50_ms`, `p95_ms`, `max_ms` and `sharpened` over all questions, and `classes`, those of each class."""
    count = 20_000 if options.quick else 100_000
    with on_database(options.url or os.environ.get("TEST_DATABASE_URL") or None, search.SETTINGS) as url:
        return asyncio.run(_measure(url, count))


async def _measure(url: str, count: int) -> dict[str, object]:
    await _fill(url, count)
    queries = search.queries()
    order = [(kind, query) for kind, some in queries.items() for query in some]
    random.Random(3).shuffle(order)
    asked = Library(url)
    try:
        words = Words(asked)
        await words.learn(_WIDTH, _DIMENSIONS)
        seconds: dict[str, list[float]] = {kind: [] for kind in queries}
        sharpened: dict[str, list[bool]] = {kind: [] for kind in queries}
        for number, (kind, query) in enumerate(order[: len(order) // 10] + order):
            start = time.perf_counter()
            question = await words.only(query, _WIDTH, _DIMENSIONS)
            if number >= len(order) // 10:
                seconds[kind].append(time.perf_counter() - start)
                sharpened[kind].append(question is not None and bool(question[:_DIMENSIONS].any()))
    finally:
        await asked.close()
    classes = {kind: _figures(seconds[kind], sharpened[kind]) for kind in queries}
    every = _figures(
        [second for some in seconds.values() for second in some], [done for some in sharpened.values() for done in some]
    )
    return {"photos": count, **every, "classes": classes}


def _figures(seconds: Sequence[float], sharpened: Sequence[bool]) -> dict[str, float]:
    return {
        "p50_ms": round(1000 * statistics.median(seconds), 1),
        "p95_ms": round(1000 * statistics.quantiles(seconds, n=20)[-1], 1),
        "max_ms": round(1000 * max(seconds), 1),
        "sharpened": round(statistics.fmean(sharpened), 3),
    }


async def _fill(url: str, count: int) -> None:
    """The photos of `search`, and their vectors in a column of `_WIDTH`."""
    connection = await library.prepare(url)
    try:
        for person in search.OWNERS:
            await library.add_person(connection, person)
        indexes = await search.drop_indexes(connection)
        await search.write(connection, count)
        await connection.execute("DROP INDEX clip_index")  # this path does not use it
        await connection.execute(f"ALTER TABLE smart_search ALTER embedding TYPE vector({_WIDTH})")
        rows = await connection.fetch("SELECT asset_id, text FROM immich_indexer.photo")
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
            chunks = [rows[start : start + _CHUNK] for start in range(0, count, _CHUNK)]
            made = [processes.submit(_columns, [row["text"] for row in some], n) for n, some in enumerate(chunks)]
            for some in chunks:
                columns = await asyncio.wrap_future(made.pop(0))
                await library.write_vectors(connection, [row["asset_id"] for row in some], columns)
        await connection.execute(
            """UPDATE immich_indexer.photo p SET vector_hash = md5(vector_send(s.embedding))::uuid, vector_version = $1,
                   clip_model = 'bench', clip = '[1]' -- not what the column is derived from: only that it was read
               FROM smart_search s WHERE s."assetId" = p.asset_id""",
            lexical.VERSION,
        )
        await search.make_indexes(connection, indexes)
        await connection.execute("VACUUM ANALYZE public.smart_search")
    finally:
        await connection.close()


def _columns(texts: Sequence[str], seed: int) -> Vector:
    vectors = clip_vectors(len(texts), seed)
    return np.stack([as_column(vector, _WIDTH, text) for vector, text in zip(vectors, texts, strict=True)])
