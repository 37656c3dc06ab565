"""Whether a search finds just the documents that hold what was typed: recall and precision on any texts.

The documents are the paragraphs of all files of a folder. Truth is that the normalised query is a piece of the
normalised document. Words are sequences of 2 to 4 Chinese characters that stand together much more often than by
chance; substrings are any 2 to 4 Chinese characters in a row; latin are any 3 to 8 letters or digits of a run of
them; characters are single Chinese ones; other_script are the words as written in the other of traditional and
simplified Chinese. All are drawn from the documents, the same ones each time. Recall and precision are means over
the queries.
"""

import argparse
import asyncio
import json
import os
import random
import re
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from math import log
from pathlib import Path
from uuid import UUID, uuid5

from bench import library
from bench.queue import on_database
from indexer.database.pool import OwnConnection
from indexer.search import words
from indexer.text.normalise import HAN, normalise
from indexer.text.parser import parse

NAME = "recall"
DESCRIPTION = "recall and precision of text search over the paragraphs of --corpus"

_HAN_RUN = re.compile(f"[{HAN}]+")
_LATIN_RUN = re.compile(r"[A-Za-z0-9]{3,}")
_CHUNK = 5_000
_OWNER = UUID(int=1)
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `documents`, `zhparser` and, for each kind of query, `recall`, `precision` and `queries`, how many."""
    documents = _documents(options.corpus)
    if options.quick:
        documents = documents[:: max(1, len(documents) // 3_000)]
    with on_database(options.url or os.environ.get("TEST_DATABASE_URL") or None) as url:
        return asyncio.run(_measure(url, documents, quick=options.quick))


def _documents(folder: Path | None) -> list[str]:
    if folder is None or not (paths := sorted(folder.rglob("*.txt"))):
        raise SystemExit("recall: --corpus DIR names a folder with text files, paragraphs separated by blank lines")
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
    return list(dict.fromkeys(p.strip() for text in texts for p in re.split(r"\n\s*\n", text) if p.strip()))


async def _measure(url: str, documents: list[str], *, quick: bool) -> dict[str, object]:
    queries = _queries(documents, 50 if quick else 400)
    connection = await library.prepare(url)
    try:
        ids = [uuid5(_OWNER, str(number)) for number in range(len(documents))]
        photos = [
            library.Photo(asset, _OWNER, _NOW - timedelta(hours=number), text)
            for number, (asset, text) in enumerate(zip(ids, documents, strict=True))
        ]
        for start in range(0, len(photos), _CHUNK):
            await library.write(connection, library.rows(photos[start : start + _CHUNK]))
        await connection.execute("VACUUM ANALYZE immich_indexer.photo")
        zhparser = await connection.fetchval("SELECT to_regnamespace('immich_indexer_zhparser') IS NOT NULL")
        words.BLOCK = len(documents) + 1  # all matches at once, in whatever order
        normal = [normalise(document) for document in documents]
        figures = {
            kind: await _compare(connection, kind_queries, ids, normal) for kind, kind_queries in queries.items()
        }
    finally:
        await connection.close()
    return {"documents": len(documents), "zhparser": zhparser} | figures


async def _compare(
    connection: OwnConnection, queries: list[str], ids: list[UUID], normal: list[str]
) -> dict[str, float | int | list[str]]:
    recalls, precisions, wrong = [], [], []
    for query in queries:
        piece = normalise(query)
        truth = {number for number, text in zip(ids, normal, strict=True) if piece in text}
        hits = await words.candidates(connection, parse(query), limit=len(ids))
        found = {hit.asset_id for hit in hits}
        recalls.append(len(truth & found) / len(truth))
        precisions.append(len(truth & found) / len(found) if found else 1.0)
        if found != truth:
            wrong.append(query)
    return {
        "recall": round(statistics.fmean(recalls), 5),
        "precision": round(statistics.fmean(precisions), 5),
        "queries": len(queries),
        "wrong": wrong[:10],
    }


def _queries(documents: list[str], count: int) -> dict[str, list[str]]:
    chance = random.Random(7)
    han = [run for document in documents for run in _HAN_RUN.findall(document)]
    longer = [run for run in han if len(run) >= 4]
    latin = [run for document in documents for run in _LATIN_RUN.findall(document)]

    def pieces(runs: list[str], shortest: int, longest: int, number: int) -> list[str]:
        found: dict[str, None] = {}
        for _ in range(20 * number):
            run = chance.choice(runs)
            length = min(len(run), chance.randint(shortest, longest))
            start = chance.randint(0, len(run) - length)
            found[run[start : start + length]] = None
            if len(found) == number:
                break
        return list(found)

    words = _words(han)
    words = chance.sample(words, min(count, len(words)))
    return {
        "words": words,
        "substrings": pieces(longer, 2, 4, count),
        "latin": pieces(latin, 3, 8, count // 2),
        "characters": pieces(han, 1, 1, count // 4),
        "other_script": [_other_script(word) for word in words],
    }


def _words(runs: list[str]) -> list[str]:
    """Sequences of 2 to 4 characters at least 20 times as frequent as if their parts met by chance."""
    grams = [Counter(run[at : at + n] for run in runs for at in range(len(run) - n + 1)) for n in range(5)]
    total = grams[1].total()

    def holds(word: str) -> bool:
        parts = ((word[:cut], word[cut:]) for cut in range(1, len(word)))
        expected = max(grams[len(a)][a] * grams[len(b)][b] / total for a, b in parts)
        return log(grams[len(word)][word] / expected) > log(20)

    return sorted(word for n in (2, 3, 4) for word, times in grams[n].items() if times >= 5 and holds(word))


def _other_script(word: str) -> str:
    """Each character in its other form, where it has one (MediaWiki's table of single characters)."""
    table = json.loads(files("zhconv").joinpath("zhcdict.json").read_text(encoding="utf-8"))
    forms = {a: b for a, b in table["zh2Hant"].items() if len(a) == len(b) == 1}
    backwards = {a: b for a, b in table["zh2Hans"].items() if len(a) == len(b) == 1}
    return "".join(forms.get(c) or backwards.get(c) or c for c in word)
