"""The command `immich-gateway`, as a container runs it."""

import asyncio
import os
import signal
import socket
import sys
import time

import pytest
from aiohttp.test_utils import unused_port

from indexer.models.clip.cn_clip.small import write_small_checkpoint
from tests.support.gateways import CLIP, TEXT, Client
from tests.support.processes import model_libraries
from tests.support.stubs import picture


@pytest.fixture
def environment(database, tmp_path):
    write_small_checkpoint(tmp_path / "small.pt")
    return {
        **os.environ,
        "DB_URL": database,
        "CLIP_MODEL": str(tmp_path / "small.pt"),
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(unused_port()),
        "LOG_FORMAT": "json",
    }


async def start(environment) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.app", env=environment, stderr=asyncio.subprocess.PIPE
    )


@pytest.mark.timeout(120)
async def test_it_answers_until_it_is_told_to_stop(environment):
    process = await start(environment)
    immich = Client(int(environment["GATEWAY_PORT"]))
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b'"answering"' not in (line := await process.stderr.readline()):
                assert line, "it ended"
            while True:
                try:
                    assert (await immich.get("/ping")).status == 200
                    break
                except ConnectionError:
                    await asyncio.sleep(0.05)
            assert len((await immich.ask(TEXT, text="发票")).vector) == 512
            assert len((await immich.ask(CLIP, picture(1))).vector) == 512
            assert model_libraries(process.pid) == set(), "only the processes of its models have them"
            start_of_end = time.monotonic()
            process.send_signal(signal.SIGTERM)
            _, rest = await process.communicate()
        assert process.returncode == 0
        assert time.monotonic() - start_of_end < 10
        assert b"Traceback" not in rest
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
async def test_where_it_cannot_listen_it_says_so(environment, host):
    with socket.create_server(("127.0.0.1", int(environment["GATEWAY_PORT"]))):
        process = await start(environment | {"GATEWAY_HOST": host})
        _, error = await process.communicate()
    assert process.returncode == 1
    assert f"error: cannot listen on {host}:{environment['GATEWAY_PORT']}: ".encode() in error
    assert b"Traceback" not in error


async def test_without_weights_it_says_which_file_to_put_where_and_waits(environment):
    process = await start(environment | {"CLIP_MODEL": "ViT-B-16", "CLIP_DOWNLOAD_ROOT": "/nowhere"})
    immich = Client(int(environment["GATEWAY_PORT"]))
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            said = b""
            while b'"answering"' not in said:
                said += await process.stderr.readline()
            assert b"/nowhere" in said
            while True:
                try:
                    answer = await immich.ask(TEXT, text="发票")
                    break
                except ConnectionError:
                    await asyncio.sleep(0.05)
        assert answer.status == 503
        assert "/nowhere" in answer.json["message"]
        process.send_signal(signal.SIGTERM)
        _, rest = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in said + rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_model_that_nobody_knows_is_said_so(environment):
    process = await start(environment | {"CLIP_MODEL": "ViT-X"})
    _, error = await process.communicate()
    assert process.returncode == 1
    assert b"error: unknown CLIP model 'ViT-X': use one of ViT-B-16" in error
    assert b"Traceback" not in error
