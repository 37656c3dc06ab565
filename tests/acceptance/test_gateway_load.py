"""More than the gateway can serve, for ten minutes, or as long as one likes:

SOAK_SECONDS=30 python -m pytest -m soak tests/acceptance/test_gateway_load.py
"""

import asyncio
import itertools
import os
import resource
import statistics
import time
from pathlib import Path

import pytest

from tests.support import stubs
from tests.support.gateways import CLIP, OCR, TEXT, Client, serving, stub_models
from tests.support.stubs import StubClip
from tests.support.workers import settings_for

QUEUE = 16
LONG = float(os.environ.get("SOAK_SECONDS", "600"))
RUNS = [
    pytest.param(4, 2.0, id="short"),
    pytest.param(LONG, 0.05, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(LONG + 300)]),
]


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize(("seconds", "growth"), RUNS)
async def test_twice_what_it_can_serve(database, tmp_path, seconds, growth):
    settings = settings_for(database, tmp_path, gateway_picture_queue=QUEUE, gateway_text_cache=100)
    loads, _ = stub_models(clip=StubClip(before=lambda: time.sleep(0.05)))
    numbers = itertools.count()
    pictures: dict[int, int] = {}
    searches = 0
    end = time.monotonic() + seconds

    async def uploader(immich: Client) -> None:
        while time.monotonic() < end:
            answer = await immich.ask(CLIP | OCR, stubs.picture(next(numbers)))
            pictures[answer.status] = pictures.get(answer.status, 0) + 1
            if answer.status == 503:
                await asyncio.sleep(0.25)  # a quarter of what it was told

    async def searcher(immich: Client) -> None:
        nonlocal searches
        while time.monotonic() < end:
            assert (await immich.ask(TEXT, text=str(next(numbers)))).status == 200
            searches += 1
            await asyncio.sleep(0.05)

    async def memory() -> list[int]:
        await asyncio.sleep(seconds / 5)  # until everything has been used once
        seen = []
        while time.monotonic() < end:
            seen.append(resident())
            await asyncio.sleep(seconds / 40)
        return seen

    async with serving(settings, loads) as immich:
        used, *_ = await asyncio.gather(memory(), searcher(immich), *(uploader(immich) for _ in range(2 * QUEUE)))
    assert pictures.keys() == {200, 503}, pictures
    assert searches
    quarter = max(1, len(used) // 4)
    before, after = statistics.median(used[:quarter]), statistics.median(used[-quarter:])
    assert after < before * (1 + growth), [round(size / 2**20) for size in used]
