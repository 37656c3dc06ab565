"""What Immich is told when there is no answer, and that nothing stays behind."""

import _thread
import asyncio
import contextlib
import re
import socket
import threading
import time

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.ml.protocol import PredictRequest
from gateway.server import serve
from indexer.errors import SettingsError
from indexer.photos.vectors import as_column
from tests.support import stubs
from tests.support.gateways import (
    BOUNDARY,
    CLIP,
    FACES,
    OCR,
    TEXT,
    StubText,
    form,
    request,
    serving,
    stub_models,
    text_vector,
)
from tests.support.proxy import Proxy
from tests.support.stubs import StubClip
from tests.support.workers import eventually, settings_for

PHOTO = stubs.picture(1)
JPEG = stubs.picture(1, form="JPEG")
HEIGHT = JPEG.index(b"\xff\xc0") + 5
FLAT = JPEG[:HEIGHT] + bytes(2) + JPEG[HEIGHT + 2 :]  # its header says that it has no rows


@pytest.fixture
def settings(database, tmp_path):
    return settings_for(database, tmp_path / "media")


async def waiting(client) -> dict[str, float]:
    metrics = (await client.get("/metrics")).body.decode()
    return {
        name: float(n)
        for name, n in re.findall(r'^immich_gateway_waiting\{queue="(\w+)"\} (\S+)', metrics, re.MULTILINE)
    }


@pytest.mark.parametrize(
    ("entries", "image", "text", "status"),
    [
        (TEXT, None, None, 400),
        (CLIP, None, "猫", 400),
        (OCR, None, "猫", 400),
        (TEXT, PHOTO, None, 400),
        (CLIP, b"no picture", None, 400),
        (OCR, PHOTO[:-60], None, 400),
        (CLIP, b"", None, 400),
        (CLIP, FLAT, None, 400),
        (OCR, FLAT, None, 400),
        (TEXT, None, "长" * 10_000, 413),
        (b"{", PHOTO, None, 422),
        ({"clip": {}}, PHOTO, None, 422),
        ({"clip": {"smell": {"modelName": "x"}}}, PHOTO, None, 422),
        ({"clip": CLIP["clip"] | TEXT["clip"]}, PHOTO, "猫", 422),
        ({"ocr": {}}, PHOTO, None, 422),
        ({"ocr": {"detection": {"modelName": "x", "options": {"minScore": "high"}}}}, PHOTO, None, 422),
        ({"ocr": {"detection": {"modelName": "x", "options": {"maxResolution": "high"}}}}, PHOTO, None, 422),
        (FACES, PHOTO, None, 501),
        (CLIP | OCR, b"no picture", None, 400),
    ],
)
async def test_every_error_is_a_status_and_says_why(settings, entries, image, text, status):
    async with serving(settings) as immich:
        answer = await immich.ask(entries, image, text)
    assert answer.status == status
    assert answer.json.keys() == {"error", "message"}
    assert answer.json["message"]
    assert "object at" not in answer.json["message"]


REFUSED_BEFORE_IT_IS_A_REQUEST = {
    "a long address": (b"GET /api/search?q=" + b"secret" * 1500 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
    "a long header": (b"GET /?secret HTTP/1.1\r\nhost: x\r\nx-api-key: " + b"secret" * 1500 + b"\r\n\r\n", 431),
    "raw Chinese": ("GET /api/search?q=secret发票 HTTP/1.1\r\nhost: x\r\n\r\n".encode(), 400),
    "a space": (b"GET /api/search?q=secret secret HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "no address": (b"GET http://[::1/?q=secret HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "no method": (b"GE(T /?secret HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a folded header": (b"POST /predict?secret HTTP/1.1\r\nhost: x\r\ncontent-type: a;\r\n secret=x\r\n\r\n", 400),
    "an odd header": (b"POST /predict?secret HTTP/1.1\r\nhost: x\r\nx secret: a\r\n\r\n", 400),
    "two lengths": (b"POST /predict?secret HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
    "no chunk": (b"POST /predict?secret HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nsecret\r\n", 400),
    "no gzip": (
        b"POST /predict?secret HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: 6\r\n\r\nsecret",
        400,
    ),
    "an encoding": (
        b"POST /predict?secret HTTP/1.1\r\nhost: x\r\ncontent-encoding: br\r\ncontent-length: 6\r\n\r\nsecret",
        400,
    ),
    "an expectation": (
        b"POST /predict?secret HTTP/1.1\r\nhost: x\r\nexpect: secret\r\ncontent-length: 6\r\n\r\nsecret",
        417,
    ),
}


@pytest.mark.parametrize("case", REFUSED_BEFORE_IT_IS_A_REQUEST)
async def test_what_the_parser_refuses_is_answered_in_our_form_and_kept_private(settings, case, caplog):
    raw, status = REFUSED_BEFORE_IT_IS_A_REQUEST[case]
    with capture_logs() as lines:
        async with serving(settings) as client:
            answer = await client.send(raw)
    assert (answer.status, answer.json["error"]) == (status, "bad_request")
    assert answer.headers["cache-control"] == "no-store"
    for told in (answer.body.decode(), repr(lines), caplog.text):
        assert "secret" not in told
        assert "Traceback" not in told


async def test_addresses_and_methods_that_there_are_not(settings):
    async with serving(settings) as client:
        assert [(await client.get(path)).status for path in ("/predict", "/nothing")] == [405, 404]
        assert (await client.get("/nothing")).json["error"] == "not_found"


async def test_too_many_pixels_are_refused_before_they_are_decoded(database, tmp_path):
    loads, loaded = stub_models()
    bomb = bytearray(stubs.picture(1))
    bomb[16:24] = (60_000).to_bytes(4) * 2  # the size in the header of a PNG
    import zlib

    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4)
    async with serving(settings_for(database, tmp_path), loads) as immich:
        answer = await immich.ask(OCR, bytes(bomb))
    assert answer.status == 413
    assert not loaded


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_many_bytes_are_refused(database, tmp_path, chunked):
    settings = settings_for(database, tmp_path, max_preview_megabytes=1)
    raw = request(form(OCR, bytes(3 << 20)))
    if chunked:
        at = raw.index(b"\r\n\r\n") + 4
        head = re.sub(rb"content-length: \d+", b"transfer-encoding: chunked", raw[:at])
        raw = head + b"%x\r\n" % (len(raw) - at) + raw[at:] + b"\r\n0\r\n\r\n"
    async with serving(settings) as immich:
        assert (await immich.send(raw)).status == 413
        assert (await immich.ask(TEXT, text="猫")).status == 200


async def test_more_than_can_be_served_is_told_so_at_once(database, tmp_path):
    text = StubText()
    settings = settings_for(database, tmp_path, gateway_text_queue=4)
    async with serving(settings, stub_models(text)[0]) as immich:
        text.hold.clear()
        asked = [asyncio.create_task(immich.ask(TEXT, text=str(i))) for i in range(12)]
        await eventually(lambda: _done(asked, 8))
        text.hold.set()
        answers = await asyncio.gather(*asked)
        busy = [answer for answer in answers if answer.status == 503]
        assert len(busy) == 8
        assert all(int(answer.headers["retry-after"]) >= 1 and answer.json["error"] == "busy" for answer in busy)
        assert [answer.status for answer in answers].count(200) == 4
        assert (await immich.ask(TEXT, text="again")).status == 200
    assert sum(text.batches) == 5


async def _done(tasks, count: int) -> bool:
    return sum(task.done() for task in tasks) >= count


async def test_pictures_that_queue_do_not_keep_texts_out(database, tmp_path):
    hold = threading.Event()
    loads, _ = stub_models(clip=StubClip(before=lambda: hold.wait(20) and None))
    settings = settings_for(database, tmp_path, gateway_picture_queue=3, gateway_megabytes_in_flight=1)
    async with serving(settings, loads) as immich:
        asked = [asyncio.create_task(immich.ask(CLIP, stubs.picture(i))) for i in range(6)]
        await eventually(lambda: _done(asked, 3))
        assert (await immich.ask(TEXT, text="猫")).status == 200
        hold.set()
        assert sorted(answer.status for answer in await asyncio.gather(*asked)) == [200] * 3 + [503] * 3


async def test_an_answer_that_takes_too_long(database, tmp_path):
    text = StubText()
    async with serving(settings_for(database, tmp_path, gateway_deadline_seconds=0.3), stub_models(text)[0]) as immich:
        text.hold.clear()
        answer = await immich.ask(TEXT, text="猫")
        text.hold.set()
        assert (answer.status, answer.json["error"]) == (504, "deadline")
        assert not any((await waiting(immich)).values())


async def test_a_body_that_takes_too_long(database, tmp_path):
    async with serving(settings_for(database, tmp_path, gateway_body_seconds=0.3)) as immich:
        body = form(TEXT, text="猫")
        assert (await immich.send(request(body[:50], length=len(body)))).status == 408


async def test_nobody_works_for_a_client_that_is_gone(settings):
    text = StubText()
    async with serving(settings, stub_models(text)[0]) as immich:
        text.hold.clear()
        first = asyncio.create_task(immich.ask(TEXT, text="first"))
        await eventually(lambda: _at_work(text))
        asked = [asyncio.create_task(immich.ask(TEXT, text=str(i))) for i in range(9)]

        async def all_wait() -> bool:
            return (await waiting(immich))["texts"] == 10

        await eventually(all_wait)
        for task in asked:
            task.cancel()  # closes its connection

        async def none_waits() -> bool:
            return (await waiting(immich))["texts"] == 1

        await eventually(none_waits)
        text.hold.set()
        assert (await first).status == (await immich.ask(TEXT, text="猫")).status == 200
    assert text.batches == [1, 1]


async def _at_work(text: StubText) -> bool:
    return bool(text.batches)


@pytest.mark.parametrize("frozen", [False, True])
async def test_the_database_goes_away_and_comes_back(database, tmp_path, frozen):
    async with Proxy(database) as proxy, serving(settings_for(proxy.url, tmp_path)) as immich:
        assert (await immich.ask(TEXT, text="猫")).status == 200
        proxy.away = True
        proxy.freeze() if frozen else proxy.cut()
        for query in ("狗", "鸟"):
            assert (await immich.ask(TEXT, text=query)).vector.shape == (512,)
        assert (await immich.ask(CLIP | OCR, PHOTO)).status == 200
        health = await immich.get("/health")
        assert health.json["database"]["trouble"]
        assert health.status == 200
        assert (await immich.get("/metrics")).status == 200
        proxy.away = False

        async def well() -> bool:
            return (await immich.get("/health")).json["database"]["trouble"] is None

        await eventually(well)
        assert (await immich.ask(TEXT, text="鱼")).status == 200


async def test_without_a_database_from_the_start_there_is_no_guessing(database, tmp_path):
    async with Proxy(database) as proxy:
        proxy.away = True
        async with serving(settings_for(proxy.url, tmp_path)) as immich:
            answer = await immich.ask(TEXT, text="猫")
            assert (answer.status, answer.json["error"]) == (503, "unavailable")
            assert (await immich.get("/ping")).status == 503
            assert (await immich.ask(OCR, PHOTO)).status == 200
            proxy.away = False

            async def answered() -> bool:
                return (await immich.ask(TEXT, text="猫")).status == 200

            await eventually(answered)
            assert (await immich.get("/ping")).status == 200


async def test_a_database_without_the_indexers_schema(settings):
    async with serving(settings) as immich:
        assert (await immich.ask(CLIP | OCR, PHOTO)).status == 200
        assert (await immich.get("/health")).json["database"]["trouble"] is None


async def test_models_that_cannot_be_loaded_are_no_empty_success(settings):
    from indexer.errors import WeightsError

    def load():
        raise WeightsError("put the file there")

    loads = stub_models()[0]
    async with serving(settings, type(loads)(loads.text, loads.ocr_model, load)) as immich:
        answer = await immich.ask(CLIP, PHOTO)
        assert (answer.status, answer.headers["retry-after"]) == (503, "60")
        assert "put the file there" in answer.json["message"]
        assert (await immich.ask(TEXT, text="猫")).status == 200


async def test_a_model_that_breaks_is_an_error_for_that_text_alone(settings):
    class Broken(StubText):
        def encode_texts(self, texts):
            if "坏" in texts:
                raise RuntimeError("secret details")
            return super().encode_texts(texts)

    async with serving(settings, stub_models(Broken())[0]) as immich:
        answers = await asyncio.gather(*(immich.ask(TEXT, text=text) for text in "好坏猫"))
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert b"secret" not in answers[1].body


async def test_what_is_under_way_is_finished_when_told_to_stop(settings):
    text = StubText()
    async with contextlib.AsyncExitStack() as stack:
        immich = await stack.enter_async_context(serving(settings, stub_models(text)[0]))
        text.hold.clear()
        asked = asyncio.create_task(immich.ask(TEXT, text="猫"))
        await eventually(lambda: _at_work(text))
        threading.Timer(0.5, text.hold.set).start()
    assert ((await asked).vector == as_column(text_vector("猫"), 512)).all()


async def test_logs_hold_no_secret_and_no_query(database, tmp_path):
    settings = settings_for(database, tmp_path, gateway_token="correct-horse")
    with capture_logs() as lines:
        async with serving(settings) as immich:
            await immich.ask(TEXT, text="绝密", path="/correct-horse/predict")
            await immich.ask(TEXT, text="绝密", path="/wrong-horse/predict?battery=staple")
            await immich.ask(b"horse", text="绝密", path="/correct-horse/predict")
    answered = [line for line in lines if line["event"] == "answered"]
    assert [line["path"] for line in answered] == ["/{token}/predict"] * 3
    assert [line["status"] for line in answered] == [200, 404, 422]
    for secret in ("绝密", "horse", "staple", "\\u7edd"):
        assert secret not in repr(lines)


async def test_a_port_that_is_taken_is_a_sentence():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SettingsError, match=r"cannot listen on 127.0.0.1:.*use.* .GATEWAY_HOST, GATEWAY_PORT"):
            await serve(web.Application(), "127.0.0.1", other.getsockname()[1])


GOOD = [form(TEXT, text="猫"), form(CLIP, PHOTO), form(OCR, PHOTO), form(FACES | OCR | CLIP, PHOTO)]
SPLICES = st.tuples(st.integers(0, 2000), st.integers(0, 60), st.binary(max_size=60))
BODIES = st.one_of(
    st.binary(max_size=500),
    st.builds(lambda body, cuts: _spliced(body, cuts), st.sampled_from(GOOD), st.lists(SPLICES, max_size=4)),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["clip", "ocr", "textual", "visual", "detection", "modelName", "options", "minScore", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).map(lambda entries: form(entries, PHOTO, "猫")),
    st.binary(max_size=300).map(lambda image: form(CLIP | OCR, image)),
    st.binary(max_size=80).map(lambda cut: form(OCR, PHOTO[: len(cut)] + cut + PHOTO[2 * len(cut) :])),
    st.text(st.characters(codec="utf-8"), max_size=300).map(lambda text: form(TEXT, text=text)),
)
TYPES = st.one_of(
    st.just(b"multipart/form-data; boundary=" + BOUNDARY),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.encode),
)


def _spliced(body: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, new in cuts:
        at %= len(body) + 1
        body = body[:at] + new + body[at + length :]
    return body


def _status(port: int, body: bytes, content_type: bytes) -> int:
    raw = request(body).replace(b"multipart/form-data; boundary=" + BOUNDARY, content_type, 1)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        wire.sendall(raw)
        return int(wire.recv(65536).split(b" ", 2)[1])


def fuzz(port: int, examples: int) -> dict[int, int]:
    """Statuses and how often they came."""
    seen: dict[int, int] = {}

    @effort(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(BODIES, TYPES)
    def one(body: bytes, content_type: bytes) -> None:
        status = _status(port, body, content_type)
        seen[status] = seen.get(status, 0) + 1
        assert status in (200, 400, 413, 422, 503), status

    one()
    return seen


async def faces(asked: PredictRequest) -> dict[str, object]:
    return dict.fromkeys(asked.entries)


@pytest.mark.parametrize("examples", [300, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
async def test_nothing_that_anybody_sends_does_harm(settings, examples):
    async with serving(settings, forward=faces) as immich:
        assert (await immich.ask(CLIP, PHOTO)).status == 200
        tasks = len(asyncio.all_tasks())
        start = time.perf_counter()
        seen = await asyncio.to_thread(fuzz, immich.port, examples)
        assert {200, 400, 422} <= seen.keys(), seen
        assert time.perf_counter() - start < examples * 0.1
        assert not any((await waiting(immich)).values())
        await eventually(lambda: _settled(tasks))


async def _settled(tasks: int) -> bool:
    return len(asyncio.all_tasks()) <= tasks + 3


async def test_no_memory_for_a_thread(settings, monkeypatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async with serving(settings) as client:
        with monkeypatch.context() as short:
            short.setattr(_thread, "start_new_thread", refuse)
            answers = await asyncio.gather(*(client.ask(TEXT, text=text) for text in ("发票", "狗")))
        assert {answer.status for answer in answers} == {503}
        assert all("too little memory" in answer.json["message"] for answer in answers)
        assert int(answers[0].headers["retry-after"]) > 0
        assert (await client.ask(TEXT, text="发票")).status == 200
