"""Gateways to test with: one served in this process on a real socket, and Immich asking it, byte by byte."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

from gateway.app import create_app
from gateway.errors import UnsupportedError
from gateway.ml.protocol import PredictRequest
from gateway.ml.tasks import Task
from gateway.models import LazyModels
from gateway.people.pace import USUAL, ApiPace
from gateway.server import Runner
from indexer.models.inference import ClipModel, Inference, OcrModel
from indexer.settings import Settings
from tests.support.stubs import StubClip, StubOcr, StubText
from tests.support.stubs import text_vector as text_vector

BOUNDARY = b"----formdata-undici-012345678901"
CLIP = {"clip": {"visual": {"modelName": "ViT-B-32__openai"}}}
FACES = {
    "facial-recognition": {
        "detection": {"modelName": "buffalo_l", "options": {"minScore": 0.7}},
        "recognition": {"modelName": "buffalo_l"},
    }
}
OCR = {
    "ocr": {
        "detection": {"modelName": "PP-OCRv5_mobile", "options": {"minScore": 0.5, "maxResolution": 736}},
        "recognition": {"modelName": "PP-OCRv5_mobile", "options": {"minScore": 0.8}},
    }
}
TEXT = {"clip": {"textual": {"modelName": "ViT-B-32__openai", "options": {}}}}
TEXT_ZH = {"clip": {"textual": {"modelName": "ViT-B-32__openai", "options": {"language": "zh-CN"}}}}


async def unsupported(request: PredictRequest) -> dict[str, object]:
    """Where nobody answers what the gateway itself does not."""
    raise UnsupportedError(", ".join(request.entries))


def stub_models(
    text: StubText | None = None, clip: ClipModel | None = None, ocr: OcrModel | None = None
) -> tuple[LazyModels, list[Inference]]:
    """LazyModels for a gateway, and the list of what was loaded for pictures."""
    loaded: list[Inference] = []

    def load() -> Inference:
        loaded.append(Inference(clip or StubClip(), ocr or StubOcr(), threads=2))
        return loaded[-1]

    return LazyModels(text or StubText(), "stub ocr", load, open_tried=StubText), loaded


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes
    json: Any = field(init=False)

    def __post_init__(self) -> None:
        is_json = self.headers.get("content-type", "").startswith("application/json")
        self.json = json.loads(self.body) if is_json else None

    @property
    def vector(self) -> np.ndarray:
        assert self.status == 200, self.body
        assert isinstance(self.json["clip"], str)
        numbers = json.loads(self.json["clip"])
        assert all(isinstance(number, float) for number in numbers)
        return np.array(numbers, dtype=np.float32)


def form(entries: Any, image: bytes | None = None, text: str | None = None) -> bytes:
    """A body as undici writes it."""
    head = b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="'
    body = (
        head + b'entries"\r\n\r\n' + (entries if isinstance(entries, bytes) else json.dumps(entries).encode()) + b"\r\n"
    )
    if image is not None:
        body += head + b'image"; filename="blob"\r\nContent-Type: application/octet-stream\r\n\r\n' + image + b"\r\n"
    if text is not None:
        body += head + b'text"\r\n\r\n' + text.encode() + b"\r\n"
    return body + b"--" + BOUNDARY + b"--\r\n"


def request(body: bytes, path: str = "/predict", length: int | None = None) -> bytes:
    """The whole request as Immich's fetch() writes it."""
    lines = [
        f"POST {path} HTTP/1.1",
        "host: gateway:8080",
        "connection: keep-alive",
        f"content-type: multipart/form-data; boundary={BOUNDARY.decode()}",
        "User-Agent: immich-server/3.1.0",
        "accept: */*",
        "accept-language: *",
        "sec-fetch-mode: cors",
        "accept-encoding: gzip, deflate",
        f"content-length: {len(body) if length is None else length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Client:
    """Immich's side of the wire."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(
        self, entries: Any, image: bytes | None = None, text: str | None = None, path: str = "/predict"
    ) -> Answer:
        return await self.send(request(form(entries, image, text), path))

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        given = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        return await self.send(f"GET {path} HTTP/1.1\r\nhost: gateway\r\n{given}\r\n".encode())

    async def send(self, raw: bytes, *, end: bool = False) -> Answer:
        """The answer to these bytes; `end`: after which we say nothing more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            with contextlib.suppress(ConnectionError):  # an early answer may be there although it did not read all
                writer.write(raw)
                await writer.drain()
            if end:
                writer.write_eof()
            return await read_answer(reader)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Answer(int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0))))


@contextlib.asynccontextmanager
async def serving(
    settings: Settings,
    models: LazyModels | None = None,
    *,
    forward: Task | None = unsupported,
    pace: ApiPace = USUAL,
) -> AsyncIterator[Client]:
    """A gateway on a port of its own, with the options of the command."""
    app = create_app(settings, models or stub_models()[0], forward=forward, pace=pace)
    runner = Runner(app, grace=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Client(runner.addresses[0][1])
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)  # the loop's turn to close the connections, or they may outlive the test
