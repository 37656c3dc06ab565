"""People who ask a gateway's API, each with a key or a session of theirs, beside the stand-in for Immich's."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.ml.tasks import Task
from gateway.models import LazyModels
from gateway.people.pace import USUAL, ApiPace
from indexer.demo.api import Api
from indexer.demo.immich import StandIn
from tests.support.description import Description
from tests.support.gateways import serving, unsupported
from tests.support.workers import settings_for


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes
    json: Any


@dataclass
class Person:
    """Somebody who asks."""

    session: aiohttp.ClientSession
    headers: dict[str, str]

    async def get(self, path: str, headers: dict[str, str] | None = None, **parameters: Any) -> Reply:
        return await self.ask("GET", path, headers=headers, params=parameters)

    async def post(self, path: str, content: Any = None) -> Reply:
        body = {"data": content} if isinstance(content, bytes) else {"json": content} if content is not None else {}
        return await self.ask("POST", path, **body)

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Reply:
        async with self.session.request(method, path, headers=self.headers | (headers or {}), **options) as response:
            body = await response.read()
            is_json = response.content_type == "application/json" and body
            lower = {name.lower(): value for name, value in response.headers.items()}
            reply = Reply(response.status, lower, body, await response.json() if is_json else None)
        if path.startswith("/api/"):
            description = await Description.of_gateway(self.session)
            description.check(method, path, reply.status, lower, reply.json if is_json else body)
        return reply


@dataclass
class House:
    """A gateway and everybody who comes to it."""

    immich: StandIn
    session: aiohttp.ClientSession
    address: str
    stop: Callable[[], Awaitable[None]]

    def nobody(self) -> Person:
        return Person(self.session, {})

    def with_key(self, key: str) -> Person:
        return Person(self.session, {"x-api-key": key})

    async def person(self, user: Any, *permissions: str) -> Person:
        """With a new key, that may do everything if nothing is named."""
        return self.with_key(await self.immich.create_key(user, *permissions))


@contextlib.asynccontextmanager
async def house(
    database: str,
    immich: StandIn,
    models: LazyModels | None = None,
    *,
    change: Callable[[web.Application], None] = lambda _: None,
    forward: Task | None = unsupported,
    pace: ApiPace = USUAL,
    **overrides: Any,
) -> AsyncIterator[House]:
    """A gateway that asks the stand-in for Immich's API, `change`d, who its visitors are."""
    api = Api(immich.database, immich.media).application()
    change(api)
    async with TestServer(api) as server:
        settings = settings_for(
            database, immich.media.directory, **{"immich_url": str(server.make_url(""))} | overrides
        )
        async with contextlib.AsyncExitStack() as running:
            client = await running.enter_async_context(serving(settings, models, forward=forward, pace=pace))
            address = f"http://127.0.0.1:{client.port}"
            async with aiohttp.ClientSession(address) as session:
                yield House(immich, session, address, running.aclose)
