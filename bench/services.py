"""Servers to measure: each in processes of its own, with all that it starts, until the end of a block."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import aiohttp

from gateway.ml.protocol import form

OWN = Path(sys.executable).parent
"""The folder of our own commands."""

Entries = Mapping[str, object]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def service(
    command: Sequence[str], environment: Mapping[str, str], *, folder: Path | None = None
) -> AsyncIterator[int]:
    """The number of that command's process. What it writes on standard error is shown."""
    process = await create_subprocess_exec(
        *command, env=os.environ | environment, cwd=folder, stdout=DEVNULL, start_new_session=True
    )
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # all that it started: not every server ends its own
        await process.wait()


async def predict(
    session: aiohttp.ClientSession, entries: Entries, *, image: bytes | None = None, text: str | None = None
) -> dict[str, object]:
    """One request as Immich sends it. Raises RuntimeError where the server refuses it."""
    body, content_type = form(entries, image=image, text=text)
    async with session.post("/predict", data=body, headers={"Content-Type": content_type}) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.url}: {response.status} {await response.text()}")
        answer: dict[str, object] = await response.json(content_type=None)
        return answer


async def until_it_answers(session: aiohttp.ClientSession, path: str, *, method: str = "GET") -> None:
    """Ask until it says 200."""
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with session.request(method, path) as response:
                if response.status == 200:
                    return
        await asyncio.sleep(0.2)
