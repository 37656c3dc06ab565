"""The routes for Immich, and for the people and programs that monitor the gateway."""

import asyncio
from collections.abc import Callable

from aiohttp import web

import indexer
from gateway.answers import as_json
from gateway.errors import DeadlineError
from gateway.guard import BODY
from gateway.health import Health
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.ml import protocol
from gateway.ml.tasks import Relayed, Task
from gateway.ping import WAITING


class Routes:
    """Handlers. `predict` answers whole requests, each within `deadline` seconds."""

    def __init__(self, predict: Task, health: Health, metrics: Metrics, library: Library, deadline: float) -> None:
        self._predict = predict
        self._health = health
        self._metrics = metrics
        self._library = library
        self._deadline = deadline

    def under(self, prefix: str) -> list[web.RouteDef]:
        """The routes, all of them beginning with `prefix`."""
        return [
            web.get(prefix + "/", self._root),
            web.get(prefix + "/ping", self._ping),
            web.post(prefix + "/predict", self._answer),
            web.get(prefix + "/health", self._look),
            web.get(prefix + "/metrics", self._measure),
        ]

    def beside(self, bears_token: Callable[[web.Request], bool]) -> list[web.RouteDef]:
        """Routes without a token in their address, where the other routes begin with one.

        `/health` tells everybody whether the gateway is ready, and nothing else. With the token in a header it tells
        everything, and there is `/metrics`. `/ping` is not among them: Immich would think that a gateway works that
        refuses everything else.
        """

        async def health(request: web.Request) -> web.Response:
            if bears_token(request):
                return await self._look(request)
            ready = await self._health.ready()
            return as_json({"ready": ready}, 200 if ready else 503)

        async def metrics(request: web.Request) -> web.Response:
            if not bears_token(request):
                raise web.HTTPUnauthorized(reason="send GATEWAY_TOKEN as Authorization: Bearer, or ask /TOKEN/metrics")
            return await self._measure(request)

        return [web.get("/health", health), web.get("/metrics", metrics)]

    async def _root(self, _request: web.Request) -> web.Response:
        return as_json({"message": "immich-indexer gateway", "version": indexer.__version__})

    async def _ping(self, _request: web.Request) -> web.Response:
        # Immich asks a server that does not work last. The answer is honest: another server of its list may work.
        if await self._health.ready():
            return web.Response(text="pong")
        return web.Response(text=WAITING if self._health.waits_for_weights else "not ready", status=503)

    async def _look(self, _request: web.Request) -> web.Response:
        state = await self._health.look()
        return as_json(state, 200 if state["ready"] else 503)

    async def _measure(self, _request: web.Request) -> web.Response:
        library = self._library
        text = self._metrics.text(await library.backlog(), await library.workers(), await library.change())
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(self._deadline):
                asked = await protocol.receive(request[BODY], request.headers.get("Content-Type", ""))
                found = await self._predict(asked)
        except TimeoutError:
            raise DeadlineError(f"no answer within {self._deadline:g} s") from None
        if isinstance(found, Relayed):
            return web.Response(body=found.raw, content_type="application/json")
        return as_json(found)
