"""What `ocr:` finds in Immich's own search box: the gateway's questions, answered by Immich's own statements.

The photos have random, clustered CLIP vectors, and a quarter of them a paragraph of real text. A photo is right where
its text holds the query literally. All have a file name and a place, a third of them a description (described.py). On
a server newer than PostgreSQL 16 incremental sorting is off, or Immich 3.1's statement could go through an index there.
"""

import argparse
import asyncio
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import asyncpg
import numpy as np
from pgvector import HalfVector

from bench import described, indexes, library, search
from bench.indexes import Way
from bench.queue import on_database
from gateway.library import Library
from gateway.ml.words import Words
from indexer.database.pool import connect_to_immich, open_pool
from indexer.database.schema import vector_width
from indexer.demo.immich import StandIn
from indexer.photos import results
from indexer.photos.vectors import Vector, as_column, as_query, halved
from indexer.text import tokens
from indexer.text.normalise import HAN

NAME = "lexical"
DESCRIPTION = "`ocr:` through Immich's own searches, on texts of --corpus"


_LONGEST = 200  # characters of a paragraph
_FREQUENCIES = (
    (1, 2),
    (3, 9),
    (10, 49),
    (50, 299),
    (300, 10**9),
)  # documents that match, the same share of queries each
_CHUNK = 250
_DESCRIBED = 60  # descriptions that are searched for
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_Said = tuple[str, Sequence[str]]  # the text of a photo, and its facts


@dataclass(frozen=True)
class Query:
    """What is typed, and the photos that say it."""

    text: str
    right: frozenset[UUID]


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns for each width its figures, and `duplicates_f1`, by kind of pair."""
    if not options.corpus:
        raise SystemExit("lexical: --corpus DIR names a folder with text files, paragraphs separated by blank lines")
    assets = 5_000 if options.quick else options.assets or 50_000
    widths = tuple(int(width) for width in options.widths.split(","))
    texts = paragraphs(options.corpus, assets // 4 + assets // 3)
    with on_database(options.url or os.environ.get("TEST_DATABASE_URL")) as url:
        count = 100 if options.quick else 300
        figures = asyncio.run(_measure(url, texts, assets, count, widths, options.dimensions))
    return {**figures, "duplicates_f1": duplicates(texts)}


def paragraphs(folder: Path, count: int) -> list[str]:
    """Different Chinese paragraphs from the text files of a folder, cut to what a photo may say."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.txt")):
        if path.is_file():
            for paragraph in re.split(r"\n\s*\n", path.read_text(encoding="utf-8", errors="replace")):
                text = " ".join(paragraph.split())[:_LONGEST]
                if len(re.findall(f"[{HAN}]", text)) >= 10:
                    found.setdefault(_comparable(text), text)
    texts = list(found.values())
    random.Random(0).shuffle(texts)
    if len(texts) < count:
        raise SystemExit(f"the corpus has {len(texts)} Chinese paragraphs, {count} are needed: name fewer --assets")
    return texts[:count]


def clip_vectors(count: int, seed: int = 0, dimensions: int = 512) -> Vector:
    """(count, dimensions), of length 1, in 500 clusters."""
    choose = np.random.default_rng(seed)
    centres = choose.standard_normal((500, dimensions)).astype(np.float32)
    vectors = centres[choose.integers(500, size=count)]
    vectors += 0.7 * choose.standard_normal((count, dimensions)).astype(np.float32)
    unit: Vector = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def duplicates(texts: Sequence[str], width: int = 1024) -> dict[str, float]:
    """F1 of the pairs within a cosine distance of 0.01, against those of the model's vectors alone."""
    choose = np.random.default_rng(1)

    def misread(text: str) -> str:
        place = int(choose.integers(len(text)))
        return text[:place] + "囗" + text[place + 1 :]

    some = texts[:1000]
    said = [(text, ["", f"IMG_{number}.jpg"]) for number, text in enumerate(some)]
    pairs: dict[str, list[tuple[_Said, _Said]]] = {
        "bursts": [(one, one) for one in said],
        "edited": [((text, facts), (text[: len(text) // 2], facts)) for text, facts in said],
        "misread": [((text, facts), (misread(text), facts)) for text, facts in said],
        "scans": list(zip(said, [*said[1:], said[0]], strict=True)),
        "one_blank": [((text, facts), ("", facts)) for text, facts in said],
        "one_described": [(("", facts), ("", [text, *facts[1:]])) for text, facts in said],
        "described_alike": [(("", [text]), ("", [text])) for text in some],
    }
    figures = {}
    for kind, sides in pairs.items():
        first = clip_vectors(len(sides), seed=2)
        # A distance of 0 to 0.02, evenly: half of the pairs are duplicates, and many are near the border.
        away = choose.standard_normal(first.shape).astype(np.float32)
        away -= (away * first).sum(axis=1, keepdims=True) * first
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        cosine = 1 - choose.uniform(0, 0.02, size=(len(sides), 1)).astype(np.float32)
        second = cosine * first + np.sqrt(1 - cosine**2) * away
        before = np.array([_distance(halved(a), halved(b)) <= 0.01 for a, b in zip(first, second, strict=True)])
        after = np.array(
            [
                _distance(as_column(a, width, *x), as_column(b, width, *y)) <= 0.01
                for a, b, (x, y) in zip(first, second, sides, strict=True)
            ]
        )
        figures[kind] = round(float(2 * (before & after).sum() / (before.sum() + after.sum())), 4)
    return figures


def choose_queries(texts: dict[UUID, str], count: int) -> list[Query]:
    """Pieces of the texts of 2 to 4 Chinese characters, one in six 3 to 6 others, as many of each frequency."""
    choose = random.Random(1)
    comparable = {asset: _comparable(text) for asset, text in texts.items()}
    sources = list(texts.values())
    wanted = {bounds: count // len(_FREQUENCIES) for bounds in _FREQUENCIES}
    seen: set[str] = set()
    found = []
    until = time.monotonic() + 60
    while any(wanted.values()) and time.monotonic() < until:
        latin = choose.random() < 1 / 6
        pieces = re.findall("[a-z0-9]{3,}" if latin else f"[{HAN}]{{2,}}", _comparable(choose.choice(sources)))
        if not pieces:
            continue
        piece = choose.choice(pieces)
        length = min(len(piece), choose.randint(3, 6) if latin else choose.choice((2, 2, 2, 3, 4)))
        start = choose.randint(0, len(piece) - length)
        text = piece[start : start + length]
        if text in seen:
            continue
        seen.add(text)
        right = frozenset(asset for asset, content in comparable.items() if text in content)
        bounds = next(bounds for bounds in _FREQUENCIES if bounds[0] <= len(right) <= bounds[1])
        if wanted[bounds]:
            wanted[bounds] -= 1
            found.append(Query(text, right))
    return found


async def _measure(
    url: str, texts: Sequence[str], assets: int, count: int, widths: Sequence[int], dimensions: int
) -> dict[str, dict[str, object]]:
    connection = await library.prepare(url)
    try:
        owner = await library.add_person(connection, uuid4())
        written, told, vectors = await _fill(connection, owner, texts, clip_vectors(assets, dimensions=dimensions))
        queries = choose_queries(written, count)
        figures = {}
        for width in widths:
            figures[str(width)] = await _at(url, connection, owner, width, queries, vectors, written, told)
            print(width, figures[str(width)], file=sys.stderr)
        return figures
    finally:
        await connection.close()


async def _fill(
    connection: asyncpg.Connection, owner: UUID, texts: Sequence[str], clip: Vector
) -> tuple[dict[UUID, str], described.Told, dict[UUID, Vector]]:
    """Photos of one person as our table has them, every fourth with a text. Returns texts, facts, and vectors."""
    assets = len(clip)
    ids = [uuid5(owner, str(number)) for number in range(assets)]
    vectors = dict(zip(ids, clip, strict=True))
    written = dict(zip(ids[::4], texts, strict=False))
    indexes = await search.drop_indexes(connection)
    for start in range(0, assets, _CHUNK):
        some = ids[start : start + _CHUNK]
        chunk = [library.Photo(asset, owner, _NOW, written.get(asset, "")) for asset in some]
        await library.write(connection, library.rows(chunk))
    told = await described.describe(connection, ids, texts[assets // 4 :])
    for start in range(0, assets, _CHUNK):
        some = ids[start : start + _CHUNK]
        await connection.execute(
            """UPDATE immich_indexer.photo p SET clip_model = 'bench', clip = new.clip::halfvec, lines = NULL
               FROM unnest($1::uuid[], $2::text[]) AS new (asset_id, clip) WHERE p.asset_id = new.asset_id""",
            some,
            [HalfVector(vectors[asset]).to_text() for asset in some],
        )
    await search.make_indexes(connection, indexes)
    return written, told, vectors


async def _at(
    url: str,
    connection: asyncpg.Connection,
    owner: UUID,
    width: int,
    queries: Sequence[Query],
    vectors: dict[UUID, Vector],
    written: dict[UUID, str],
    told: described.Told,
) -> dict[str, object]:
    """The figures of one width: Immich changes its column, we fill it again, and people search."""
    if await vector_width(connection) != width:
        await StandIn(connection, Path()).change_clip_model(width)
    await connection.execute("DROP INDEX clip_index")
    start = time.perf_counter()
    pool = await open_pool(url)
    try:
        ids = list(vectors)
        for first in range(0, len(ids), _CHUNK):
            await results.restore(pool, ids[first : first + _CHUNK])
    finally:
        await pool.close()
    refill = time.perf_counter() - start
    await connection.execute("SET maintenance_work_mem = '1GB'")
    await connection.execute("VACUUM ANALYZE smart_search")
    dimensions = len(next(iter(vectors.values())))
    questions, seconds = await _questions(url, [query.text for query in queries], width, dimensions)
    some = [vector / np.linalg.norm(vector) for vector in clip_vectors(20, seed=3, dimensions=dimensions)]
    kept = await _keeps_order(url, owner, [as_query(vector, width) for vector in some], vectors)
    measured: dict[str, dict[str, object]] = {}
    if width > dimensions:
        said = [(query.text, query.right) for query in queries]
        others = clip_vectors(_DESCRIBED, seed=7, dimensions=dimensions)
        measured["plain"] = await described.measure(url, connection, owner, width, said, written, told, others)
    for index in await indexes.of(connection):
        await index.make(connection)
        for way in index.ways:
            measured[way.name] = await _judge(url, owner, way, list(zip(queries, questions, strict=True)))
    return {
        **measured.pop("exact"),
        **measured,
        "clip_order_kept": kept,
        "question_p50_ms": round(1000 * statistics.median(seconds), 1),
        "question_p95_ms": round(1000 * statistics.quantiles(seconds, n=20)[-1], 1),
        "refill_s": round(refill, 1),
        "table_mb": await connection.fetchval("SELECT pg_table_size('smart_search') >> 20"),
    }


async def _questions(url: str, texts: Sequence[str], width: int, dimensions: int) -> tuple[list[Vector], list[float]]:
    """What the gateway answers, and the seconds it takes without the model."""
    asked = Library(url)
    try:
        words = Words(asked)
        await words.learn(width, dimensions)
        found, seconds = [], []
        for text in texts:
            start = time.perf_counter()
            question = await words.only(text, width, dimensions)
            seconds.append(time.perf_counter() - start)
            found.append(np.ones(width, dtype=np.float32) if question is None else question)
        return found, seconds
    finally:
        await asked.close()


async def _judge(url: str, owner: UUID, way: Way, asked: Sequence[tuple[Query, Vector]]) -> dict[str, object]:
    """Precision of the first 10, and R-precision of queries with at most 50 matches, in Immich's own order."""
    connection = await as_immich(url, way.settings)
    try:
        immich = StandIn(connection, Path())
        tens: dict[tuple[int, int], list[float]] = {bounds: [] for bounds in _FREQUENCIES}
        precisions = []
        seconds = []
        for query, question in asked:
            start = time.perf_counter()
            found = await immich.smart_search(question.tolist(), owner, version=way.version, probes=way.probes)
            seconds.append(time.perf_counter() - start)
            right = len(query.right)
            bounds = next(bounds for bounds in _FREQUENCIES if bounds[0] <= right <= bounds[1])
            first = min(10, right)
            tens[bounds].append(len(query.right.intersection(found[:first])) / first)
            if right <= 50:
                precisions.append(len(query.right.intersection(found[:right])) / right)
        return {
            "p_at_10": round(statistics.mean(value for values in tens.values() for value in values), 4),
            "r_precision_to_50": round(statistics.mean(precisions), 4),
            "p_at_10_by_matches": [round(statistics.mean(values), 3) if values else None for values in tens.values()],
            "search_p50_ms": round(1000 * statistics.median(seconds), 1),
        }
    finally:
        await connection.close()


async def _keeps_order(url: str, owner: UUID, questions: Sequence[Vector], vectors: dict[UUID, Vector]) -> bool:
    """Whether Immich's order of photos is that of the model's vectors, but for what float32 cannot tell apart."""
    ids = list(vectors)
    matrix = np.stack([halved(vector) for vector in vectors.values()]).astype(np.float64)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    place = {asset: number for number, asset in enumerate(ids)}
    connection = await as_immich(url, ())
    try:
        immich = StandIn(connection, Path())
        for question in questions:
            found = await immich.smart_search(question.tolist(), owner, version="3.1")
            scores = matrix @ question[: matrix.shape[1]].astype(np.float64)
            ordered = scores[[place[asset] for asset in found]]
            best = np.sort(scores)[::-1][: len(found)]
            if np.abs(ordered - best).max() > 1e-6:
                return False
        return True
    finally:
        await connection.close()


async def as_immich(url: str, settings: Sequence[str]) -> asyncpg.Connection:
    """A connection on which Immich's statements are planned as on Immich's own server."""
    connection = await connect_to_immich(url)
    if connection.get_server_version().major > 16:
        await connection.execute("SET enable_incremental_sort = off")
    await connection.fetchval("SELECT '[1]'::vector <-> '[1]'::vector")  # loads the library that has hnsw.*
    for setting in settings:
        await connection.execute(setting)
    return connection


def _comparable(text: str) -> str:
    """Its runs, apart: what a query must be a piece of."""
    return "\n".join(tokens.runs(text))


def _distance(one: Vector, other: Vector) -> float:
    return float(1 - one @ other / np.sqrt((one @ one) * (other @ other)))
