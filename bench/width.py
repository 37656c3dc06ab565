"""What a wider vector column costs Immich: room on disk, and the time of its own searches.

Two databases on one server, alike but for the width of the column, asked in turn with Immich's own statements: 3.1's,
which looks at every vector, and 2.7's, which goes through the HNSW index. That one is not built over more than 50,000
rows, which would take an hour and tell nothing new.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import asyncpg
import numpy as np

from bench import library
from bench.lexical import as_immich, clip_vectors
from bench.queue import on_database
from indexer.demo.immich import StandIn, Version
from indexer.photos.vectors import as_query

NAME = "width"
DESCRIPTION = "what 1536 dimensions cost against 512: size of the table, Immich's exact scan and HNSW"

_WIDTHS = (512, 1536)
SETTINGS = {"shared_buffers": "512MB"}  # as Immich sets it for its own database
_INDEXED = 50_000
_CHUNK = 5_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
INDEX = (
    "CREATE INDEX clip_index ON smart_search USING hnsw (embedding vector_cosine_ops) "
    "WITH (ef_construction = 300, m = 16)"
)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns for each number of rows and each width `table_mb`, `exact_p50_ms`, and `index_mb` and `hnsw_p50_ms`.

    `..._ratio` are those of the wider column over those of the narrower one.
    """
    sizes, rounds = ((5_000,), 5) if options.quick else ((20_000, 200_000), 20)
    figures = {}
    for size in sizes:
        with (
            on_database(options.url or os.environ.get("TEST_DATABASE_URL") or None, SETTINGS) as narrow,
            on_database(narrow) as wide,
        ):
            figures[str(size)] = asyncio.run(_measure((narrow, wide), size, rounds))
    return {"rows": figures}


async def _measure(urls: Sequence[str], size: int, rounds: int) -> dict[str, object]:
    owners = [await _fill(url, width, size) for url, width in zip(urls, _WIDTHS, strict=True)]
    figures: list[dict[str, float]] = [await _sizes(url) for url in urls]
    ways: list[tuple[str, Version]] = [("exact_p50_ms", "3.1")]
    if size <= _INDEXED:
        ways.append(("hnsw_p50_ms", "2.7"))
    connections = [await as_immich(url, ()) for url in urls]
    try:
        for name, version in ways:
            times: list[list[float]] = [[] for _ in urls]
            for number, vector in enumerate(clip_vectors(rounds + 1, seed=3)):
                for connection, owner, width, taken in zip(connections, owners, _WIDTHS, times, strict=True):
                    question = as_query(vector, width).tolist()
                    start = time.perf_counter()
                    await StandIn(connection, Path()).smart_search(question, owner, version=version)
                    if number:  # the first is to fill the caches
                        taken.append(1000 * (time.perf_counter() - start))
            for figure, taken in zip(figures, times, strict=True):
                figure[name] = round(statistics.median(taken), 1)
    finally:
        for connection in connections:
            await connection.close()
    narrow, wide = figures
    ratios = {f"{name.split('_')[0]}_ratio": round(wide[name] / narrow[name], 2) for name in narrow}
    return {**{str(width): figure for width, figure in zip(_WIDTHS, figures, strict=True)}, **ratios}


async def _sizes(url: str) -> dict[str, float]:
    connection = await asyncpg.connect(url)
    try:
        [row] = await connection.fetch(
            """SELECT pg_table_size('smart_search') / 1000000 AS table_mb,
                      pg_relation_size(to_regclass('clip_index')) / 1000000 AS index_mb"""
        )
        return {name: value for name, value in row.items() if value is not None}
    finally:
        await connection.close()


async def _fill(url: str, width: int, size: int) -> UUID:
    """Photos of one person with random vectors, in a column of `width`; the rest of which is random too."""
    connection = await library.prepare(url)
    try:
        owner = await library.add_person(connection, uuid4())
        await StandIn(connection, Path()).change_clip_model(width)
        await connection.execute("DROP INDEX clip_index")
        choose = np.random.default_rng(0)
        for start in range(0, size, _CHUNK):
            ids = [uuid5(owner, str(number)) for number in range(start, min(start + _CHUNK, size))]
            chunk = [library.Photo(asset, owner, NOW, "") for asset in ids]
            await library.write(connection, library.rows(chunk))
            vectors = choose.standard_normal((len(ids), width)).astype(np.float32)
            vectors[:, :512] = clip_vectors(len(ids), seed=start)
            vectors[:, 512:] *= 1e-4  # about the length of what we write there
            await library.write_vectors(connection, ids, vectors)
        if size <= _INDEXED:
            await connection.execute("SET maintenance_work_mem = '1GB'")
            await connection.execute(INDEX)
        await connection.execute("VACUUM ANALYZE smart_search")
        await connection.execute("VACUUM ANALYZE asset")
        return owner
    finally:
        await connection.close()
