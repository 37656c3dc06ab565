"""The tests' own servers leave nothing behind that would fail another test."""

import asyncio
import gc
import socket
import sys

from tests.support.tcp import serving


def test_connections_end_with_the_server_at_whatever_step_they_are(monkeypatch):
    left: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: left.append(what.exc_value))

    async def silence(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def connected(steps: int) -> None:
        async with serving(silence) as port:
            for _ in range(3):
                clients.append(socket.create_connection(("127.0.0.1", port)))
            for _ in range(steps):
                await asyncio.sleep(0)

    clients: list[socket.socket] = []
    for steps in range(8):
        asyncio.run(connected(steps))
    gc.collect()
    for client in clients:
        client.close()
    assert left == []
