"""Models, tasks and options that we do not have: passed on or refused, never answered with an empty result."""

import copy

import pytest

from gateway.ml import protocol
from tests.support import stubs
from tests.support.gateways import FACES, OCR, form, serving, stub_models
from tests.support.stubs import StubOcr
from tests.support.upstreams import FACES as FACES_FOUND
from tests.support.upstreams import ml_servers
from tests.support.workers import settings_for

PHOTO = stubs.picture(1)
FOUND = {"ocr": {"text": ["Кассовый чек"], "box": [0.1] * 8, "boxScore": [0.9], "textScore": [0.97]}}


def with_model(name: str) -> dict[str, dict[str, dict[str, object]]]:
    entries = copy.deepcopy(OCR)
    for kind in entries["ocr"].values():
        kind["modelName"] = name
    return entries


@pytest.mark.parametrize(
    "name", ["eslav__PP-OCRv5_mobile", "KOREAN__PP-OCRv5_mobile", "th__PP-OCRv5_mobile", "el__PP-OCRv6_small"]
)
async def test_a_text_model_for_a_script_that_ours_does_not_know_is_passed_on(database, tmp_path, name):
    ocr = StubOcr()
    async with ml_servers(1) as (upstream,):
        upstream.answer = FOUND
        settings = settings_for(database, tmp_path, immich_ml_url=upstream.url)
        async with serving(settings, stub_models(ocr=ocr)[0], forward=None) as immich:
            answer = await immich.ask(with_model(name), PHOTO)
            assert (answer.status, answer.json) == (200, FOUND)
            both = await immich.ask(with_model(name) | {"clip": {"visual": {"modelName": "any"}}}, PHOTO)
            assert both.json["ocr"] == FOUND["ocr"]
            assert "clip" in both.json
    assert upstream.bodies[0] == form(with_model(name), PHOTO)
    assert protocol.parse(upstream.bodies[1], upstream.types[1]).entries == with_model(name)
    assert ocr.calls == 0


@pytest.mark.parametrize("engine", ["rapidocr", "rapidocr-onnxruntime"])
async def test_or_refused_with_a_reason(database, tmp_path, engine):
    async with serving(settings_for(database, tmp_path, ocr_engine=engine), forward=None) as immich:
        answer = await immich.ask(with_model("korean__PP-OCRv5_mobile"), PHOTO)
        latin = await immich.ask(with_model("latin__PP-OCRv5_mobile"), PHOTO)
    assert (answer.status, answer.json["error"]) == (501, "unsupported")
    assert "ocr with korean__PP-OCRv5_mobile" in answer.json["message"]
    assert "IMMICH_ML_URL" in answer.json["message"]
    assert latin.status == (200 if engine == "rapidocr" else 501), "PP-OCRv4 knows no accents"


@pytest.mark.parametrize(
    "name", ["PP-OCRv6_tiny", "PP-OCRv6_small", "PP-OCRv6_medium", "PP-OCRv5_server", "EN__PP-OCRv5_mobile", "any"]
)
async def test_any_other_text_model_is_ours(database, tmp_path, name):
    entries = with_model(name)
    entries["ocr"]["detection"]["options"] |= {"unheardOf": {"a": [1]}}
    entries["ocr"]["recognition"]["unheardOf"] = True
    async with serving(settings_for(database, tmp_path)) as immich:
        answer = await immich.ask(entries, PHOTO)
    assert (answer.status, answer.json["ocr"]["text"]) == (200, [stubs.expected_text(1)])


async def test_a_newer_immich_and_an_older_server_of_its_own(database, tmp_path):
    newer = copy.deepcopy(FACES)
    newer["facial-recognition"]["recognition"]["unheardOf"] = 1
    newer["facial-recognition"]["alignment"] = {"modelName": "unheard of"}
    async with ml_servers(1) as (upstream,):
        upstream.strict = True
        async with serving(settings_for(database, tmp_path, immich_ml_url=upstream.url), forward=None) as immich:
            assert (await immich.ask(newer, PHOTO)).json == FACES_FOUND
            asked = [protocol.parse(body, kind) for body, kind in zip(upstream.bodies, upstream.types, strict=True)]
            assert [request.entries for request in asked] == [newer, FACES]
            assert asked[1].image == PHOTO
            for entries in ({"aesthetics": {"score": {"modelName": "unheard of"}}}, FACES | {"aesthetics": {}}):
                answer = await immich.ask(entries, PHOTO)
                assert (answer.status, answer.json["error"]) in ((422, "upstream"), (502, "upstream"))
                assert "422" in answer.json["message"] or "no aesthetics" in answer.json["message"]
