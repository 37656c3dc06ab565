"""The model is changed, and back, while indexers and gateways are killed: each search finds what it asks for."""

import asyncio
import contextlib
import hashlib
import os
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import numpy as np
import pytest
from aiohttp.test_utils import unused_port
from pgvector import Vector

from gateway.ml.protocol import PredictRequest, vector_answer
from indexer.database.pool import connect_to_immich, hang_up
from indexer.demo.immich import StandIn
from indexer.photos import sets
from indexer.work import turn
from tests.acceptance.test_kill import Crew, end
from tests.support import stub_gateway, stubs
from tests.support.gateways import CLIP, TEXT, Answer, Client, serving
from tests.support.installs import install
from tests.support.workers import eventually, idle, settings_for

OLD, NEW = "ViT-B-16", "RN50"
TURNING = """SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1960167 AND granted
    AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""
STUBS = {"STUB_MODELS": "1", "RECONCILE_SECONDS": "1"}


@dataclass
class Searcher:
    """Somebody who searches in Immich all the time, through one gateway after the other that is alive."""

    connection: asyncpg.Connection
    clients: list[Client]
    pictures: dict[UUID, int]
    searches: int = 0
    wrong: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def searching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._search_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert not self.wrong, self.wrong[:5]

    async def some_more(self, count: int = 10) -> None:
        enough = self.searches + count
        await eventually(lambda: self._has(enough), 60)

    async def _has(self, count: int) -> bool:
        return self.searches >= count or bool(self.wrong)

    async def _answer(self, text: str) -> Answer | None:
        for turn_of in range(self.searches, self.searches + len(self.clients)):
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                return await self.clients[turn_of % len(self.clients)].ask(TEXT, text=text)
        return None

    async def _search_on(self) -> None:
        chance = random.Random(1)
        assets = list(self.pictures)
        while True:
            asset = chance.choice(assets)
            answer = await self._answer(str(self.pictures[asset]))
            if answer is None or answer.status != 200:
                self.wrong.append(f"search {self.searches} was answered {answer}")
                return
            asked = Vector(answer.vector).to_text()
            row = await self.connection.fetchrow(
                'SELECT "assetId" AS asset, 1 - (embedding <=> $1::text::vector) AS near FROM smart_search'
                " ORDER BY embedding <=> $1::text::vector LIMIT 1",
                asked,
            )
            if row is None or row["asset"] != asset or row["near"] < 0.99:
                self.wrong.append(f"search {self.searches} for {self.pictures[asset]} found {row}")
            self.searches += 1


async def current(connection: asyncpg.Connection) -> str | None:
    return await connection.fetchval("SELECT setting FROM immich_indexer_3.model WHERE state = 'current'")


async def is_current(connection: asyncpg.Connection, setting: str) -> bool:
    return await current(connection) == setting


async def vectors(connection: asyncpg.Connection, setting: str, pictures: dict[UUID, int]) -> int:
    """How many photos have the vector of that model in Immich's column."""
    _, kind = stubs.named(setting)
    rows = await connection.fetch('SELECT "assetId" AS asset, embedding::text FROM smart_search')

    def count() -> int:
        found = {row["asset"]: Vector.from_text(row["embedding"]).to_numpy()[: stubs.DIMENSIONS] for row in rows}
        return sum(
            float(found[asset] @ stubs.vector_of(stubs.rgb(number), kind=kind)) > 0.99
            for asset, number in pictures.items()
            if asset in found
        )

    return await asyncio.to_thread(count)  # seconds, in which searches have to go on


@pytest.mark.parametrize(
    ("photos", "kills"), [(24, 2), pytest.param(5000, 10, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
async def test_no_search_mixes_two_models_and_none_is_blind(
    database: str,
    superuser_url: str,
    immich: StandIn,
    connection: asyncpg.Connection,
    owner: UUID,
    photos: int,
    kills: int,
):
    await install(database)
    media, chance, long = immich.media.directory, random.Random(2), 60 + photos
    pictures = {await immich.upload(stubs.picture(number), owner=owner): number for number in range(photos)}
    async with Crew(database, media, CLIP_MODEL=OLD, **STUBS).at_work(1):
        await eventually(lambda: is_current(connection, OLD), 60)
        await idle(connection, long)
    assert await vectors(connection, OLD, pictures) == photos

    crew = Crew(database, media, CLIP_MODEL=NEW, STUB_DELAY="0.05", **STUBS)
    port = unused_port()
    gateways = Crew(database, media, "stub_gateway", CLIP_MODEL=NEW, GATEWAY_PORT=str(port))
    looking = await asyncpg.connect(superuser_url)
    # Every vector is compared, as by Immich 3.1. An index, which is approximate, may miss one.
    await looking.execute("SET enable_indexscan = off")
    settings = {setting: settings_for(database, media, clip_model=setting) for setting in (OLD, NEW)}
    async with (
        serving(settings[OLD], stub_gateway.models(OLD)) as one,
        serving(settings[NEW], stub_gateway.models(NEW)) as other,
    ):
        searcher = Searcher(looking, [one, other, Client(port)], dict(pictures))
        async with gateways.at_work(1), searcher.searching(), crew.at_work(2):
            await eventually(lambda: answers(port), 60)
            for number in range(photos, photos + kills):
                await searcher.some_more(3)
                await crew.kill_one(chance)
                pictures[await immich.upload(stubs.picture(number), owner=owner)] = number
            await eventually(lambda: is_current(connection, NEW), long)
            await searcher.some_more()
            await idle(connection, long)
            assert await vectors(connection, NEW, pictures) == len(pictures), "none was lost"

            await killed_on_the_way_back(database, connection, long)
            await searcher.some_more()
            assert await current(connection) == NEW
            assert await vectors(connection, NEW, pictures) == len(pictures), "all is as it was"

            back = asyncio.create_task(turn.turn(database, stubs.named(OLD)[0]))
            await eventually(lambda: connection.fetchval(TURNING), long)
            await asyncio.gather(gateways.kill_one(chance), crew.kill_one(chance))
            assert await back is not None
            await eventually(lambda: answers(port), 60)
            await searcher.some_more()
            await eventually(lambda: _has_all(connection, pictures), long)
            assert await current(connection) == OLD
    await looking.close()


async def answers(port: int) -> bool:
    """Whether a gateway answers searches there."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        return (await Client(port).ask(TEXT, text="0")).status == 200
    return False


async def killed_on_the_way_back(database: str, connection: asyncpg.Connection, seconds: float) -> None:
    """`model back`, killed just before its transaction would end, to which it comes within so many seconds."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "indexer.cli", "model", "back"), env=os.environ | {"DB_URL": database}
    )
    try:
        await eventually(lambda: connection.fetchval(TURNING), seconds)
    finally:
        await end(process)
    await eventually(lambda: connection.fetchval(f"SELECT NOT ({TURNING})"), 60)


async def _has_all(connection: asyncpg.Connection, pictures: dict[UUID, int]) -> bool:
    return await vectors(connection, OLD, pictures) == len(pictures)


async def test_until_the_first_change_immichs_own_model_answers(
    database: str, immich: StandIn, connection: asyncpg.Connection, owner: UUID
):
    await install(database)
    pictures = {await immich.upload(stubs.picture(number), owner=owner): number for number in range(3)}
    for asset, number in pictures.items():
        await immich.immich_clip_job(asset, stubs.vector_of(stubs.rgb(number)))
    own = await connect_to_immich(database)
    new, kind = stubs.named(NEW)
    await sets.register(own, sets.Own(new, NEW, stubs.DIMENSIONS), UUID(int=1), {}, immich_answers=True)
    asked: list[str] = []

    async def immichs(request: PredictRequest) -> dict[str, object]:
        asked.extend(request.entries["clip"])
        whole = await request.whole()
        made = stubs.vector_of(stubs.rgb(int(whole.text or 2)))
        return {"clip": vector_answer(made)}

    settings = settings_for(database, immich.media.directory, clip_model=NEW)
    async with serving(settings, stub_gateway.models(NEW), forward=immichs) as client:
        question = (await client.ask(TEXT, text="1")).vector
        assert np.allclose(question, stubs.vector_of(stubs.rgb(1)))
        picture = (await client.ask(CLIP, image=stubs.picture(2))).vector
        assert np.allclose(picture, stubs.vector_of(stubs.rgb(2))), "and for new photos"
        assert asked == ["textual", "visual"]
        rows = await connection.fetch("SELECT name, setting, state FROM immich_indexer_3.model ORDER BY 1")
        assert [tuple(row) for row in rows] == [("immich", "ViT-B-32__openai", "current"), (new, NEW, "next")]
        for asset, number in pictures.items():
            digest = hashlib.sha256(stubs.picture(number)).digest()
            await connection.execute(
                "INSERT INTO immich_indexer.photo (asset_id, digest, indexed_at) VALUES ($1, $2, now())", asset, digest
            )
            vector = stubs.vector_of(stubs.rgb(number), kind=kind)
            await sets.store(own, {}, [sets.Vector(asset, new, digest, vector)])
        assert await turn.turn(database, new, grace=0)
        question = (await client.ask(TEXT, text="1")).vector
        assert float(question @ stubs.vector_of(stubs.rgb(1), kind=kind)) > 0.999
        assert len(asked) == 2, "our own model answers now"
    assert await vectors(connection, NEW, pictures) == 3
    await hang_up(own)
