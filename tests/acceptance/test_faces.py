"""Faces, asked as Immich asks, over real sockets: answered by its own server, or by InsightFace here."""

import asyncio
import hashlib
import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from indexer.models import model_files
from indexer.models.faces.weights import FILES, FaceFile, FaceFiles
from indexer.models.fetcher import Fetcher, Pace
from tests.support import stubs
from tests.support.face_models import detector, recogniser
from tests.support.gateways import CLIP, FACES, OCR, form, request, serving, stub_models
from tests.support.sources import host as serve
from tests.support.upstreams import FACES as FOUND
from tests.support.upstreams import ml_servers, until
from tests.support.workers import eventually, settings_for

PHOTO = stubs.picture(1)
NEWER = {"bird-song": {"detection": {"modelName": "birdnet", "options": {}}}}


@pytest.fixture
def gateway(database, tmp_path):
    """Serves a gateway whose settings are those of a test, with changes."""

    def start(models=None, **changes):
        quick = {"gateway_wait_seconds": 0, "immich_ml_wait_seconds": 1, "immich_ml_check_seconds": 0.1}
        settings = settings_for(database, tmp_path / "media", **(quick | changes))
        return serving(settings, models, forward=None)

    return start


@pytest.mark.parametrize("entries", [FACES, NEWER, FACES | NEWER])
async def test_what_is_not_ours_is_sent_on_as_it_came(gateway, entries):
    async with ml_servers() as [server]:
        server.answer = FOUND | {"bird-song": ["wren"]}
        async with gateway(immich_ml_url=server.url) as immich:
            answer = await immich.ask(entries, PHOTO)
        assert answer.status == 200
        assert answer.json == server.answer
        assert server.bodies == [form(entries, PHOTO)]
        assert server.types[0].startswith("multipart/form-data; boundary=----formdata-undici-")


async def test_the_address_may_have_the_name_that_immich_all_in_one_gave_it(database, tmp_path, monkeypatch):
    monkeypatch.setenv("IMMICH_API", "http://ml:3003")
    assert settings_for(database, tmp_path).immich_ml_url == "http://ml:3003"
    monkeypatch.setenv("IMMICH_ML_URL", "http://other:3003")
    assert settings_for(database, tmp_path).immich_ml_url == "http://other:3003"


async def test_a_mixed_request_is_split_and_merged(gateway):
    async with ml_servers() as [server]:
        server.answer = {key: FOUND[key] for key in ("facial-recognition",)} | {"imageWidth": 8, "imageHeight": 8}
        async with gateway(immich_ml_url=server.url) as immich:
            answer = await immich.ask(CLIP | FACES | OCR, PHOTO)
        assert answer.status == 200, answer.body
        assert answer.json.keys() == {"clip", "facial-recognition", "ocr", "imageWidth", "imageHeight"}
        assert answer.json["facial-recognition"] == FOUND["facial-recognition"]
        [body] = server.bodies
        assert json.dumps(FACES).encode() in body
        assert PHOTO in body
        assert b"clip" not in body


@pytest.mark.parametrize("status", [400, 422])
async def test_the_servers_own_refusal_is_passed_on(gateway, status):
    async with ml_servers() as [server]:
        server.statuses = [status]
        async with gateway(immich_ml_url=server.url) as immich:
            answer = await immich.ask(FACES, PHOTO)
        assert answer.status == status
        assert "not now" in answer.json["message"]


@pytest.mark.parametrize("trouble", ["refused", "500", "cut", "no faces", "503"])
async def test_a_failure_is_no_empty_success(gateway, trouble):
    async with ml_servers() as [server]:
        match trouble:
            case "refused":
                await server.stop()
            case "500":
                server.statuses = [500]
            case "503":
                server.statuses = [503] * 100
            case "cut":
                server.cut = "body"
            case "no faces":
                server.answer = {"imageWidth": 640, "imageHeight": 480}
        async with gateway(immich_ml_url=server.url) as immich:
            answer = await immich.ask(FACES, PHOTO)
        assert answer.status == 502
        assert answer.json["error"] == "upstream"
        assert str(server.port) in answer.json["message"] or trouble == "no faces"


async def test_a_hanging_server_and_what_comes_after(gateway):
    async with ml_servers() as [server]:
        server.hold = asyncio.Event()
        async with gateway(immich_ml_url=server.url, gateway_deadline_seconds=1) as immich:
            answer = await immich.ask(FACES, PHOTO)
            assert (answer.status, answer.json["error"]) == (504, "deadline")
            assert str(server.port) in answer.json["message"]
            server.hold.set()
            server.hold = None
            assert (await immich.ask(FACES, PHOTO)).json == FOUND


async def test_a_server_that_restarts_meanwhile(gateway):
    async with ml_servers() as [server]:
        await server.stop()
        async with gateway(immich_ml_url=server.url, immich_ml_wait_seconds=10) as immich:
            asking = asyncio.create_task(immich.ask(FACES, PHOTO))
            await eventually(lambda: _refused(immich))
            await server.start()
            assert (await asking).json == FOUND


async def test_a_client_who_goes_takes_its_request_along(gateway):
    async with ml_servers() as [server]:
        server.hold = asyncio.Event()
        async with gateway(immich_ml_url=server.url) as immich:
            _, writer = await asyncio.open_connection("127.0.0.1", immich.port)
            writer.write(request(form(FACES, PHOTO)))
            await writer.drain()
            await until(lambda: server.at_work == 1)
            writer.close()
            await until(lambda: server.gone == 1)


async def figures(immich) -> set[str]:
    return set((await immich.get("/metrics")).body.decode().splitlines())


async def test_the_figures_of_each_upstream(gateway):
    async with ml_servers(2) as [server, other]:
        await other.stop()
        urls = f"{server.url},{other.url.replace('http://', 'http://me:secret@')}"
        upstream = f'upstream="{server.url}"'
        async with gateway(immich_ml_url=urls, immich_ml_check_seconds=60) as immich:
            await eventually(lambda: _away(immich))
            for status in (200, 200, 503, 500):
                server.statuses = [status] if status != 200 else []
                await immich.ask(FACES, PHOTO)
            server.hold = asyncio.Event()
            asking = asyncio.create_task(immich.ask(FACES, PHOTO))
            await eventually(lambda: _holds(immich, f"immich_gateway_upstream_in_flight{{{upstream}}} 1.0"))
            server.hold.set()
            await asking
            lines = await figures(immich)
            assert lines >= {
                f"immich_gateway_upstream_healthy{{{upstream}}} 1.0",
                f"immich_gateway_upstream_in_flight{{{upstream}}} 0.0",
                f"immich_gateway_upstream_answered_total{{{upstream}}} 4.0",
                f'immich_gateway_upstream_failed_total{{reason="busy",{upstream}}} 1.0',
                f'immich_gateway_upstream_failed_total{{reason="refused",{upstream}}} 1.0',
                f'immich_gateway_upstream_healthy{{upstream="{other.url}"}} 0.0',
                'immich_gateway_task_seconds_count{task="facial-recognition"} 4.0',
            }, lines
            assert "secret" not in repr(lines)


async def _away(immich) -> bool:
    health = (await immich.get("/health")).json["forwarder"]["upstreams"]
    return [bool(upstream["trouble"]) for upstream in health] == [False, True]


async def _refused(immich) -> bool:
    return b'immich_gateway_upstream_failed_total{reason="unreachable"' in (await immich.get("/metrics")).body


async def _holds(immich, line: str) -> bool:
    return line in await figures(immich)


# Here


@pytest.fixture
def model(tmp_path, monkeypatch) -> dict[str, object]:
    """Settings for a face model of two tiny networks."""
    root = tmp_path / "weights"
    files = detector(root / "tiny" / "det.onnx"), recogniser(root / "tiny" / "rec.onnx")
    entries = [FaceFile(f.name, f.name, f.stat().st_size, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files]
    monkeypatch.setitem(FILES, "tiny", FaceFiles(*entries))
    return {"face_model": "tiny", "face_download_root": root, "immich_ml_url": ""}


def entries(min_score: float | None = 0.7, model: str = "tiny") -> dict[str, object]:
    options = {} if min_score is None else {"options": {"minScore": min_score}}
    return {"facial-recognition": {"detection": {"modelName": model, **options}, "recognition": {"modelName": model}}}


def photo(size: tuple[int, int] = (1280, 960)) -> bytes:
    """Two faces as the tiny detector sees them, the second one surer."""
    image = Image.new("RGB", size, (60, 80, 70))
    draw = ImageDraw.Draw(image)
    draw.rectangle((250, 250, 262, 262), fill=(200, 0, 0))
    draw.rectangle((634, 634, 646, 646), fill=(255, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


async def test_without_a_server_insightface_answers(gateway, model):
    async with gateway(**model) as immich:
        answer = await immich.ask(entries(0.5), photo())
        assert answer.status == 200, answer.body
        assert answer.json.keys() == {"facial-recognition", "imageWidth", "imageHeight"}
        assert (answer.json["imageWidth"], answer.json["imageHeight"]) == (1280, 960)
        surer, other = answer.json["facial-recognition"]
        assert surer["boundingBox"] == {"x1": 512, "y1": 512, "x2": 768, "y2": 768}
        assert all(isinstance(edge, int) for edge in surer["boundingBox"].values())
        assert 0.5 < other["score"] < 0.8 < surer["score"] < 1
        for face in (surer, other):
            assert face.keys() == {"boundingBox", "embedding", "score"}
            assert isinstance(face["embedding"], str)
            assert np.array(json.loads(face["embedding"])).shape == (512,)
        assert [
            len((await immich.ask(entries(score), photo())).json["facial-recognition"]) for score in (0.8, 0.95)
        ] == [1, 0]
        assert len((await immich.ask(entries(None), photo())).json["facial-recognition"]) == 2, "0.7, as Immich's own"


async def test_the_figures_of_what_is_answered_here(gateway, model):
    async with gateway(**model) as immich:
        before = await figures(immich)
        await immich.ask(entries(), PHOTO)
        await immich.ask(entries(), b"no picture")
        lines = await figures(immich)
    assert 'immich_gateway_waiting{queue="faces"} 0.0' in before
    assert lines >= {
        'immich_gateway_waiting{queue="faces"} 0.0',
        'immich_gateway_task_seconds_count{task="facial-recognition"} 1.0',
        'immich_gateway_task_failures_total{reason="bad_input",task="facial-recognition"} 1.0',
    }, lines


async def test_a_picture_without_faces_is_a_success(gateway, model):
    async with gateway(**model) as immich:
        answer = await immich.ask(entries(), PHOTO)
    assert answer.status == 200
    assert answer.json == {"facial-recognition": [], "imageWidth": 8, "imageHeight": 8}


async def test_what_cannot_be_answered_here(gateway, model):
    async with gateway(**model, max_megapixels=1) as immich:
        for asked, image, status, reason in [
            (entries(model="buffalo_l"), PHOTO, 501, "buffalo_l, here is tiny"),
            (NEWER, PHOTO, 501, "IMMICH_ML_URL"),
            (entries() | NEWER, PHOTO, 501, "bird-song"),
            ({"facial-recognition": {"detection": {"modelName": "tiny"}}}, PHOTO, 501, "together"),
            (entries(), b"no picture", 400, "picture"),
            (entries(), photo((1500, 1500)), 413, "1500 x 1500"),
            (entries("high"), PHOTO, 422, "minScore"),
            ({"facial-recognition": 1}, PHOTO, 422, "facial-recognition"),
        ]:
            answer = await immich.ask(asked, image)
            assert (answer.status, answer.json["error"] is not None) == (status, True), answer.body
            assert reason in answer.json["message"]
        assert (await immich.ask(entries(), text="a text")).status == 400


async def test_weights_that_are_missing_are_named(gateway, tmp_path):
    async with gateway(face_download_root=tmp_path / "empty", immich_ml_url="") as immich:
        answer = await immich.ask(FACES, PHOTO)
        assert (answer.status, answer.json["error"]) == (503, "unavailable")
        assert "det_10g.onnx" in answer.json["message"]
        assert (await immich.get("/ping")).status == 200


@pytest.mark.parametrize("before", ["missing", "damaged"])
async def test_weights_that_come_later_are_taken_up(gateway, model, before):
    folder = model["face_download_root"] / "tiny"
    published = {f"/immich-app/tiny/resolve/main/{path.name}": path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink() if before == "missing" else path.write_bytes(b"!" * path.stat().st_size)
    with serve(published) as host:
        host.status = 503
        settings = settings_for("postgresql://", folder, hf_endpoint=host.address, **model)
        wanted = model_files.face_files(settings)
        only_here = tuple(replace(file, addresses=file.addresses[:1]) for file in wanted.files)
        fetcher = Fetcher([replace(wanted, files=only_here)], pace=Pace(look=0.02, first=0.05, longest=0.1, copying=0))
        async with gateway(replace(stub_models()[0], fetcher=fetcher), **model) as immich:
            answer = await immich.ask(entries(), photo())
            assert (answer.status, answer.json["error"]) == (503, "unavailable")
            assert {"missing": "det.onnx", "damaged": "is damaged or not what was"}[before] in answer.json["message"]
            assert (await immich.get("/ping")).status == 200

            async def weights() -> dict[str, object]:
                [told] = (await immich.get("/health")).json["weights"]
                return told

            assert (await weights())["use"] == "faces"
            assert b'immich_gateway_weights_ready{model="tiny",use="faces"} 0.0' in (await immich.get("/metrics")).body
            host.status = 200

            async def there() -> bool:
                return not (await weights())["missing"]

            await eventually(there)

            async def found() -> bool:
                answer = await immich.ask(entries(), photo())
                assert answer.status in (200, 503), answer.body
                return answer.status == 200 and len(answer.json["facial-recognition"]) == 2

            await eventually(found)


def _children() -> list[int]:
    """The processes of models that this one has started."""
    listed = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = [int(number) for path in listed for number in path.read_text().split()]
    return [
        child for child in children if b"indexer.models.engines.child" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize("ends", [signal.SIGSEGV, signal.SIGKILL], ids=["crashes", "is killed"])
async def test_a_face_model_that_ends_is_replaced_and_the_gateway_lives(gateway, model, ends):
    async with gateway(**model) as immich:
        assert (await immich.get("/health")).json["engines"] == {}, "there may never be a picture"
        right = (await immich.ask(entries(0.5), photo())).json
        (child,) = _children()
        os.kill(child, ends)

        async def is_replaced() -> bool:
            lines = await figures(immich)
            return 'immich_gateway_engine_replacements_total{engine="faces"} 1.0' in lines

        await eventually(is_replaced)
        answer = await immich.ask(entries(0.5), photo())
        assert (answer.status, answer.json["error"]) == (503, "unavailable"), answer.body
        assert int(answer.headers["retry-after"]) >= 1
        assert ends.name in answer.json["message"] or "was killed" in answer.json["message"]
        health = await immich.get("/health")
        assert (health.status, health.json["engines"]["faces"]["state"]) == (503, "sick")

        async def is_well() -> bool:
            return (await immich.get("/health")).status == 200

        await eventually(is_well)
        assert (await immich.ask(entries(0.5), photo())).json == right


async def test_many_at_once(gateway, model):
    async with gateway(**model, gateway_picture_queue=100) as immich:
        photos = [photo((1280, 700 + 20 * i)) for i in range(20)]
        alone = [(await immich.ask(entries(0.5), data)).json for data in photos]
        together = await asyncio.gather(*(immich.ask(entries(0.5), data) for data in photos))
    assert [answer.json for answer in together] == alone
    assert [answer["imageHeight"] for answer in alone] == [700 + 20 * i for i in range(20)]
    assert {len(answer["facial-recognition"]) for answer in alone} == {2}


async def test_more_than_may_wait_hear_so_at_once(gateway, model):
    async with gateway(**model, gateway_picture_queue=2) as immich:
        answers = await asyncio.gather(*(immich.ask(entries(0.5), photo()) for _ in range(10)))
    assert {answer.status for answer in answers} == {200, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 503)
