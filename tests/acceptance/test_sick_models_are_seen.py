"""A sick model is seen at once: by whoever asks for the status, the console, Prometheus, Docker and the doctor."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from click.testing import CliRunner

from indexer.cli.main import main
from indexer.models.load import Models
from indexer.queue import backlog
from indexer.work import doctor, mistakes, ping
from indexer.work.pace import WorkerPace
from tests.support import stubs
from tests.support.gateways import TEXT, serving, stub_models
from tests.support.hosts import QUICK, hosted_clip, hosted_text, until_ready
from tests.support.installs import install
from tests.support.people import house
from tests.support.stubs import StubClip, StubOcr, StubText
from tests.support.workers import eventually, settings_for, working

SLOWLY = QUICK.__class__(first=600, longest=600)
REASON = "RuntimeError: CUDA error: an illegal memory access was encountered"


class Switch:
    """Models that fail while it is on."""

    def __init__(self) -> None:
        self.broken = False

    def clip(self) -> StubClip:
        return StubClip(before=self)

    def __call__(self) -> None:
        if self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.fixture
async def sick(database, immich, connection, owner) -> AsyncIterator[Models]:
    """An indexer whose CLIP model fell sick at the first of three photos, and waits."""
    switch = Switch()
    models = Models(hosted_clip(switch.clip(), pace=SLOWLY), StubOcr())
    async with working(settings_for(database, immich.media.directory), models, pace=WorkerPace(idle=0.1)):
        switch.broken = True
        for number in range(3):
            await immich.upload(stubs.picture(number), owner=owner)
        read = "SELECT count(digest) = 3 FROM immich_indexer.photo WHERE ocr_model IS NOT NULL"
        await eventually(lambda: connection.fetchval(read))
        await eventually(lambda: told(connection))
        yield models
        switch.broken = False


async def told(connection) -> bool:
    return any(worker.engines["clip"].state == "sick" for worker in await backlog.workers(connection))


async def test_by_the_status_on_the_command_line(database, sick, monkeypatch):
    monkeypatch.setenv("DB_URL", database)
    said = await asyncio.to_thread(CliRunner().invoke, main, ["status"])
    assert "the CLIP model of" in said.output
    assert "3 photos wait for it" in said.output
    assert "illegal memory access" in said.output
    found = json.loads((await asyncio.to_thread(CliRunner().invoke, main, ["status", "--json"])).stdout)
    [engine] = found["engines"]
    assert (engine["engine"], engine["state"], engine["photos"], engine["reason"]) == ("clip", "sick", 3, REASON)
    assert engine["nextTry"] > engine["since"]


async def test_by_docker_and_the_doctor(database, immich, sick):
    settings = settings_for(database, immich.media.directory)
    said = await ping.trouble(settings, socket.gethostname())
    assert said is not None
    assert "the CLIP model" in said
    assert "3 photos wait for it: RuntimeError: CUDA error" in said
    (found,) = [one for one in await doctor.examine(settings) if one.check == "models at work"]
    assert (found.verdict, "illegal memory access" in found.text) == ("fails", True)


async def test_by_people_and_by_prometheus(database, immich, owner, sick):
    key = await immich.create_key(owner)
    async with house(database, immich) as home:
        reply = await home.with_key(key).get("/api/status")
        [engine] = reply.json["engines"]
        assert (engine["engine"], engine["state"], engine["reason"]) == ("clip", "sick", REASON)
    async with serving(settings_for(database, immich.media.directory)) as client:
        figures = (await client.get("/metrics")).body.decode()
    [line] = [line for line in figures.splitlines() if line.startswith("immich_indexer_engine_ready{")]
    assert 'engine="clip"' in line
    assert line.endswith(" 0.0")


async def test_a_gateway_says_which_of_its_models(database, tmp_path):
    switch = Switch()

    class Text(StubText):
        def encode_texts(self, texts):
            switch()
            return super().encode_texts(texts)

    await install(database)
    text = hosted_text(Text(), pace=SLOWLY)
    text.engine.start()
    await asyncio.to_thread(text.engine.settle, 10)
    models = stub_models(text)[0]
    async with serving(settings_for(database, tmp_path), models) as client:
        assert (await client.get("/health")).json["engines"]["text"]["state"] == "ready"
        switch.broken = True
        answer = await client.ask(TEXT, text="海边")
        assert (answer.status, answer.json["error"]) == (503, "unavailable")
        assert "illegal memory access" in answer.json["message"]
        assert 590 < int(answer.headers["retry-after"]) <= 600
        health = await client.get("/health")
        assert health.status == 503
        assert health.json["engines"]["text"]["state"] == "sick"
        assert health.json["engines"]["text"]["reason"] == REASON
        assert (await client.get("/ping")).status == 503
        figures = (await client.get("/metrics")).body.decode()
        assert 'immich_gateway_engine_ready{engine="text"} 0.0' in figures
        assert 'immich_gateway_engine_replacements_total{engine="text"} 1.0' in figures
        switch.broken = False
        text.engine.wake()
        await asyncio.to_thread(until_ready, text.engine)
        assert len((await client.ask(TEXT, text="海边")).vector) == stubs.DIMENSIONS
        assert (await client.get("/health")).status == 200


async def test_what_an_earlier_version_gave_up_by_mistake_is_tried_again_once(database, immich, connection, owner):
    await install(database)
    reasons = [f"no vector was made: {REASON}", "not a readable picture: it is cut short"]
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(2)]
    await connection.execute("TRUNCATE immich_indexer.inbox")

    async def give_up() -> None:
        await connection.executemany(
            "INSERT INTO immich_indexer.job (asset_id, tasks, priority, attempts, dead, error, failed_at)"
            " VALUES ($1, '{clip,ocr}', 10, 4, true, $2, now())",
            list(zip(assets, reasons, strict=True)),
        )

    await give_up()
    async with working(settings_for(database, immich.media.directory)):
        await eventually(lambda: gone(connection, assets[0]))
    assert await backlog.given_up(connection) == {assets[1]: reasons[1]}
    await connection.execute("TRUNCATE immich_indexer.job")
    await give_up()
    assert await mistakes.find(connection) == [assets[0]]
    async with working(settings_for(database, immich.media.directory)):
        assert set(await backlog.given_up(connection)) == set(assets), "once is enough"


async def gone(connection, asset: UUID) -> bool:
    return not await connection.fetchval("SELECT EXISTS (SELECT FROM immich_indexer.job WHERE asset_id = $1)", asset)
