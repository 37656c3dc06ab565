"""Requests sent on to Immich's own machine-learning servers, over real sockets, with everything that goes wrong."""

import asyncio
import os
import socket
import time

import pytest
from aiohttp.test_utils import unused_port
from yarl import URL

from gateway.body import Body
from gateway.errors import DeadlineError, UpstreamError
from gateway.ml.protocol import form
from gateway.ml.server import UpstreamRefusalError
from gateway.ml.upstream import Upstreams
from tests.support.upstreams import FACES, MlServer, ml_servers, until

ENTRIES = {
    "facial-recognition": {
        "detection": {"modelName": "buffalo_l", "options": {"minScore": 0.7}},
        "recognition": {"modelName": "buffalo_l"},
    }
}


def upstreams(
    *servers: MlServer, path: str = "", timeout: float = 10, wait: float = 2, check: float = 0.1
) -> Upstreams:
    return Upstreams([URL(server.url + path) for server in servers], timeout=timeout, wait=wait, check=check)


@pytest.mark.parametrize("path", ["", "/behind/a/path"])
@pytest.mark.parametrize("size", [1, 500_000, 9_000_000])
async def test_the_body_arrives_as_it_came(path, size):
    body, content_type = form(ENTRIES, image=os.urandom(size))
    async with ml_servers() as [server], upstreams(server, path=path) as pool:
        assert await pool.predict(Body(body), content_type) == FACES
    assert server.bodies == [body]
    assert server.types == [content_type]


async def test_connections_are_kept():
    async with ml_servers() as [server], upstreams(server, check=60) as pool:
        for _ in range(20):
            await pool.predict(Body(b"x"), "text/plain")
    assert len(set(server.peers)) <= 2  # one more for the ping that ran beside the first


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_what_passes_is_asked_again(status):
    async with ml_servers() as [server], upstreams(server) as pool:
        server.statuses = [status, status]
        assert await pool.predict(Body(b"x"), "text/plain") == FACES
    assert len(server.bodies) == 3


async def test_retry_after_is_heeded():
    async with ml_servers() as [server], upstreams(server) as pool:
        server.statuses, server.headers = [503], {"Retry-After": "1"}
        started = time.monotonic()
        assert await pool.predict(Body(b"x"), "text/plain") == FACES
        assert time.monotonic() - started >= 1


async def test_a_server_that_stays_busy_is_given_up():
    async with ml_servers() as [server], upstreams(server, wait=0.5) as pool:
        server.statuses = [503] * 100
        with pytest.raises(UpstreamError, match=r"answered 503 \(given up after \d+\.\d s\)") as caught:
            await pool.predict(Body(b"x"), "text/plain")
        assert caught.value.status == 502


@pytest.mark.parametrize(("status", "ours"), [(400, 400), (422, 422), (500, 502), (301, 502)])
async def test_an_error_of_its_own_is_not_asked_again(status, ours):
    async with ml_servers() as [server], upstreams(server) as pool:
        server.statuses = [status]
        with pytest.raises(UpstreamRefusalError, match=rf"answered {status}: not now") as caught:
            await pool.predict(Body(b"x"), "text/plain")
        assert caught.value.status == ours
    assert len(server.bodies) == 1


@pytest.mark.parametrize("cut", ["head", "body"])
async def test_killed_in_the_middle_is_not_asked_again(cut):
    async with ml_servers(2) as servers, upstreams(*servers) as pool:
        for server in servers:
            server.cut = cut
        with pytest.raises(UpstreamError, match="broke off") as caught:
            await pool.predict(Body(b"x"), "text/plain")
        assert caught.value.status == 502
        assert sum(len(server.bodies) for server in servers) == 1
        for server in servers:
            server.cut = ""
        assert await pool.predict(Body(b"x"), "text/plain") == FACES


async def test_what_kills_servers_over_kept_connections_too_is_not_asked_for_ever():
    async with ml_servers(3) as servers, upstreams(*servers, check=60) as pool:
        for _ in range(2):
            await asyncio.gather(*(pool.predict(Body(b"x"), "text/plain") for _ in range(6)))
        for server in servers:
            server.bodies.clear()
            server.cut = "head"
        with pytest.raises(UpstreamError, match=r"closed the connection|broke off"):
            await pool.predict(Body(b"x"), "text/plain")
        assert sum(len(server.bodies) for server in servers) == 2


async def test_a_kept_connection_that_the_server_closed_does_no_harm():
    async with ml_servers() as [server], upstreams(server, check=60) as pool:
        await pool.predict(Body(b"x"), "text/plain")
        server.cut = "head"
        asking = asyncio.create_task(pool.predict(Body(b"x"), "text/plain"))
        await until(lambda: len(server.bodies) >= 2)
        server.cut = ""
        assert await asking == FACES
        assert len(server.bodies) == 3


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'"text"', b"null"])
async def test_an_answer_that_is_none(answer):
    async with ml_servers() as [server], upstreams(server) as pool:
        server.answer = answer
        with pytest.raises(UpstreamError, match="not a JSON object"):
            await pool.predict(Body(b"x"), "text/plain")


async def test_refused():
    away = MlServer()
    async with upstreams(away, wait=0.5) as pool:
        with pytest.raises(UpstreamError, match=rf"127.0.0.1:{away.port}.* cannot be reached: .*refused") as caught:
            await pool.predict(Body(b"x"), "text/plain")
        assert caught.value.status == 502
        assert not pool.well


async def test_an_unknown_host():
    async with Upstreams([URL("http://no-such-host.invalid:3003")], wait=0.3) as pool:
        with pytest.raises(UpstreamError, match="cannot be reached"):
            await pool.predict(Body(b"x"), "text/plain")


async def test_a_restart_costs_nothing():
    server = MlServer()
    async with upstreams(server, wait=10) as pool:
        asking = [asyncio.create_task(pool.predict(Body(b"x"), "text/plain")) for _ in range(10)]
        await until(lambda: pool.servers[0].failed["unreachable"] >= 10)
        await server.start()
        try:
            assert await asyncio.gather(*asking) == [FACES] * 10
            await until(lambda: pool.well)
        finally:
            await server.stop()


async def test_a_hanging_server_is_left_at_the_deadline():
    async with ml_servers() as [server], upstreams(server, timeout=0.5) as pool:
        server.hold = asyncio.Event()
        with pytest.raises(DeadlineError, match=r"has not answered within 0.5 s") as caught:
            await pool.predict(Body(b"x"), "text/plain")
        assert caught.value.status == 504
        await until(lambda: server.gone == 1)
        server.hold.set()
        server.hold = None
        assert await pool.predict(Body(b"x"), "text/plain") == FACES


async def test_a_server_that_accepts_nothing_is_left_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = URL(f"http://127.0.0.1:{mute.getsockname()[1]}")
        async with Upstreams([url], timeout=0.5) as pool:
            with pytest.raises(DeadlineError):
                await pool.predict(Body(os.urandom(1_000_000)), "text/plain")


async def test_a_slow_server_has_its_time():
    async with ml_servers() as [server], upstreams(server, wait=0.1) as pool:
        server.delay = 1
        assert await pool.predict(Body(b"x"), "text/plain") == FACES
    assert len(server.bodies) == 1


async def test_a_client_who_goes_takes_the_request_along():
    async with ml_servers() as [server], upstreams(server) as pool:
        server.hold = asyncio.Event()
        asking = asyncio.create_task(pool.predict(Body(b"x"), "text/plain"))
        await until(lambda: server.at_work == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: server.gone == 1)
        assert pool.servers[0].in_flight == 0


async def test_the_least_busy_is_asked():
    async with ml_servers(3) as servers, upstreams(*servers) as pool:
        servers[0].delay, servers[1].delay, servers[2].delay = 0.02, 0.02, 0.2
        gate = asyncio.Semaphore(6)

        async def ask() -> None:
            async with gate:
                await pool.predict(Body(b"x"), "text/plain")

        await asyncio.gather(*(ask() for _ in range(90)))
        served = [len(server.bodies) for server in servers]
        assert sum(served) == 90
        assert all(server.most_at_work <= 3 for server in servers)
        assert served[2] < served[0] / 2
        assert served[2] < served[1] / 2


async def test_idle_servers_take_turns():
    async with ml_servers(2) as servers, upstreams(*servers) as pool:
        for _ in range(10):
            await pool.predict(Body(b"x"), "text/plain")
        assert [len(server.bodies) for server in servers] == [5, 5]


async def test_another_server_is_asked_at_once():
    async with ml_servers() as [server], upstreams(MlServer(), server, wait=60) as pool:
        started = time.monotonic()
        for _ in range(20):
            assert await pool.predict(Body(b"x"), "text/plain") == FACES
        assert time.monotonic() - started < 1


async def test_one_that_does_not_answer_pings_comes_last():
    async with ml_servers(2) as servers, upstreams(*servers) as pool:
        servers[0].ping = 500
        await until(lambda: pool.servers[0].trouble == "/ping answered 500")
        for _ in range(4):
            await pool.predict(Body(b"x"), "text/plain")
        assert [len(server.bodies) for server in servers] == [0, 4]
        await servers[1].stop()
        assert await pool.predict(Body(b"x"), "text/plain") == FACES  # it may well be able to work all the same
        assert len(servers[0].bodies) == 1


async def test_coming_back_is_noticed():
    server = MlServer()
    await server.start()
    async with upstreams(server) as pool:
        await until(lambda: server.pings >= 2)
        assert not pool.came_back.is_set()
        await server.stop()
        await until(lambda: not pool.well)
        assert not pool.came_back.is_set()
        await server.start()
        try:
            async with asyncio.timeout(5):
                await pool.came_back.wait()
            assert pool.well
        finally:
            await server.stop()


async def test_losing_one_of_two_is_not_being_away():
    async with ml_servers(2) as servers, upstreams(*servers) as pool:
        await servers[0].stop()
        await until(lambda: bool(pool.servers[0].trouble))
        await servers[0].start()
        await until(lambda: not pool.servers[0].trouble)
        assert not pool.came_back.is_set()


async def test_a_password_in_the_address_is_not_shown():
    async with Upstreams([URL(f"http://me:secret@127.0.0.1:{unused_port()}")], wait=0.1) as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.predict(Body(b"x"), "text/plain")
    assert "secret" not in str(caught.value)
