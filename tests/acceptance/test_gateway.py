"""Everything Immich asks, asked over a real socket, byte by byte, and every answer held to what Immich takes."""

import json
import threading
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from pgvector import Vector
from pydantic import SecretStr

from gateway import models
from gateway.ml.protocol import PredictRequest
from indexer.demo.immich import StandIn
from indexer.models.clip.cn_clip.small import write_small_checkpoint
from indexer.models.load import load_text_tower
from indexer.photos.vectors import as_column
from indexer.work.worker import Models
from tests.support import packages, stubs
from tests.support.gateways import (
    CLIP,
    FACES,
    OCR,
    TEXT,
    TEXT_ZH,
    StubText,
    form,
    request,
    serving,
    stub_models,
    text_vector,
)
from tests.support.stubs import StubClip, StubOcr
from tests.support.upstreams import ml_servers
from tests.support.workers import idle, lines_of, settings_for, vector_of, working

PHOTO = stubs.picture(1)


def lines_are(answer, texts: list[str]) -> bool:
    ocr = answer.json["ocr"]
    assert ocr.keys() == {"text", "box", "boxScore", "textScore"}
    assert len(ocr["box"]) == 8 * len(texts)
    assert all(isinstance(corner, float) and 0 <= corner <= 1 for corner in ocr["box"])
    assert len(ocr["boxScore"]) == len(ocr["textScore"]) == len(texts)
    assert all(isinstance(score, float) and 0 <= score <= 1 for score in ocr["boxScore"] + ocr["textScore"])
    return ocr["text"] == texts


@pytest.fixture
def settings(database, tmp_path):
    return settings_for(database, tmp_path / "media", gateway_wait_seconds=20)


@pytest.mark.parametrize("entries", [TEXT, TEXT_ZH])
async def test_a_search(settings, entries):
    async with serving(settings) as immich:
        answer = await immich.ask(entries, text="发票 128.50")
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.json.keys() == {"clip"}
        assert (answer.vector == as_column(text_vector("发票 128.50"), 512)).all()


async def test_a_search_is_remembered(settings):
    text = StubText()
    async with serving(settings, stub_models(text)[0]) as immich:
        first, again = [await immich.ask(TEXT, text="猫") for _ in range(2)]
    assert first.body == again.body
    assert text.batches == [1]


async def test_the_vector_has_the_width_of_the_column(settings, immich: StandIn):
    async with serving(settings) as client:
        assert len((await client.ask(TEXT, text="猫")).vector) == 512
        for width in (1024, 768):
            await immich.change_clip_model(width)
            vector = (await client.ask(TEXT, text="猫")).vector
            assert len(vector) == width
            assert not vector[512:].any()


async def test_a_column_that_is_too_narrow_or_being_changed_is_no_reason_to_guess(settings, immich: StandIn):
    async with serving(settings, stub_models(StubText(dimensions=768))[0]) as client:
        answer = await client.ask(TEXT, text="猫")
        assert answer.status == 503
        assert "ViT-L-14__openai" in answer.json["message"]
        async with immich.clip_model_change(768):
            answer = await client.ask(TEXT, text="猫")
            assert (answer.status, answer.json["error"]) == (503, "unavailable")
        assert len((await client.ask(TEXT, text="猫")).vector) == 768


async def test_texts_of_every_kind_as_cn_clip_itself_has_them(small_gateway, subtests):
    import torch
    from cn_clip import clip as cn_clip

    client, reference = small_gateway
    flags, tag = "🐈\u200d⬛🏳️\u200d🌈", "\U000e0001"
    for text in ("", " ", "\0", "\x01\x02\n\t\r", flags, "字" * 4000, "a" * 16_384, "مرحبا", tag, "\ud7ff\uffff"):
        with subtests.test(text=text[:20]):
            answer = await client.ask(TEXT, text=text)
            with torch.inference_mode():
                expected = reference.encode_text(cn_clip.tokenize([text])).float().numpy()[0]
            expected /= np.linalg.norm(expected)
            assert float(answer.vector @ expected) / float(np.linalg.norm(answer.vector)) >= 0.9999


async def test_a_package_that_knows_languages_is_asked_in_that_of_the_question(database, tmp_path, immich: StandIn):
    folder = packages.write_package(tmp_path, packages.NLLB)
    settings = settings_for(database, tmp_path, clip_model=str(folder))
    await immich.change_clip_model(768)
    tower = load_text_tower(settings)
    async with serving(settings, models.load(settings)) as client:
        for asked, language in ((TEXT, None), (TEXT_ZH, "zh-CN"), (TEXT, None)):
            answer = await client.ask(asked, text="海边")
            assert answer.vector @ tower.encode_texts(["海边"], language)[0] > 0.9999
        wrong = {"clip": {"textual": {"modelName": "x", "options": {"language": 7}}}}
        assert (await client.ask(wrong, text="海边")).status == 422
    (one,), (other,) = tower.encode_texts(["海边"]), tower.encode_texts(["海边"], "zh-CN")
    assert one @ other < 0.99


@pytest.fixture
async def small_gateway(database, tmp_path):
    """A gateway with a tiny but real model, and the same model as cn_clip itself loads it."""
    path = tmp_path / "small.pt"
    write_small_checkpoint(path)
    settings = settings_for(database, tmp_path, clip_model=str(path))
    loaded = models.load(settings)
    async with serving(settings, loaded) as client:
        yield client, reference_model(path)


def reference_model(path: Path):
    import torch

    from indexer.models.clip.cn_clip.imported import import_cn_clip

    import_cn_clip()
    from cn_clip.clip import model as cn_clip_model

    model = cn_clip_model.CLIP(**json.loads(path.with_suffix(".json").read_text()))
    model.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    return model.float().eval()


async def test_a_real_picture_without_an_indexer(small_gateway):
    client, _ = small_gateway
    answer = await client.ask(CLIP | OCR, PHOTO)
    assert abs(float(np.linalg.norm(answer.vector)) - 1) < 1e-3
    assert lines_are(answer, [])


async def test_pictures_without_an_indexer_are_read_here(settings):
    loads, loaded = stub_models()
    async with serving(settings, loads) as immich:
        assert not loaded
        clip, ocr = await immich.ask(CLIP, PHOTO), await immich.ask(OCR, PHOTO)
    assert len(loaded) == 1
    assert clip.json.keys() == {"clip", "imageWidth", "imageHeight"}
    assert (clip.vector == as_column(stubs.expected_vector(1), 512)).all()
    assert ocr.json.keys() == {"ocr", "imageWidth", "imageHeight"}
    assert (ocr.json["imageWidth"], ocr.json["imageHeight"]) == (8, 8)
    assert lines_are(ocr, [stubs.expected_text(1)])


@pytest.mark.parametrize("width", [512, 1024])
async def test_what_the_indexer_wrote_is_what_immich_gets(settings, immich, connection, owner, width):
    await immich.change_clip_model(width)
    async with working(settings):
        asset = await immich.upload(PHOTO, owner=owner)
        await idle(connection)
    loads, loaded = stub_models()
    async with serving(settings, loads) as client:
        stored = await client.ask(CLIP | OCR, PHOTO)
        assert not loaded, "it was computed again"
        await connection.execute("DELETE FROM immich_indexer.photo")
        computed = await client.ask(CLIP | OCR, PHOTO)
        assert loaded
    assert stored.json["ocr"] == computed.json["ocr"]
    # Nobody knows whose picture that is any more, so not its file name either.
    assert (computed.vector == as_column(stubs.expected_vector(1), width, stubs.expected_text(1))).all()
    written = await connection.fetchval('SELECT embedding::text FROM smart_search WHERE "assetId" = $1', asset)
    assert (stored.vector == Vector.from_text(written).to_numpy()).all()
    lines = await connection.fetch('SELECT * FROM asset_ocr WHERE "assetId" = $1', asset)
    assert lines_are(stored, [line["text"] for line in lines])
    boxes = np.array([[line[f"{axis}{n}"] for n in range(1, 5) for axis in "xy"] for line in lines]).ravel()
    assert np.allclose(stored.json["ocr"]["box"], boxes, atol=1e-6)


async def test_a_picture_that_somebody_else_has_too_is_answered_before_its_own_turn(
    settings, immich, connection, owner
):
    hold = threading.Event()
    hold.set()
    indexing = Models(StubClip(before=lambda: hold.wait(60) and None), StubOcr(), "cpu")
    loads, loaded = stub_models()
    async with working(settings, indexing), serving(settings, loads) as client:
        await immich.upload(PHOTO, owner=owner)
        await idle(connection)
        hold.clear()
        again = await immich.upload(PHOTO, owner=await immich.create_user("bob"))
        try:
            stored = await client.ask(CLIP | OCR, PHOTO)
            assert (stored.vector == as_column(stubs.expected_vector(1), 512)).all()
            assert lines_are(stored, [stubs.expected_text(1)])
            assert not loaded, "it was computed again"
            metrics = (await client.get("/metrics")).body.decode()
            assert 'immich_gateway_pictures_total{source="stored"} 1.0' in metrics.splitlines()
            assert await vector_of(connection, again) is None, "its job was over before"
        finally:
            hold.set()
        await idle(connection)
        assert await lines_of(connection, again) == [stubs.expected_text(1)]


async def test_a_gateway_follows_the_model_in_use(settings, immich, connection, owner):
    async with working(settings):
        asset = await immich.upload(PHOTO, owner=owner)
        await idle(connection)
    loads, loaded = stub_models(StubText(name="another clip"))
    async with serving(settings, loads) as client:
        answer = await client.ask(CLIP, PHOTO)
        assert np.array_equal(answer.vector, await vector_of(connection, asset))
        refused = await client.ask(TEXT, text="photo")
        assert refused.status == 503, "vectors of two models are not compared"
    assert not loaded


async def test_the_options_of_immich_are_filters(settings):
    async with serving(settings) as immich:
        sure = {
            "ocr": {kind: {"modelName": "x", "options": {"minScore": 0.99}} for kind in ("detection", "recognition")}
        }
        assert lines_are(await immich.ask(sure, PHOTO), [])


async def test_mixed_tasks_are_answered_in_one(settings):
    asked: list[PredictRequest] = []

    async def forward(request: PredictRequest) -> dict[str, object]:
        asked.append(request)
        return {"facial-recognition": [], "imageWidth": 8, "imageHeight": 8}

    async with serving(settings, forward=forward) as immich:
        answer = await immich.ask(CLIP | FACES | OCR, PHOTO)
        assert answer.json.keys() == {"clip", "facial-recognition", "ocr", "imageWidth", "imageHeight"}
        assert (asked[0].entries, asked[0].image) == (FACES, PHOTO)
        await immich.ask(FACES, PHOTO)
        assert await asked[1].body.whole() == form(FACES, PHOTO)
        newer = {"smile-detection": {"all": ["anything"]}}
        await immich.ask(newer, PHOTO)
        assert await asked[2].body.whole() == form(newer, PHOTO)


async def test_what_is_not_among_the_tasks_is_forwarded(database, tmp_path):
    async def forward(request: PredictRequest) -> dict[str, object]:
        return dict.fromkeys(request.entries, "forwarded")

    settings = settings_for(database, tmp_path, tasks="clip")
    async with serving(settings, forward=forward) as immich:
        answer = await immich.ask(CLIP | OCR, PHOTO)
    assert answer.json["ocr"] == "forwarded"
    assert answer.vector.any()


async def test_what_a_person_may_ask(settings):
    async with serving(settings) as immich:
        assert (await immich.get("/")).status == 200
        assert (await immich.get("/ping")).body == b"pong"
        health = await immich.get("/health")
        assert (health.status, health.json["ready"]) == (200, True)
        assert health.json["database"] == {"trouble": None, "vector_width": 512}
        await immich.ask(TEXT, text="猫")
        await immich.ask(OCR, PHOTO)
        metrics = (await immich.get("/metrics")).body.decode()
    for line in (
        'immich_gateway_requests_total{route="/predict",status="200"} 2.0',
        'immich_gateway_task_seconds_count{task="clip.textual"} 1.0',
        "immich_gateway_text_batch_size_count 1.0",
        'immich_gateway_text_cache_total{outcome="miss"} 1.0',
        'immich_gateway_pictures_total{source="computed"} 1.0',
        'immich_gateway_waiting{queue="texts"} 0.0',
    ):
        assert line in metrics.splitlines(), metrics


async def test_the_backlog_is_in_the_metrics(settings, immich, connection: asyncpg.Connection, owner):
    async with working(settings):
        pass
    await immich.upload(PHOTO, owner=owner)
    async with serving(settings) as client:
        assert b'immich_indexer_backlog{state="inbox"} 1.0' in (await client.get("/metrics")).body


async def test_a_token_is_part_of_every_address(database, tmp_path):
    settings = settings_for(database, tmp_path, gateway_token="correct-horse")
    async with serving(settings) as immich:
        assert (await immich.get("/correct-horse/ping")).body == b"pong"
        assert (await immich.ask(TEXT, text="猫", path="/correct-horse/predict")).status == 200
        assert (await immich.get("/correct-horse/")).status == 200
        for path in (
            "/",
            "/ping",
            "/predict",
            "/wrong-horse/ping",
            "/wrong-horse/",
            "/%F0/ping",
            "/wrong-horse/metrics",
        ):
            assert (await immich.get(path)).status == 404, path
        assert (await immich.ask(TEXT, text="猫")).status == 404
        metrics = (await immich.get("/correct-horse/metrics")).body
    assert b"correct-horse" not in metrics


async def test_health_checks_and_prometheus_need_no_token_in_the_address(database, tmp_path):
    def get(path: str, *headers: str) -> bytes:
        return "\r\n".join((f"GET {path} HTTP/1.1", "host: x", *headers, "", "")).encode()

    settings = settings_for(database, tmp_path, gateway_token="correct-horse")
    async with serving(settings) as immich:
        whole = (await immich.get("/correct-horse/health")).json
        assert whole["database"]["vector_width"] == 512
        for nobody in ((), ("authorization: Bearer wrong-horse",), ("authorization: Basic correct-horse",)):
            answer = await immich.send(get("/health", *nobody))
            assert (answer.status, answer.json) == (200, {"ready": True}), "and no more of what only we should know"
            refusal = await immich.send(get("/metrics", *nobody))
            assert refusal.status == 401
            assert "Authorization: Bearer" in refusal.json["message"]
        bearer = "authorization: Bearer correct-horse"
        assert (await immich.send(get("/health", bearer))).json == whole
        assert b"immich_indexer_backlog" in (await immich.send(get("/metrics", bearer))).body
        assert (await immich.send(get("/ping", bearer))).status == 404, "Immich would take it for well"
    without_database = settings.model_copy(update={"db_url": SecretStr("postgresql://nobody@/nowhere?host=/nowhere")})
    async with serving(without_database) as immich:
        answer = await immich.get("/health")
        assert (answer.status, answer.json) == (503, {"ready": False})


async def test_a_body_in_pieces_without_a_length(settings):
    body = form(TEXT, text="猫")
    head = request(body).replace(f"content-length: {len(body)}".encode(), b"transfer-encoding: chunked")
    head = head[: head.index(b"\r\n\r\n") + 4]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
    async with serving(settings) as immich:
        assert (await immich.send(head + chunks + b"0\r\n\r\n")).status == 200


async def test_everything_together(database, tmp_path):
    async with ml_servers(1) as (upstream,):
        settings = settings_for(
            database, tmp_path, immich_ml_url=upstream.url, mt_photos_api_key="mt", gateway_token="correct-horse"
        )
        async with serving(settings, forward=None) as immich:
            answer = await immich.ask(CLIP | FACES | OCR, PHOTO, path="/correct-horse/predict")
            assert answer.json.keys() >= {"clip", "ocr", "facial-recognition", "imageWidth", "imageHeight"}
            await immich.ask(FACES, PHOTO, path="/correct-horse/predict")
            health = (await immich.get("/correct-horse/health")).json
            assert health["forwarder"]["upstreams"][0]["trouble"] is None
            body = b'{"text":"\xe7\x8c\xab"}'
            head = (
                "POST /correct-horse/clip/txt HTTP/1.1\r\nhost: x\r\napi-key: mt\r\ncontent-type: application/json\r\n"
            )
            answer = await immich.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            assert np.allclose([float(number) for number in answer.json["result"]], text_vector("猫"), atol=1e-3)
    assert upstream.bodies[1] == form(FACES, PHOTO)
