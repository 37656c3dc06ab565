"""What a container's health check says."""

import asyncio
import os
import socket
import sys

import pytest
from aiohttp.test_utils import unused_port

from gateway import ping as gateway_ping
from indexer.work import ping
from tests.support.gateways import StubText, serving, stub_models
from tests.support.workers import settings_for, working

HOST = socket.gethostname()


async def test_an_indexer(database, tmp_path, connection):
    settings = settings_for(database, tmp_path)
    assert "immich_indexer.worker" in (await ping.trouble(settings, HOST) or ""), "not installed"
    async with working(settings):
        assert await ping.trouble(settings, HOST) is None
        assert await ping.trouble(settings, "elsewhere") == "no indexer of elsewhere is at work"
    assert await ping.trouble(settings, HOST) == f"no indexer of {HOST} is at work"
    await connection.execute(
        "INSERT INTO immich_indexer.worker (id, name, version, device, seen_at)"
        " VALUES (gen_random_uuid(), $1, '0', 'cpu', now() - interval '1 h')",
        f"{HOST}:1",
    )
    assert "was last seen 3600 s ago" in (await ping.trouble(settings, HOST) or "")


async def test_a_gateway(database, tmp_path):
    settings = settings_for(database, tmp_path, gateway_token="correct-horse")
    async with serving(settings) as client:
        here = settings.model_copy(update={"gateway_port": client.port})
        assert await asyncio.to_thread(gateway_ping.trouble, here) is None
    assert "no gateway on port" in (await asyncio.to_thread(gateway_ping.trouble, here) or "")
    async with serving(settings, stub_models(StubText(dimensions=768))[0]) as client:
        here = settings.model_copy(update={"gateway_port": client.port})
        said = await asyncio.to_thread(gateway_ping.trouble, here)
    assert said is not None
    assert "not ready" in said
    assert "correct-horse" not in said


@pytest.mark.parametrize("module", ["indexer.work.ping", "gateway.ping"])
async def test_as_docker_runs_it(module, tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=os.environ
        | {"DB_URL": f"postgresql://me:hunter2@127.0.0.1:{unused_port()}/immich", "GATEWAY_PORT": str(unused_port())},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"Connect" in said or b"refused" in said
    assert b"hunter2" not in said
    assert b"Traceback" not in said
