"""What a search costs on top of the text tower: over HTTP, through the gateway, against the bare model call.

Both sides use the same model, in turn: the bare one in this process, which also is the client, the gateway's in one of
its own, as always; no two queries are alike.
The bare call is the fastest exact one we know: padding cut to the longest query, bf16 where that is faster.
"""

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator

from bench.gateway import OneThread, Served, queries, served, workplace
from gateway.ml.text import TextModel
from indexer.models.load import load_text_tower
from indexer.settings import Settings

NAME = "text"
DESCRIPTION = "a search through the gateway, against the bare model call: one at a time, and 32 at once"

_AT_ONCE = 32
_BATCHES = (8, 16, 32)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `latency_ratio`, of medians, `throughput_ratio`, the median of the rounds', and both sides' figures."""
    rounds, singles, bulk = (2, 10, 64) if options.quick else (5, 30, 192)
    with workplace(options) as (settings, _):
        return asyncio.run(_measure(settings, rounds, singles, bulk))


async def _measure(settings: Settings, rounds: int, singles: int, bulk: int) -> dict[str, object]:
    model = OneThread(await asyncio.to_thread(load_text_tower, settings))
    async with served(settings) as gateway:
        texts = queries()
        for query in itertools.islice(texts, 5):
            await gateway.text(query)
        ours, bare = await _singly(gateway, model, texts, rounds * singles)
        best = await _best_batch(model, texts)
        speeds = [
            (await _together(gateway, texts, bulk), await asyncio.to_thread(_bare_speed, model, texts, bulk, best))
            for _ in range(rounds)
        ]
    return {
        "latency_ratio": round(ours / bare, 3),
        "throughput_ratio": round(statistics.median(through / alone for through, alone in speeds), 3),
        "p50_ms": round(1000 * ours, 2),
        "bare_p50_ms": round(1000 * bare, 2),
        "queries_per_s": round(statistics.median(through for through, _ in speeds), 1),
        "bare_queries_per_s": round(statistics.median(alone for _, alone in speeds), 1),
        "bare_batch": best,
        "clip": model.name,
    }


async def _singly(gateway: Served, model: TextModel, texts: Iterator[str], count: int) -> tuple[float, float]:
    """Median seconds of a query through the gateway, and of a bare call; in turn."""
    ours, bare = [], []
    for _ in range(count):
        start = time.perf_counter()
        await gateway.text(next(texts))
        ours.append(time.perf_counter() - start)
        bare.append(await asyncio.to_thread(_seconds, model, [next(texts)]))
    return statistics.median(ours), statistics.median(bare)


def _seconds(model: TextModel, batch: list[str]) -> float:
    start = time.perf_counter()
    model.encode_texts(batch)
    return time.perf_counter() - start


async def _together(gateway: Served, texts: Iterator[str], count: int) -> float:
    """Queries a second, `_AT_ONCE` of them under way at any time."""

    async def one_after_the_other() -> None:
        for _ in range(count // _AT_ONCE):
            await gateway.text(next(texts))

    start = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(_AT_ONCE)))
    return count // _AT_ONCE * _AT_ONCE / (time.perf_counter() - start)


def _bare_speed(model: TextModel, texts: Iterator[str], count: int, batch: int) -> float:
    return count / sum(_seconds(model, list(itertools.islice(texts, batch))) for _ in range(count // batch))


async def _best_batch(model: TextModel, texts: Iterator[str]) -> int:
    return max(_BATCHES, key=lambda batch: statistics.median(_bare_speed(model, texts, 32, batch) for _ in range(3)))
