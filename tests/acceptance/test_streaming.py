"""Requests that are sent on while they arrive: who is told what, and that nobody waits for what never comes."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from tests.support.gateways import BOUNDARY, FACES, OCR, Answer, form, read_answer, request, serving
from tests.support.upstreams import FACES as FOUND
from tests.support.upstreams import MlServer, ml_servers, until
from tests.support.workers import eventually, settings_for

BODY = form(FACES, os.urandom(300_000))
HALF = len(BODY) // 2


@pytest.fixture
def gateway(database, tmp_path):
    def start(server: MlServer, **changes):
        changes = {"immich_ml_url": server.url, "immich_ml_wait_seconds": 5} | changes
        return serving(settings_for(database, tmp_path, **changes), forward=None)

    return start


class Upload:
    """A client who sends as much as it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(10):
            return await read_answer(self._reader)


@contextlib.asynccontextmanager
async def upload(port: int, body: bytes = BODY, *, chunked: bool = False) -> AsyncIterator[Upload]:
    """The head of a request and the first half of its body are sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        raw = request(body[:HALF], length=len(body))
        if chunked:
            head, first = raw.split(b"\r\n\r\n", 1)
            head = head.replace(f"content-length: {len(body)}".encode(), b"transfer-encoding: chunked")
            raw = head + b"\r\n\r\n" + chunk(first)
        writer.write(raw)
        await writer.drain()
        yield Upload(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def asked(server: MlServer, times: int = 1) -> None:
    await until(lambda: len(server.lengths) == times)


async def left(server: MlServer) -> None:
    await until(lambda: server.gone == 1)


async def test_the_upstream_is_asked_before_the_body_is_all_there(gateway):
    async with ml_servers() as [server], gateway(server) as immich, upload(immich.port) as client:
        await asked(server)
        assert server.bodies == []
        await client.send(BODY[HALF:])
        assert (await client.answer()).json == FOUND
        assert server.bodies == [BODY]
        assert server.lengths == [len(BODY)]
        assert server.types == [f"multipart/form-data; boundary={BOUNDARY.decode()}"]


async def test_a_body_without_a_length_too(gateway):
    async with ml_servers() as [server], gateway(server) as immich, upload(immich.port, chunked=True) as client:
        await asked(server)
        await client.send(chunk(BODY[HALF:]) + b"0\r\n\r\n")
        assert (await client.answer()).json == FOUND
        assert (server.bodies, server.lengths) == ([BODY], [None])


async def test_what_is_answered_here_too_waits_for_all_of_it(gateway):
    body = form(FACES | OCR, os.urandom(300_000))
    async with ml_servers() as [server], gateway(server) as immich, upload(immich.port, body) as client:
        assert (await immich.ask(FACES, b"another")).json == FOUND  # time enough to have asked for the first
        assert len(server.lengths) == 1
        await client.send(body[HALF:])
        assert (await client.answer()).status == 400  # no picture


async def test_another_attempt_begins_at_the_start(gateway):
    async with ml_servers() as [server]:
        server.early = [503, 503]
        async with gateway(server) as immich, upload(immich.port) as client:
            await asked(server, 3)
            await client.send(BODY[HALF:])
            assert (await client.answer()).json == FOUND
            assert server.bodies == [BODY]


@pytest.mark.parametrize("early", [200, 400])
async def test_nobody_is_answered_before_all_of_the_request_is_seen(gateway, early):
    async with ml_servers() as [server]:
        server.early = [early]
        async with gateway(server) as immich, upload(immich.port) as client:

            async def answered() -> bool:
                return b'task="facial-recognition"' in (await immich.get("/metrics")).body

            answering = asyncio.create_task(client.answer())
            await eventually(answered)
            assert not answering.done()
            await client.send(BODY[HALF:])
            assert (await answering).status == early


@pytest.mark.parametrize("early", [[], [200]])
async def test_what_turns_out_to_be_no_form(gateway, early):
    async with ml_servers() as [server]:
        server.early = early.copy()
        async with gateway(server) as immich, upload(immich.port) as client:
            await asked(server)
            await client.send(BODY[HALF:-40] + bytes(40))
            answer = await client.answer()
            assert (answer.status, answer.json["error"]) == (422, "malformed")


async def test_a_client_that_is_too_slow(gateway):
    async with (
        ml_servers() as [server],
        gateway(server, gateway_body_seconds=0.5) as immich,
        upload(immich.port) as client,
    ):
        answer = await client.answer()
        assert (answer.status, answer.json["error"]) == (408, "slow_client")
        await left(server)
        assert (await immich.ask(FACES, b"another")).json == FOUND


async def test_a_client_that_goes(gateway):
    async with ml_servers() as [server], gateway(server) as immich:
        async with upload(immich.port):
            await asked(server)
        await left(server)
        assert (await immich.ask(FACES, b"another")).json == FOUND
        health = (await immich.get("/health")).json["forwarder"]["upstreams"]
        assert [(upstream["in_flight"], upstream["trouble"]) for upstream in health] == [(0, None)]


async def test_more_than_is_taken(gateway):
    async with (
        ml_servers() as [server],
        gateway(server, max_preview_megabytes=1) as immich,
        upload(immich.port, chunked=True) as client,
    ):
        await asked(server)
        with contextlib.suppress(ConnectionError):  # it need not read all of this
            await client.send(chunk(bytes(2 << 20)))
        assert (await client.answer()).status == 413
        await left(server)


async def test_the_upstream_goes_while_the_body_comes(gateway):
    async with (
        ml_servers() as [server],
        gateway(server, immich_ml_wait_seconds=0.2) as immich,
        upload(immich.port) as client,
    ):
        await asked(server)
        await server.stop()
        await client.send(BODY[HALF:])
        answer = await client.answer()
        assert (answer.status, answer.json["error"]) == (502, "upstream")
