"""Models in processes of their own that fail in every way we know: nobody's photo is given up for it, and it all heals.

Among the photos is real poison: one that the model cannot take, and one that ends its process.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args
from uuid import UUID

import asyncpg
import pytest

from gateway.models import LazyModels
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import HostedClip, HostedOcr, HostedText
from indexer.models.engines.lifecycle import Pace
from indexer.models.engines.probe import ImageProbe, LinesProbe, TextProbe
from indexer.models.engines.states import PROVEN, Phase
from indexer.models.load import Models
from indexer.work.pace import WorkerPace
from tests.support import stubs
from tests.support.gateways import FACES, TEXT, Client, serving, stub_models
from tests.support.hosts import QUICK, process_of
from tests.support.proxy import Proxy
from tests.support.stub_hosted import Fault, Faulty, Kind
from tests.support.workers import eventually, failures, idle, is_indexed, settings_for, working

PHOTOS, POISON, DEADLY = 24, 20, 21
LIMIT = 90  # seconds in which all has healed, on a machine that has much else to do
PACE = QUICK.__class__(first=0.05, longest=0.4, well=5, probe=0.3, late=1.5, load=30, room=5)

FAULTS = [fault for fault in get_args(Fault) if fault]
QUICKLY = {("clip", "rubbish"), ("clip", "from the n-th on"), ("ocr", "hangs"), ("text", "no numbers")}
MADE = {"clip": "clip IS NOT NULL", "ocr": "ocr_model IS NOT NULL"}


def cases(*kinds: Kind) -> list:
    """All faults of each; the whole of it belongs to the long runs."""
    return [
        pytest.param(
            kind,
            fault,
            id=f"{kind}: {fault}",
            marks=[pytest.mark.timeout(300), *([] if (kind, fault) in QUICKLY else [pytest.mark.soak])],
        )
        for kind in kinds
        for fault in FAULTS
    ]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The fault, for as long as it is there."""
    path = tmp_path / "broken"
    path.touch()
    return path


def models(kind: Kind, fault: Fault, broken: Path, pace: Pace = PACE) -> Models:
    faulty = Faulty(kind, fault, str(broken), (stubs.expected_text(POISON),), (stubs.expected_text(DEADLY),))
    clip = process_of(faulty if kind == "clip" else Faulty("clip"), ImageProbe(), "the CLIP model", pace)
    ocr = process_of(faulty if kind == "ocr" else Faulty("ocr"), LinesProbe(), "the OCR engine", pace)
    return Models(HostedClip(clip), HostedOcr(ocr))


async def are_right(connection: asyncpg.Connection, assets: list[UUID]) -> bool:
    """Whether every photo but the poison is read, rightly, and nothing is left to be done."""
    if await connection.fetchval(
        "SELECT EXISTS (SELECT FROM immich_indexer.inbox) OR EXISTS (SELECT FROM immich_indexer.job WHERE NOT dead)"
    ):
        return False
    for number, asset in enumerate(assets):
        if number not in (POISON, DEADLY) and not await is_indexed(connection, asset, stubs.picture(number)):
            return False
    return True


@asynccontextmanager
async def watched(database: str, assets: list[UUID]) -> AsyncIterator[set[int]]:
    """How many of `assets` have an attempt that counts, at any time."""
    counted: set[int] = set()

    async def look() -> None:
        connection = await asyncpg.connect(database)
        try:
            while True:
                counted.add(
                    await connection.fetchval(
                        "SELECT count(*) FROM immich_indexer.job WHERE asset_id = ANY ($1::uuid[])"
                        " AND (dead OR attempts > (worker IS NOT NULL)::int)",
                        assets,
                    )
                )
                await asyncio.sleep(0.05)
        finally:
            await connection.close()

    looking = asyncio.create_task(look())
    try:
        yield counted
    finally:
        looking.cancel()
        await asyncio.wait({looking})


@pytest.mark.parametrize(("kind", "fault"), cases("clip", "ocr"))
async def test_the_indexer(database, immich, connection, owner, broken, kind, fault):
    engines = models(kind, fault, broken)
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(PHOTOS)]
    innocent = [asset for number, asset in enumerate(assets) if number not in (POISON, DEADLY)]

    settings = settings_for(database, immich.media.directory, max_attempts=1)
    async with working(settings, engines, pace=WorkerPace(idle=0.1)), watched(database, innocent) as counted:
        other = "ocr" if kind == "clip" else "clip"
        made = f"SELECT count(digest) = {PHOTOS} FROM immich_indexer.photo WHERE {MADE[other]}"
        await eventually(lambda: connection.fetchval(made), LIMIT)
        sick = engines.engines[kind]
        if fault not in ("every third", "batches"):  # which it lives with
            await eventually(lambda: asyncio.sleep(0, sick.replaced or sick.state.phase is Phase.SICK), LIMIT)
        broken.unlink()
        await eventually(lambda: are_right(connection, assets), LIMIT)
        assert engines.engines[other].replaced == 0
    assert counted <= {0}
    dead = {asset: failure for asset, failure in (await failures(connection)).items() if failure.dead}
    assert set(dead) == {assets[POISON], assets[DEADLY]}
    assert "a shape that it cannot take" in dead[assets[POISON]].error
    assert "SIGSEGV" in dead[assets[DEADLY]].error
    assert all(failure.error.endswith(PROVEN) for failure in dead.values())


UNSEEN = replace(PACE, probe=3600)  # no probe finds a fault that comes after the start


@pytest.mark.parametrize("kind", ["clip", "ocr"])
async def test_what_no_probe_has_proven_before_a_stop_is_read_again(database, immich, connection, owner, broken, kind):
    """The indexer does not wait for a slow probe: it says what is to be read again, and has left."""
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(12)]
    settings = settings_for(database, immich.media.directory)
    async with working(settings, models(kind, "rubbish", broken, UNSEEN), pace=WorkerPace(grace=0)):
        await idle(connection)
        assert not await are_right(connection, assets)
    assert not await connection.fetchval("SELECT EXISTS (SELECT FROM immich_indexer.worker)")
    asked = await connection.fetch("SELECT asset_id FROM immich_indexer.inbox WHERE tasks = $1", [f"{kind}!"])
    assert {row["asset_id"] for row in asked} == set(assets)
    broken.unlink()
    async with working(settings, models(kind, "rubbish", broken, UNSEEN)):
        await eventually(lambda: are_right(connection, assets), LIMIT)


async def test_what_no_probe_has_proven_before_the_database_was_silent_is_read_again(
    database, immich, connection, owner, broken
):
    """Others may have taken over meanwhile, and the engine may have been sick for all that is known."""
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(12)]
    again = f"SELECT count(digest) = {len(assets)} FROM immich_indexer.photo WHERE indexed_at > $1"
    async with Proxy(database) as proxy:
        settings = settings_for(proxy.url, immich.media.directory)
        async with working(settings, models("clip", "", broken, UNSEEN)):
            await eventually(lambda: are_right(connection, assets), LIMIT)
            before = await connection.fetchval("SELECT max(indexed_at) FROM immich_indexer.photo")
            proxy.freeze()
            await eventually(lambda: connection.fetchval(again, before), LIMIT)


@asynccontextmanager
async def gateway(settings, engine: Engine) -> AsyncIterator[Client]:
    """One whose text model is that, and that passes faces on."""

    async def forward(request):
        return {"facial-recognition": []}

    engine.start()
    await asyncio.to_thread(engine.settle, 30)
    lazy = LazyModels(HostedText(engine), "stub ocr", stub_models()[0].load_pictures)
    async with serving(settings, lazy, forward=forward) as client:
        yield client


@pytest.mark.parametrize(("kind", "fault"), cases("text"))
async def test_the_gateway(database, tmp_path, connection, broken, kind, fault):
    faulty = Faulty("text", fault, str(broken), ("poison",), ("deadly",))
    engine = process_of(faulty, TextProbe(), "the CLIP model for text", PACE, lanes=1)
    statuses: set[int] = set()
    async with working(settings_for(database, tmp_path)):
        pass  # installs
    async with gateway(settings_for(database, tmp_path), engine) as immich:

        async def ask(text: str) -> bool:
            """Whether it is answered, and rightly; else it is to be asked again."""
            answer = await immich.ask(TEXT, text=text)
            statuses.add(answer.status)
            if answer.status == 503:
                assert int(answer.headers["retry-after"]) >= 1
                return False
            assert answer.status == 200, answer.body
            return float(answer.vector[: stubs.DIMENSIONS] @ stubs.text_vector(text)) > 0.9999

        async def is_red() -> bool:
            return (await immich.get("/health")).status == 503

        if fault not in ("every third", "batches"):
            number = iter(range(1000))

            async def fails() -> bool:
                await ask(f"照片 {next(number)}")
                return await is_red()

            await eventually(fails, LIMIT)
            assert (await immich.ask(FACES, stubs.picture(1))).status == 200, "it passes on what needs no model"
            assert b"immich_gateway_engine_ready" in (await immich.get("/metrics")).body
        broken.unlink()
        for index in range(30):
            await eventually(lambda index=index: ask(f"照片 {index}"), LIMIT)
        assert await eventually(lambda: asyncio.sleep(0, engine.state.is_ready), LIMIT)
        assert not await is_red()
        assert statuses <= {200, 503}
        for text in ("poison", "deadly"):

            async def refused(text: str = text) -> bool:
                answer = await immich.ask(TEXT, text=text)
                assert answer.status in (400, 503)
                return answer.status == 400

            await eventually(refused, LIMIT)
        await eventually(lambda: ask("好"), LIMIT)
