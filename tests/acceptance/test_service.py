"""The command as a person runs it: `run` with a real OCR engine, and the other commands beside it."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import structlog
from click.testing import CliRunner

from indexer.cli.command import out
from indexer.cli.main import main
from indexer.demo.pictures import score
from indexer.demo.scenes import SCENES
from indexer.models.clip.cn_clip.small import write_small_checkpoint
from tests.support.installs import make_role
from tests.support.processes import children, model_libraries
from tests.support.workers import eventually, idle, lines_of, vector_of


@dataclass
class Command:
    """Runs `immich-indexer` with an environment; `output` is everything that any run said."""

    environment: dict[str, str]
    output: list[str] = field(default_factory=list)

    async def __call__(self, *arguments: str, expect: int = 0) -> str:
        """In this process, where torch is loaded once for all of them."""
        done = await asyncio.to_thread(CliRunner(env=self.environment).invoke, main, arguments)
        self.output += [done.stdout, done.stderr]
        assert done.exit_code == expect, f"{arguments}: {done.output}"
        return done.stdout

    async def run(self, expect: int) -> None:
        """The service, to its own end."""
        process = await self.start()
        out, err = await process.communicate()
        self.output += [out.decode(), err.decode()]
        assert process.returncode == expect, out.decode() + err.decode()

    async def start(self) -> asyncio.subprocess.Process:
        """The service, in a process of its own."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "indexer.cli", "run"),
            env=os.environ | self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.pt"
    write_small_checkpoint(path)
    return path


@pytest.fixture
async def command(superuser_url, immich, checkpoint, monkeypatch) -> AsyncIterator[Command]:
    """As the least-privileged role, with a password to keep secret."""
    monkeypatch.setattr(out, "width", 200)
    before = structlog.get_config()
    yield Command(
        {
            "DB_URL": await make_role(superuser_url, "hunter2-with-%-and-@"),
            "MEDIA_PATH_MAP": f"/data={immich.media.directory}",
            "CLIP_MODEL": str(checkpoint),
            "RETRY_SECONDS": "0.05",
            "MAX_ATTEMPTS": "2",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "json",
        }
    )
    structlog.configure(**before)


async def test_the_service(command: Command, immich, connection, owner):
    before = await command("doctor", expect=1)
    assert "immich-indexer install" in before

    service = await command.start()
    listening = asyncio.create_task(service.stderr.read())
    try:
        await eventually(
            lambda: connection.fetchval("SELECT to_regclass('immich_indexer.worker') IS NOT NULL"), seconds=60
        )
        await eventually(lambda: connection.fetchval("SELECT count(*) FROM immich_indexer.worker"), seconds=60)

        # uploaded, read, found
        scene = next(scene for scene in SCENES if scene.name == "receipt-invoice")
        drawn = scene.draw()
        buffer = io.BytesIO()
        drawn.image.save(buffer, "JPEG", quality=80)
        photo = await immich.upload(buffer.getvalue(), owner=owner)
        bad = await immich.upload(b"no picture", owner=owner)
        await eventually(lambda: connection.fetchval("SELECT count(digest) FROM immich_indexer.photo"), seconds=60)
        await idle(connection, seconds=60)
        right, all_lines = score(drawn.lines, await lines_of(connection, photo))
        assert right >= 0.9 * all_lines
        assert (await vector_of(connection, photo)).shape == (512,)
        assert str(photo) in await command("search", "发票")
        assert str(photo) in await command("search", "--mode", "clip", "--user", "ann@example.org", "发票")
        assert "nothing" in await command("search", "ocr:没有这个")
        assert await immich.ocr_filter(["发票"], owner) == [photo]

        # status
        state = json.loads(await command("status", "--json"))
        assert (state["scope"], state["total"], state["indexed"], state["withText"]) == ("all", 2, 1, 1)
        assert (state["failed"], state["workersAlive"]) == (1, 1)
        assert [worker["device"] for worker in state["workers"]]
        (failure,) = state["failures"]
        assert (failure["assetId"], failure["fileName"], failure["givenUp"]) == (str(bad), "IMG_0001.jpg", True)
        assert "not a readable picture" in failure["error"]
        shown = await command("status")
        assert "not a readable picture" in shown
        assert "IMG_0001.jpg" in shown
        assert state["vector"]["advice"] in shown, "a column of 512 dimensions has no room for words"
        assert state["demoModel"].startswith("cn-clip ")
        assert f"{state['demoModel']} is only for the demo" in shown

        # the bad preview is made well on disk, where no event tells of it
        path = await connection.fetchval("SELECT path FROM asset_file WHERE \"assetId\" = $1 AND type = 'preview'", bad)
        immich.media.write(path, buffer.getvalue())
        assert "1 photo" in await command("retry", str(bad))
        await idle(connection)
        assert await lines_of(connection, bad) == await lines_of(connection, photo)

        # one photo again
        again = await command("reprocess", str(photo), "--ocr")
        assert drawn.lines[0] in again
        await command("reprocess", "00000000-0000-0000-0000-000000000000", expect=1)
        assert "there is no photo 00000000" in command.output[-1]
        await command("reprocess", "--no-text", "--after", "2000-01-01", expect=0)  # there is none, nothing to ask
        await command("reprocess", "--after", "2000-01-01", expect=1)
        assert "this would read 2 photos again: add --yes" in command.output[-1]
        assert "nothing to do" in await command("reprocess", "--other-model", "--yes")
        assert "queued 2 of 2 photos" in await command("reprocess", "--after", "2000-01-01", "--yes")
        await idle(connection)
        await connection.execute("DELETE FROM immich_indexer.photo WHERE asset_id = $1", bad)
        assert "queued 1 photo" in await command("backfill")
        assert await connection.fetchval("SELECT count(digest) = 2 FROM immich_indexer.photo")

        after = await command("doctor", expect=1)
        [fails] = [line for line in after.splitlines() if line.startswith("fails")]
        assert "model of random weights" in fails

        assert model_libraries(service.pid) == set(), "only the processes of its models have them"
        assert set.union(*(model_libraries(child) for child in children(service.pid))) >= {"cv2", "torch"}

        service.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(service.wait(), 10) == 0
    finally:
        if service.returncode is None:
            service.kill()
        command.output.append((await listening).decode())
        await service.communicate()
    log = command.output[-1]
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert {"indexing", "given up", "stopping", "stopped"} <= set(events)
    for said in command.output:
        assert "hunter2" not in said
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.worker") == 0


async def test_a_database_that_is_not_there_is_named_without_its_password(command: Command):
    name = urlsplit(command.environment["DB_URL"]).path[1:]
    command.environment["DB_URL"] = command.environment["DB_URL"].replace(f"/{name}", "/nowhere")
    command.environment["TASKS"] = "ocr"
    for name in ("status", "backfill", "doctor", "retry"):
        await command(name, expect=1)
    await command.run(expect=1)
    text = "".join(command.output)
    assert text.count("nowhere") >= 5
    assert "hunter2" not in text
    assert "Traceback" not in text


async def test_a_newer_schema_is_refused(command: Command, connection):
    """Another machine was upgraded: this one must not work on what it does not know."""
    command.environment["TASKS"] = "ocr"
    await command("install")
    await connection.execute("INSERT INTO immich_indexer.migration (version, name) VALUES (999, 'of the future')")
    for asked in (command.run, *(partial(command, name) for name in ("install", "status", "backfill"))):
        await asked(expect=1)
        said = [line for line in command.output[-1].splitlines() if line.startswith("error: ")]
        assert len(said) == 1, command.output[-1]
        assert "has schema version 999, this immich-indexer knows" in said[0]
        assert said[0].endswith("upgrade immich-indexer")
        assert "Traceback" not in command.output[-1]
    assert "upgrade immich-indexer" in await command("doctor", expect=1)


async def test_wrong_settings_are_named(command: Command):
    command.environment["DEVICE"] = "abacus"
    await command.run(expect=1)
    assert "DEVICE" in command.output[-1]
    assert "Traceback" not in command.output[-1]


async def test_a_model_wider_than_the_column_is_held_with_advice(command: Command, tmp_path):
    write_small_checkpoint(tmp_path / "wide.pt", dimensions=768)
    command.environment |= {"CLIP_MODEL": str(tmp_path / "wide.pt"), "TASKS": "clip"}
    process = await command.start()
    assert process.stderr is not None
    try:
        async with asyncio.timeout(100):
            while b"an engine is held" not in (line := await process.stderr.readline()):
                assert line, "it has ended"
    finally:
        process.terminate()
        await process.communicate()
    assert b"ViT-L-14__openai" in line
    assert process.returncode == 0
    assert "nothing" in await command("search", "没有这个")
    assert "searching by words alone: smart_search.embedding is vector(512)" in command.output[-1]
    await command("search", "--mode", "clip", "没有这个", expect=1)
