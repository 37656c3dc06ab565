"""Whether who searches notices that pictures are being read: searches alone, and while 16 pictures are under way."""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator

from bench.gateway import Served, queries, served, workplace
from indexer.demo.pictures import draw_all
from indexer.settings import Settings

NAME = "mixed"
DESCRIPTION = "p95 of searches while 16 image requests run, against searches alone"

_PICTURES = 16


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `text_p95_ratio`, both percentiles in ms, and the pictures a second meanwhile."""
    count = 20 if options.quick else 100
    with workplace(options) as (settings, folder):
        pictures = [picture.path.read_bytes() for picture in draw_all(folder / "pictures")]
        return asyncio.run(_measure(settings, pictures, count))


async def _measure(settings: Settings, pictures: list[bytes], count: int) -> dict[str, object]:
    async with served(settings) as gateway:
        texts = queries()
        await gateway.image(pictures[0])  # loads the models
        for query in itertools.islice(texts, 5):
            await gateway.text(query)
        idle = await _searches(gateway, texts, count)
        read = [0]
        readers = [asyncio.create_task(_read(gateway, pictures[start:], read)) for start in range(_PICTURES)]
        while read[0] < 2:  # all threads are busy
            await asyncio.sleep(0.1)
        before, start = read[0], time.perf_counter()
        busy = await _searches(gateway, texts, count)
        speed = (read[0] - before) / (time.perf_counter() - start)
        for reader in readers:
            reader.cancel()
        for outcome in await asyncio.gather(*readers, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
    return {
        "text_p95_ratio": round(_p95(busy) / _p95(idle), 3),
        "idle_p95_ms": round(1000 * _p95(idle), 1),
        "busy_p95_ms": round(1000 * _p95(busy), 1),
        "images_per_s": round(speed, 2),
        "searches": count,
    }


async def _searches(gateway: Served, texts: Iterator[str], count: int) -> list[float]:
    """Seconds of each, one after the other."""
    seconds = []
    for query in itertools.islice(texts, count):
        start = time.perf_counter()
        await gateway.text(query)
        seconds.append(time.perf_counter() - start)
    return seconds


async def _read(gateway: Served, pictures: list[bytes], read: list[int]) -> None:
    for data in itertools.cycle(pictures):
        await gateway.image(data)
        read[0] += 1


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)]
