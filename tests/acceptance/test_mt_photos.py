"""What MT Photos asks, over a real socket."""

import asyncio
import io

import aiohttp
import cv2
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from gateway.errors import BusyError, GatewayError, UpstreamError
from gateway.guard import Guard
from gateway.metrics import Metrics
from gateway.ml.mt_photos import MtPhotos, Sources
from indexer import images
from indexer.models.results import Face
from indexer.photos.lines import StoredLine
from indexer.settings import Settings
from tests.support import stubs

KEY = "mt_photos_ai_extra"
PHOTO = stubs.picture(1)  # 8 x 8 pixels
VECTOR = np.array([0.6, -0.8], dtype=np.float32)
LINES = [StoredLine("发票 128.50", (0.125, 0.25, 0.875, 0.2, 0.9, 0.5, 0.15, 0.55), 0.9, 0.987)]
FACE = Face((10, -2, 110, 98), 0.875, np.array([3.0, 4.0], dtype=np.float32))


class Standins:
    """Answers, or fails with `error`; `asked` is what it was asked last."""

    def __init__(self) -> None:
        self.error: GatewayError | None = None
        self.delay = 0.0
        self.asked: tuple[object, ...] = ()

    async def _give(self, answer, *asked):
        self.asked = asked
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        return answer

    def sources(self) -> Sources:
        return Sources(
            lines=lambda data: self._give(LINES, data),
            image_vector=lambda data: self._give(VECTOR, data),
            text_vector=lambda text: self._give(VECTOR, text),
            faces=lambda data, score: self._give([FACE], data, score),
        )


@pytest.fixture
def standins() -> Standins:
    return Standins()


@pytest.fixture
async def server(standins):
    api = MtPhotos(
        standins.sources(), api_key=KEY, face_model="buffalo_l", device="cpu", max_pixels=1_000_000, deadline=1
    )
    guard = Guard(Settings(max_preview_megabytes=1, _env_file=None), Metrics())
    app = web.Application(middlewares=[guard.__call__])
    app.add_routes(api.routes())
    async with TestServer(app) as server:
        yield server


@pytest.fixture
async def mt_photos(server):
    async with aiohttp.ClientSession(server.make_url(""), headers={"api-key": KEY}) as session:
        yield session


def form(data: bytes | io.BytesIO = PHOTO, name: str = "file") -> aiohttp.FormData:
    fields = aiohttp.FormData()
    fields.add_field(name, data, filename="IMG_0001.jpg", content_type="image/jpeg")
    return fields


async def test_check(mt_photos):
    async with mt_photos.post("/check") as answer:
        assert answer.status == 200
        found = await answer.json()
    assert found["result"] == "pass"
    assert found["device"] == "cpu"


@pytest.mark.parametrize("key", [None, "", "wrong", KEY + "x", "\xff"])
@pytest.mark.parametrize("path", ["/check", "/ocr", "/clip/img", "/clip/txt", "/represent", "/restart", "/restart_v2"])
async def test_without_the_key(server, standins, path, key):
    headers = {} if key is None else {"api-key": key}
    async with (
        aiohttp.ClientSession(server.make_url("")) as session,
        session.post(path, data=form(), headers=headers) as answer,
    ):
        assert answer.status == 401
        assert (await answer.json())["msg"]
    assert standins.asked == ()


@pytest.mark.parametrize("path", ["/restart", "/restart_v2"])
async def test_nothing_is_restarted(mt_photos, path):
    async with mt_photos.post(path) as answer:
        assert (answer.status, await answer.json()) == (200, {"result": "pass"})


# How a camera stores an upright picture, for each orientation that its EXIF data may name.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
@pytest.mark.parametrize("orientation", STORED)
async def test_a_photo_is_turned_as_its_camera_says(mt_photos, standins, orientation, mode):
    picture = Image.effect_noise((24, 16), 90).resize((48, 32)).convert(mode)
    way, exif, buffer = STORED[orientation], Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    (picture if way is None else picture.transpose(way)).save(buffer, "JPEG", exif=exif, quality=98)
    for path in ("/ocr", "/clip/img", "/represent"):
        async with mt_photos.post(path, data=form(buffer.getvalue())) as answer:
            assert answer.status == 200
            found = await answer.json()
        asked = images.decode(standins.asked[0], max_pixels=10_000)
        shown = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        assert asked.rgb.shape == shown.shape == (32, 48, 3)
        assert np.abs(asked.rgb.astype(int) - shown).mean() < (3 if mode == "CMYK" else 1)
        if path == "/ocr":
            assert found["result"]["boxes"][0]["width"] == "37.2", "of the picture as it is looked at"


async def test_ocr(mt_photos, standins):
    async with mt_photos.post("/ocr", data=form()) as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "result": {
                "texts": ["发票 128.50"],
                "scores": ["0.99"],
                "boxes": [{"x": "1.0", "y": "1.6", "width": "6.2", "height": "2.8"}],
            }
        }
    assert standins.asked == (PHOTO,)


async def test_clip_of_a_picture(mt_photos, standins):
    async with mt_photos.post("/clip/img", data=form()) as answer:
        assert await answer.json() == {"result": ["0.6000000238418579", "-0.8000000119209290"]}
    assert standins.asked == (PHOTO,)


async def test_clip_of_a_text(mt_photos, standins):
    async with mt_photos.post("/clip/txt", json={"text": "海边日落"}) as answer:
        assert await answer.json() == {"result": ["0.6000000238418579", "-0.8000000119209290"]}
    assert standins.asked == ("海边日落",)


async def test_represent(mt_photos, standins):
    async with mt_photos.post("/represent", data=form()) as answer:
        found = await answer.json()
    assert found["detector_backend"] == "insightface"
    assert found["recognition_model"] == "buffalo_l"
    [face] = found["result"]
    assert face["embedding"] == pytest.approx([0.6, 0.8])
    assert face["facial_area"] == {"x": 10, "y": -2, "w": 100, "h": 100}
    assert face["face_confidence"] == 0.875
    assert standins.asked == (PHOTO, 0.65)


@pytest.mark.parametrize(
    ("error", "status"),
    [(UpstreamError("http://ml:3003 cannot be reached"), 502), (BusyError("too many pictures are waiting", 5), 503)],
)
@pytest.mark.parametrize("path", ["/ocr", "/clip/img", "/represent"])
async def test_a_failure_is_no_empty_result(mt_photos, standins, path, error, status):
    standins.error = error
    async with mt_photos.post(path, data=form()) as answer:
        assert answer.status == status
        assert (await answer.json())["msg"] == str(error)
        assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)


async def test_the_deadline(mt_photos, standins):
    standins.delay = 5
    async with mt_photos.post("/clip/txt", json={"text": "x"}) as answer:
        assert answer.status == 504
        assert "1 s" in (await answer.json())["msg"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b'{"text": 1}', 422),
        (b'{"text": "\\ud800"}', 422),
        (b"[" * 100_000, 422),
        (b'{"text": "' + b"a" * 20_000 + b'"}', 413),
    ],
)
async def test_texts_that_are_none(mt_photos, standins, body, status):
    async with mt_photos.post("/clip/txt", data=body) as answer:
        assert answer.status == status
        assert (await answer.json())["msg"]
    assert standins.asked == ()


async def test_pictures_that_are_none(mt_photos, standins):
    cases = [
        ("/ocr", form(b"no picture"), 400),
        ("/ocr", form(stubs.picture(1, form="PNG")[:20]), 400),
        ("/clip/img", form(name="image"), 422),
        ("/represent", {"file": "a field"}, 422),
        ("/represent", form(io.BytesIO(bytes(1_200_000))), 413),
    ]
    for path, data, status in cases:
        async with mt_photos.post(path, data=data) as answer:
            assert answer.status == status, path
            assert (await answer.json())["msg"]
    assert standins.asked == ()
