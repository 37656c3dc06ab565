"""Who is asking: every way to prove it, and everything that proves nothing, against the stand-in's HTTP API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from gateway.errors import GatewayError, answer
from gateway.people.identity import COOKIE, Identity
from gateway.people.pace import ApiPace
from indexer.demo.api import Api
from indexer.demo.immich import StandIn
from indexer.immich.api import Immich
from tests.conftest import immich_2_and_3

ALL = "everything"


@dataclass
class Asked:
    """A gateway that tells everybody who they are; `questions` are those that Immich was asked."""

    url: str
    identity: Identity
    questions: list[str] = field(default_factory=list)

    async def who(self, **headers: str) -> tuple[int, dict[str, object]]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                self.url, headers={name.replace("_", "-"): value for name, value in headers.items()}
            ) as response,
        ):
            return response.status, await response.json()


@contextlib.asynccontextmanager
async def asked(
    database, *, seconds: float = 10, immich_url: str | None = None, there: bool = True
) -> AsyncIterator[Asked]:
    questions: list[str] = []

    @web.middleware
    async def count(request, handler):
        questions.append(request.path)
        return await handler(request)

    api = Api(database).application()
    api.middlewares.append(count)
    async with TestServer(api) as server:
        immich = Immich(immich_url or str(server.make_url(""))) if there else None
        identity = Identity(immich, ApiPace(known=seconds))

        async def tell(request: web.Request) -> web.Response:
            try:
                person = await identity(request)
            except GatewayError as error:
                return answer(error)
            permissions = ALL if person.permissions is None else sorted(person.permissions)
            return web.json_response(
                {"id": str(person.account.id), "admin": person.account.is_admin, "permissions": permissions}
            )

        app = web.Application()
        app.router.add_get("/", tell)
        async with TestServer(app) as gateway:
            try:
                yield Asked(str(gateway.make_url("/")), identity, questions)
            finally:
                if immich is not None:
                    await immich.close()


@immich_2_and_3
async def test_keys_and_sessions_in_every_form(immich: StandIn, owner: UUID):
    admin = await immich.create_user("boss", admin=True)
    key, own = await immich.create_key(owner, "user.read", "asset.read"), await immich.create_key(admin)
    token = await immich.log_in(owner)
    ann = {"id": str(owner), "admin": False}
    async with asked(immich.database) as gateway:
        assert await gateway.who(x_api_key=key) == (200, ann | {"permissions": ["asset.read", "user.read"]})
        assert await gateway.who(x_api_key=own) == (
            200,
            {"id": str(admin), "admin": True, "permissions": ["all"]},
        )
        for header in (
            {"x_immich_user_token": token},
            {"x_immich_session_token": token},
            {"Authorization": f"Bearer {token}"},
            {"Cookie": f"other=1; {COOKIE}={token}"},
        ):
            assert await gateway.who(**header) == (200, ann | {"permissions": ALL})
        # the key, which was given on purpose, before the cookie that a browser adds
        status, person = await gateway.who(x_api_key=own, Cookie=f"{COOKIE}={token}")
        assert (status, person["id"]) == (200, str(admin))


async def test_a_long_answer_is_read_to_its_end(immich: StandIn, owner: UUID):
    many = {f"permission.{number:05}" for number in range(5_000)}
    async with asked(immich.database) as gateway:
        status, person = await gateway.who(x_api_key=await immich.create_key(owner, "user.read", *many))
    assert (status, person["permissions"]) == (200, sorted(many | {"user.read"}))


async def test_nobody(immich: StandIn, owner: UUID):
    key, token = await immich.create_key(owner), await immich.log_in(owner)
    async with asked(immich.database) as gateway:
        status, error = await gateway.who()
        assert (status, error["error"]) == (401, "unauthorized")
        assert "x-api-key" in error["message"]
        for header in (
            {"x_api_key": key[:-1]},
            {"x_api_key": token},
            {"x_immich_user_token": key},
            {"Authorization": f"Basic {key}"},
            {"Cookie": f"{COOKIE}="},
            {"x_api_key": "发票".encode().decode("latin-1")},
            {"x_api_key": "a" * 513},
            {"x_immich_share_key": key},
        ):
            assert (await gateway.who(**header))[0] == 401, header
        await immich.delete_user(owner)
        assert (await gateway.who(x_api_key=key))[0] == 401
        assert (await gateway.who(x_immich_user_token=token))[0] == 401


async def test_a_key_that_may_not_say_whose_it_is(immich: StandIn, owner: UUID):
    async with asked(immich.database) as gateway:
        status, error = await gateway.who(x_api_key=await immich.create_key(owner, "asset.read"))
    assert (status, error["error"]) == (403, "forbidden")
    assert "user.read" in error["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://immich.example:2283", "Host": "immich.example:8080"}, 403),
        ({"Origin": "https://gateway.example", "Host": "gateway.example"}, 200),
    ],
)
async def test_another_sites_page_cannot_use_the_cookie(immich: StandIn, owner: UUID, headers, status):
    token = await immich.log_in(owner)
    async with asked(immich.database) as gateway:
        assert (await gateway.who(Cookie=f"{COOKIE}={token}", **headers))[0] == status
        assert (await gateway.who(x_immich_user_token=token, **headers))[0] == 200, "which no other page can send"


async def test_immich_is_asked_once_for_many_and_again_after_a_while(immich: StandIn, owner: UUID):
    key, token = await immich.create_key(owner), await immich.log_in(owner)
    async with asked(immich.database, seconds=60) as gateway:
        answers = await asyncio.gather(*(gateway.who(x_api_key=key) for _ in range(20)))
        assert {status for status, _ in answers} == {200}
        assert gateway.questions == ["/api/api-keys/me", "/api/users/me"]
        await gateway.who(x_immich_user_token=token)
        assert len(gateway.questions) == 3
        for _ in range(2):
            await gateway.who(x_api_key="nobody")
        assert gateway.questions[3:] == ["/api/api-keys/me"] * 2, "a refusal is not remembered"


async def test_what_is_revoked_opens_nothing(immich: StandIn, owner: UUID):
    key, token = await immich.create_key(owner), await immich.log_in(owner)
    async with asked(immich.database, seconds=0) as gateway:
        assert (await gateway.who(x_api_key=key))[0] == 200
        assert (await gateway.who(x_immich_user_token=token))[0] == 200
        await immich.revoke_key(key)
        await immich.log_out(token)
        assert (await gateway.who(x_api_key=key))[0] == 401
        assert (await gateway.who(x_immich_user_token=token))[0] == 401


async def test_immich_is_away_or_is_no_immich(immich: StandIn, owner: UUID):
    key = await immich.create_key(owner)
    async with asked(immich.database, immich_url=f"http://127.0.0.1:{unused_port()}") as gateway:
        status, error = await gateway.who(x_api_key=key)
        assert (status, error["error"]) == (503, "unavailable")
        assert "IMMICH_URL" in error["message"]
        assert key not in error["message"]
    replies = [
        (web.Response(status=503), 503),
        (web.Response(text="<html>"), 502),
        (web.Response(status=404), 502),
        (web.Response(status=302, headers={"Location": "https://elsewhere.example"}), 502),
        (web.json_response([]), 502),
        (web.json_response({"permissions": None}), 502),
        (web.Response(body=b" " * (1 << 20) + b'{"permissions": ["all"]}'), 502),
    ]
    replies.reverse()

    async def reply(_request: web.Request) -> web.Response:
        return replies[-1][0]

    other = web.Application()
    other.router.add_get("/{path:.*}", reply)
    async with TestServer(other) as server, asked(immich.database, immich_url=str(server.make_url(""))) as gateway:
        while replies:
            status, error = await gateway.who(x_api_key=key)
            assert status == replies.pop()[1], error


async def test_without_an_immich_to_ask(immich: StandIn, owner: UUID):
    key = await immich.create_key(owner)
    async with asked(immich.database, there=False) as gateway:
        status, error = await gateway.who(x_api_key=key)
    assert (status, error["error"]) == (503, "unavailable")
    assert "IMMICH_URL is not set" in error["message"]
