"""Stand-ins for Immich's machine-learning server: real sockets, and every way to misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import unused_port

from gateway.ml.protocol import parse

FACES: dict[str, Any] = {
    "facial-recognition": [
        {"boundingBox": {"x1": 10, "y1": 20, "x2": 30, "y2": 44}, "embedding": "[0.25,-0.5]", "score": 0.875}
    ],
    "imageWidth": 640,
    "imageHeight": 480,
}


@dataclass
class MlServer:
    """Immich's server, as the tests want it: `statuses` are answered first, one a request, then 200 with `answer`."""

    answer: Any = field(default_factory=lambda: FACES)
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    strict: bool = False  # 422 to tasks, types and members that Immich's server of 3.3 does not know
    delay: float = 0
    cut: str = ""  # "head": the connection ends without an answer, "body": in the middle of it
    ping: int = 200
    pings: int = 0  # so many came
    bodies: list[bytes] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    lengths: list[int | None] = field(default_factory=list)  # as announced, one a request, before its body
    early: list[int] = field(default_factory=list)  # statuses that are answered before the body is read
    peers: list[object] = field(default_factory=list)
    at_work: int = 0
    most_at_work: int = 0
    port: int = field(default_factory=unused_port)
    hold: asyncio.Event | None = None
    gone: int = 0  # clients who left before they were answered
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/ping", self._ping)
        app.router.add_post("/predict", self._predict)
        app.router.add_post("/behind/a/path/predict", self._predict)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _ping(self, request: web.Request) -> web.Response:
        self.pings += 1
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(status=self.ping, text="pong")

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        self.lengths.append(request.content_length)
        try:
            if self.early:
                return self._response(self.early.pop(0))
            self.bodies.append(await request.read())
            self.types.append(request.headers["Content-Type"])
            assert request.transport is not None
            self.peers.append(request.transport.get_extra_info("peername"))
            return await self._work(request)
        except (asyncio.CancelledError, ConnectionError):
            self.gone += 1
            raise

    async def _work(self, request: web.Request) -> web.StreamResponse:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            return await self._answer(request)
        finally:
            self.at_work -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.hold is not None:
            await self.hold.wait()
        await asyncio.sleep(self.delay)
        if self.statuses:
            return self._response(self.statuses.pop(0))
        if self.strict and not _familiar(parse(self.bodies[-1], self.types[-1]).entries):
            return self._response(422)
        assert request.transport is not None
        if self.cut == "head":
            request.transport.abort()
        if self.cut == "body":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"facial-')
            request.transport.abort()
        return self._response(200)

    def _response(self, status: int) -> web.Response:
        if status != 200:
            return web.Response(status=status, text="not now", headers=self.headers)
        if isinstance(self.answer, bytes):
            return web.Response(body=self.answer)
        return web.json_response(self.answer)


def _familiar(entries: dict[str, Any]) -> bool:
    known = {"clip": {"textual", "visual"}, "ocr": {"detection", "recognition"}}
    known["facial-recognition"] = known["ocr"]
    return all(
        kind in known.get(task, ()) and entry.keys() <= {"modelName", "options"}
        for task, kinds in entries.items()
        for kind, entry in (kinds or {"": {}}).items()
    )


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that has no event, such as the state of a server here."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def ml_servers(count: int = 1) -> AsyncIterator[list[MlServer]]:
    servers = [MlServer() for _ in range(count)]
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            if server.hold is not None:
                server.hold.set()
            await server.stop()
