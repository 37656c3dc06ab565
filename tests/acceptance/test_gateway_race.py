"""Immich's own jobs and the indexer at the same photos at the same moment, as at every upload."""

import asyncio
import json
import random
import threading
import time
from uuid import UUID

import asyncpg
import pytest
from pgvector import Vector

from indexer.demo.immich import OcrLine, StandIn
from indexer.immich import tokens as immich_text
from indexer.photos.vectors import as_column
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.gateways import CLIP, OCR, Client, serving, stub_models
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import idle, settings_for, working

JOBS = 3  # of a kind at once: Immich's own setting is 2 for smart search and 1 for OCR


class ImmichMl:
    """Immich's jobs for new photos: each asks its machine-learning server and writes what it answers; no second try."""

    def __init__(self, immich: StandIn, server: Client) -> None:
        self.failed: list[str] = []
        self._immich = immich
        self._server = server
        self._rooms = {"clip": asyncio.Semaphore(JOBS), "ocr": asyncio.Semaphore(JOBS)}

    async def all_for(self, asset: UUID, preview: bytes) -> None:
        jobs = [self._clip, self._ocr]
        random.shuffle(jobs)
        await asyncio.gather(*(job(asset, preview) for job in jobs), self._immich.immich_faces_job(asset))

    async def _clip(self, asset: UUID, preview: bytes) -> None:
        async with self._rooms["clip"]:
            answer = await self._server.ask(CLIP, preview)
            if answer.status == 200:
                await self._immich.immich_clip_job(asset, json.loads(answer.json["clip"]))
            else:
                self.failed.append(str(answer))

    async def _ocr(self, asset: UUID, preview: bytes) -> None:
        async with self._rooms["ocr"]:
            answer = await self._server.ask(OCR, preview)
            if answer.status != 200:
                self.failed.append(str(answer))
                return
            ocr = answer.json["ocr"]
            boxes = [tuple(ocr["box"][i : i + 8]) for i in range(0, len(ocr["box"]), 8)]
            lines = [
                OcrLine(text, box, box_score, text_score)  # type: ignore[arg-type]
                for text, box, box_score, text_score in zip(
                    ocr["text"], boxes, ocr["boxScore"], ocr["textScore"], strict=True
                )
            ]
            await self._immich.immich_ocr_job(asset, lines, immich_text.tokens)


async def check(connection: asyncpg.Connection, photos: dict[UUID, int]) -> None:
    """Each photo has its vector and its lines once."""
    vectors = dict(await connection.fetch('SELECT "assetId", embedding::text FROM smart_search'))
    lines: dict[UUID, list[str]] = {}
    for row in await connection.fetch('SELECT "assetId", text FROM asset_ocr'):
        lines.setdefault(row["assetId"], []).append(row["text"])
    searchable = dict(await connection.fetch('SELECT "assetId", text FROM ocr_search'))
    assert vectors.keys() == lines.keys() == searchable.keys() == photos.keys()
    for asset, number in photos.items():
        text = stubs.expected_text(number)
        assert lines[asset] == [text], "a line is missing, or there twice"
        assert searchable[asset] == immich_text.search_text([text])
        column = Vector.from_text(vectors[asset]).to_numpy()
        assert (column == as_column(stubs.expected_vector(number), 512)).all()
    assert await connection.fetchval('SELECT bool_and("ocrAt" IS NOT NULL) FROM asset_job_status')


async def upload_all(immich: StandIn, owner: UUID, ml: ImmichMl, count: int, at_once: int) -> dict[UUID, int]:
    photos: dict[UUID, int] = {}
    room = asyncio.Semaphore(at_once)
    jobs: list[asyncio.Task[None]] = []

    async def one(number: int) -> None:
        preview = stubs.picture(number)
        async with room:
            asset = await immich.upload(preview, owner=owner)
        photos[asset] = number
        jobs.append(asyncio.create_task(ml.all_for(asset, preview)))

    await asyncio.gather(*(one(number) for number in range(count)))
    await asyncio.gather(*jobs)
    return photos


UPLOADS = [100, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])]


@pytest.mark.parametrize("uploads", UPLOADS)
async def test_uploads_while_an_indexer_works(database, immich, connection, owner, uploads):
    settings = settings_for(database, immich.media.directory, gateway_wait_seconds=60)
    loads, loaded = stub_models()
    async with working(settings), serving(settings, loads) as server:
        ml = ImmichMl(immich, server)
        photos = await upload_all(immich, owner, ml, uploads, at_once=4)
        doubled = await connection.fetchval(
            'SELECT count(*) FROM (SELECT FROM asset_ocr GROUP BY "assetId" HAVING count(*) > 1) AS doubled'
        )
        await idle(connection, 60)
    assert not ml.failed
    assert doubled == 0, "lines were there twice before they were healed"
    assert not loaded, "the gateway computed what the indexer was about to"
    await check(connection, photos)


@pytest.mark.parametrize("uploads", [pytest.param(40, id="40")])
async def test_uploads_while_no_indexer_works_yet(database, immich, connection, owner, uploads):
    settings = settings_for(database, immich.media.directory)
    async with working(settings):
        pass
    async with serving(settings) as server:
        ml = ImmichMl(immich, server)
        photos = await upload_all(immich, owner, ml, uploads, at_once=4)
        assert not ml.failed
        await check(connection, photos)
        async with working(settings):
            await idle(connection)
        await check(connection, photos)


async def test_an_indexer_that_is_slow_is_waited_for_but_not_for_ever(database, immich, connection, owner):
    settings = settings_for(database, immich.media.directory, gateway_wait_seconds=0.5)
    hold = threading.Event()
    slow = Models(StubClip(before=lambda: hold.wait(20) and None), StubOcr(), "cpu")
    loads, loaded = stub_models()
    async with working(settings, slow), serving(settings, loads) as server:
        asset = await immich.upload(stubs.picture(1), owner=owner)
        started = time.monotonic()
        assert (await server.ask(CLIP | OCR, stubs.picture(1))).status == 200
        assert loaded
        assert time.monotonic() - started >= 0.5
        hold.set()
        await idle(connection)
    await check(connection, {asset: 1})


async def test_an_indexer_that_died_is_not_waited_for(database, immich, connection, owner):
    settings = settings_for(database, immich.media.directory, gateway_wait_seconds=60)
    async with working(settings):
        pass
    await connection.execute(
        "INSERT INTO immich_indexer.worker (id, name, version, device, seen_at)"
        " VALUES (gen_random_uuid(), 'dead', '0', 'cpu', now() - interval '1 h')"
    )
    await immich.upload(stubs.picture(1), owner=owner)
    loads, loaded = stub_models()
    async with serving(settings, loads) as server, asyncio.timeout(10):
        assert (await server.ask(CLIP | OCR, stubs.picture(1))).status == 200
    assert loaded


async def test_an_indexer_that_gave_up_is_not_waited_for(database, immich, connection, owner):
    settings = settings_for(database, immich.media.directory, gateway_wait_seconds=60, max_attempts=1)
    loads, loaded = stub_models()

    def fail() -> None:
        raise RuntimeError

    broken = Models(StubClip(before=fail), StubOcr(), "cpu")
    async with working(settings, broken), serving(settings, loads) as server, asyncio.timeout(20):
        await immich.upload(stubs.picture(1), owner=owner)
        assert (await server.ask(CLIP, stubs.picture(1))).status == 200
    assert loaded
