"""No weights, and no host that has them: all goes on that needs none, and the rest follows once they have come."""

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer, unused_port

from indexer.demo.api import Api
from indexer.demo.scenes import SCENES
from indexer.models.clip.cn_clip.small import write_small_checkpoint
from tests.support import stubs
from tests.support.gateways import CLIP, FACES, TEXT, Client
from tests.support.sources import host as serve
from tests.support.upstreams import FACES as FOUND
from tests.support.upstreams import ml_servers
from tests.support.workers import eventually, lines_of, vector_of

NOBODY = "http://127.0.0.1:9"
SMALL = Path(__file__).parent.parent / "support" / "small_weights"


def scene(name: str) -> bytes:
    buffer = io.BytesIO()
    next(scene for scene in SCENES if scene.name == name).draw().image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


@contextlib.asynccontextmanager
async def running(module: str, *arguments: str, environment: dict[str, str]) -> AsyncIterator[None]:
    """A command in a process of its own, which is still there at the end and ends when it is told to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    try:
        yield
        assert process.returncode is None, (await said).decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        print((await said).decode())  # noqa: T201 - shown where the test fails
    assert await process.wait() == 0
    assert b"Traceback" not in said.result()


@pytest.mark.timeout(180)
async def test_the_commands_on_an_empty_folder(database, immich, connection, owner, tmp_path):
    write_small_checkpoint(tmp_path / "published" / "small.pt")
    weights = {"/OFA-Sys/chinese-clip-small/resolve/main/small.pt": (tmp_path / "published/small.pt").read_bytes()}
    port, key = unused_port(), {"x-api-key": await immich.create_key(owner)}
    asset = [
        await immich.upload(scene(name), owner=owner)
        for name in ("receipt-invoice", *[scene.name for scene in SCENES if scene.name != "receipt-invoice"][:2])
    ]
    api = Api(immich.database, immich.media).application()
    with serve(weights) as host:
        host.status = 503
        async with ml_servers() as [server], TestServer(api) as people:
            server.answer = FOUND
            environment = os.environ | {
                "DB_URL": database,
                "MEDIA_PATH_MAP": f"/data={immich.media.directory}",
                "IMMICH_URL": str(people.make_url("")),
                "IMMICH_ML_URL": server.url,
                "CLIP_DOWNLOAD_ROOT": str(tmp_path / "empty"),
                "WEIGHTS_SOURCE": "auto",
                "HF_ENDPOINT": host.address,
                "HTTPS_PROXY": NOBODY,  # Hugging Face, its mirror and ModelScope refuse
                "GATEWAY_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
                "LOG_FORMAT": "json",
                "CPU_THREADS": "2",
                "SMALL_WEIGHTS": str(tmp_path / "published/small.pt"),
                "PYTHONPATH": f"{SMALL}:{Path.cwd()}",
            }
            gateway = Client(port)
            async with (
                running("indexer.cli", "run", environment=environment),
                running("gateway.app", environment=environment),
            ):

                async def ready() -> bool:
                    with contextlib.suppress(OSError):
                        return (await gateway.get("/ping")).body == b"waiting for weights"
                    return False

                await eventually(ready, 60)
                await eventually(lambda: all_read(connection, asset), 60)

                # found by their words, in Immich and here
                assert asset[0] in await immich.ocr_filter(["发票"], owner)
                found = await gateway.get("/api/search?q=%E5%8F%91%E7%A5%A8", key)
                assert str(asset[0]) in [item["assetId"] for item in found.json["items"]]
                assert found.json["withoutMeaning"] is True
                assert "small.pt" in found.json["notes"][0]
                assert (await gateway.get("/api/search?q=ocr:%E5%8F%91%E7%A5%A8", key)).json["withoutMeaning"] is False
                # faces are passed on
                assert (await gateway.ask(FACES, stubs.picture(1))).json == FOUND
                # what needs the model is refused, with a sentence
                for answer in (
                    await gateway.ask(TEXT, text="日落"),
                    await gateway.ask(CLIP, immich.media.read(await preview(connection, asset[0]))),
                    await gateway.get("/api/search?q=%E5%8F%91%E7%A5%A8&mode=clip", key),
                ):
                    assert (answer.status, answer.json["error"]) == (503, "unavailable")
                    assert "the weights of ViT-B-16 are not there yet" in answer.json["message"]
                    assert int(answer.headers["retry-after"]) > 0
                ocr = await gateway.ask(TEXT, text="ocr:发票")
                assert ocr.status == 503
                assert "no photo has a vector yet" in ocr.json["message"]
                # and told of
                health = await gateway.get("/health")
                assert health.status == 503
                assert health.json["engines"]["text"]["state"] == "waiting for weights"
                (told,) = health.json["weights"]
                assert (told["use"], told["model"], told["arrived"]) == ("clip", "ViT-B-16", 0)
                metrics = (await gateway.get("/metrics")).body
                assert b'immich_gateway_weights_ready{model="ViT-B-16",use="clip"} 0.0' in metrics

                async def trouble() -> str:
                    status = (await gateway.get("/api/status", key)).json
                    assert (status["indexed"], status["withText"], status["waiting"]) == (0, 3, 3)
                    (weights,) = status["weights"]
                    return weights["reason"] if "503" in weights["reason"] else ""

                reason = await eventually(trouble)
                for name in ("huggingface.co", "hf-mirror.com", "www.modelscope.cn", host.address[7:]):
                    assert f"{name}: " in reason

                # They come: vectors follow, and no text is read or written again.
                before = await connection.fetch("SELECT id FROM asset_ocr ORDER BY id")
                host.status = 200
                await eventually(lambda: all_have_vectors(connection, asset), 60)

                async def well() -> bool:
                    return (await gateway.get("/ping")).body == b"pong"

                await eventually(well, 60)
                assert (await gateway.ask(TEXT, text="ocr:发票")).status == 200
                assert len((await gateway.ask(TEXT, text="日落")).vector) == 512
                found = await gateway.get("/api/search?q=%E5%8F%91%E7%A5%A8", key)
                assert (found.json["withoutMeaning"], found.json["notes"]) == (False, [])
                assert await connection.fetch("SELECT id FROM asset_ocr ORDER BY id") == before

                async def quiet() -> bool:
                    return (await gateway.get("/api/status", key)).json["weights"] == []

                await eventually(quiet)


async def all_read(connection, assets) -> bool:
    return all([await lines_of(connection, asset) for asset in assets])


async def all_have_vectors(connection, assets) -> bool:
    return all([await vector_of(connection, asset) is not None for asset in assets])


async def preview(connection, asset) -> str:
    return await connection.fetchval("""SELECT path FROM asset_file WHERE "assetId" = $1 AND type = 'preview'""", asset)
