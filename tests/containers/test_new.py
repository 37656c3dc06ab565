"""A new Immich with ours, from README's commands, and what may happen to its containers."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.containers.engine import CONTAINERS, PREFIX, docker, until
from tests.containers.stack import Stack, immich_in, nothing_left, restart_database


@pytest.fixture(scope="module")
def stack(images: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its folder, as `git clone` and `cp .env.example .env` leave it; it is taken away in the end."""
    stack = Stack(tmp_path_factory.mktemp("new") / "immich-indexer", CLIP_MODEL=images)
    yield stack
    stack.down()


def test_one_command_brings_everything_up(stack):
    """Under Immich's own names; its own weights are a file of ours here, for no registry of weights answers."""
    stack.shell("docker compose up --detach")
    assert {*docker("ps", "--format", "{{.Names}}").split()} >= {*CONTAINERS}
    (role,) = stack.containers("role")
    assert docker("inspect", "--format", "{{.State.ExitCode}}", role) == "0"
    until("the gateway answers", lambda: "answering" in stack.log("gateway"))


# Here belong, once the indexer fetches weights by itself: a stack without them, which reads text and passes faces on,
# and weights that come then.


async def test_photos_are_read_and_found(stack, pictures, drawn):
    async with immich_in(stack.photos) as immich:
        assets = await immich.upload(pictures, 4)
        await immich.all_read(assets)
    word = max(re.findall(r"[\u4e00-\u9fff]{2,}", " ".join(drawn[0].lines)), key=len)[:4]
    assert str(assets[0]) in stack.indexer("search", "--mode", "ocr", word)


async def test_immich_is_answered_and_faces_are_passed_on(stack, pictures):
    entries = {
        "clip": {"clip": {"textual": {"modelName": "ViT-B-32__openai", "options": {}}}},
        "facial-recognition": {
            "facial-recognition": {
                "detection": {"modelName": "buffalo_l", "options": {"minScore": 0.7}},
                "recognition": {"modelName": "buffalo_l"},
            }
        },
    }
    async with aiohttp.ClientSession(f"http://127.0.0.1:{stack.gateway_port}") as session:
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("entries", json.dumps(entries["clip"]))
        form.add_field("text", "红色的圆")
        async with session.post("/predict", data=form) as response:
            assert response.status == 200
            assert len(json.loads((await response.json())["clip"])) == 512
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("entries", json.dumps(entries["facial-recognition"]))
        form.add_field("image", pictures[0].read_bytes(), filename="blob")
        async with session.post("/predict", data=form) as response:
            assert [face["score"] for face in (await response.json())["facial-recognition"]] == [0.875]


# Here belong, once our own command makes the role: one made before Immich's tables are there, and a changed password.


def test_the_role_is_made_again_at_each_start(stack):
    stack.compose("up", "--detach")
    (role,) = stack.containers("role")
    assert docker("inspect", "--format", "{{.State.ExitCode}}", role) == "0"
    stack.indexer("status", "--json")


async def test_killed_databases_and_indexers_lose_nothing(stack, pictures):
    async with immich_in(stack.photos) as immich:
        assets = await immich.upload(pictures, 4)
    (indexer,) = stack.containers("indexer")
    docker("kill", indexer)
    async with immich_in(stack.photos) as immich:
        assets += await immich.upload(pictures, 4)
    docker("start", indexer)
    until("it is at work", lambda: json.loads(stack.indexer("status", "--json", check=False) or "{}").get("workers"))
    docker("kill", "immich_postgres")
    restart_database()
    async with immich_in(stack.photos) as immich:
        assets += await immich.upload(pictures, 4)
        await immich.all_read(assets)
    assert docker("inspect", "--format", "{{.State.Running}}", indexer) == "true"


async def test_two_indexers_share_the_work_and_one_is_cut_off(stack, pictures):
    stack.compose("up", "--detach", "--no-recreate", "--scale", "indexer=2", "indexer")
    first, second = stack.containers("indexer")
    until("both are at work", lambda: len(json.loads(stack.indexer("status", "--json"))["workers"]) >= 2)
    async with immich_in(stack.photos) as immich:
        assets = await immich.upload(pictures, 6)
        docker("network", "disconnect", "immich_default", second)
        await immich.all_read(assets)
        docker("network", "connect", "immich_default", second)
        docker("stop", first)  # whatever comes now is read by the one that was cut off
        await immich.all_read(await immich.upload(pictures, 2))
        docker("start", first)
    stack.compose("up", "--detach", "--no-recreate", "--scale", "indexer=1", "indexer")


async def test_photos_of_another_user_are_read_as_that_user(stack, pictures):
    """On a NAS the folder is the first user's, and closed to others."""
    async with immich_in(stack.photos) as immich:
        stack.compose("stop", "indexer")
        assets = await immich.upload(pictures, 2)
        for path in (stack.photos, *stack.photos.rglob("*")):
            os.chown(path, 1026, 100)
            path.chmod(0o700 if path.is_dir() else 0o600)
        stack.compose("start", "indexer")
        await immich.tried(assets)
        assert await immich.unread(assets) == 2
        stack.set(INDEXER_UID="1026", INDEXER_GID="100")
        stack.compose("up", "--detach")
        await immich.all_read(assets)
    (indexer,) = stack.containers("indexer")
    assert docker("exec", indexer, "id", "-u") == "1026"


async def test_a_limit_of_memory_is_kept(stack, pictures):
    (indexer,) = stack.containers("indexer")
    docker("update", "--memory", "1500m", "--memory-swap", "1500m", indexer)
    docker("restart", indexer)
    async with immich_in(stack.photos) as immich:
        await immich.all_read(await immich.upload(pictures, 4))
    assert docker("inspect", "--format", "{{.State.OOMKilled}} {{.RestartCount}}", indexer) == "false 0"


async def test_immichs_stock_database_image_can_be_put_back(stack, pictures):
    """Under the same data. Whether zhparser goes from the database can only be seen where it was."""
    async with immich_in(stack.photos) as immich:
        had = await immich.pool.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'zhparser'")
    stock = f"{PREFIX}/immich-app/postgres:14-vectorchord0.4.3-pgvectors0.2.0"
    docker("tag", stock, f"{PREFIX}/stock:14")
    stack.set(POSTGRES_IMAGE=f"{PREFIX}/stock")
    stack.compose("up", "--detach", "--no-build")
    assert docker("inspect", "--format", "{{.Config.Image}}", "immich_postgres") == f"{PREFIX}/stock:14"
    async with immich_in(stack.photos) as immich:
        await immich.all_read(await immich.upload(pictures, 2))
        async with asyncio.timeout(360):  # RECONCILE_SECONDS and a little
            while had and await immich.pool.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'zhparser'"):
                await asyncio.sleep(1)
    dump = docker("exec", "immich_postgres", "pg_dump", "--username=postgres", "--schema-only", "immich")
    assert "immich_indexer" in dump
    assert "EXTENSION IF NOT EXISTS zhparser" not in dump


async def test_uninstalling_leaves_nothing_in_the_database(stack):
    """The commands of docs/operations.md, of which `stop` and `down` are of our services alone here."""
    stack.compose("stop", "indexer", "gateway")
    for line in uninstalling():
        stack.shell(line)
    async with immich_in(stack.photos) as immich:
        ours = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'immich_indexer%'"
        assert await immich.pool.fetchval(ours) == 0
        assert await immich.pool.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = 'ii'") == 0
        assert await immich.pool.fetchval("SELECT count(*) FROM smart_search") > 0


def uninstalling() -> list[str]:
    """The two commands in the middle of docs/operations.md's section, for `compose.yaml`."""
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    block = re.search(r"^## Uninstall\n.*?^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert block is not None
    lines = block[1].replace(" --file compose.existing.yaml", "").splitlines()
    assert len(lines) == 4
    return lines[1:3]


def test_down_with_its_volumes_leaves_nothing(stack):
    stack.compose("down", "--volumes")
    assert not nothing_left()
