"""A new Immich with ours, from README's commands, and what may happen to its containers."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.containers.engine import CONTAINERS, IMAGE, PREFIX, docker, exit_status, health, started, until
from tests.containers.stack import PASSWORD, Stack, immich_in, nothing_left, of_readme, restart_database

FIRST_ROLE = "first-role"
WEIGHTS = "weights-host"
TEXT = {"clip": {"textual": {"modelName": "ViT-B-32__openai", "options": {}}}}
FACES = {
    "facial-recognition": {
        "detection": {"modelName": "buffalo_l", "options": {"minScore": 0.7}},
        "recognition": {"modelName": "buffalo_l"},
    }
}


@pytest.fixture(scope="module")
def stack(small: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its folder, as README's commands leave it; nobody has weights. It is taken away in the end."""
    stack = Stack(tmp_path_factory.mktemp("new") / "immich-indexer")
    copy = of_readme("A new Immich", "git clone")[1]
    stack.shell(copy)
    stack.set(
        INDEXER_VERSION=small,
        HF_ENDPOINT=f"http://{WEIGHTS}:8000",
        HTTPS_PROXY="http://127.0.0.1:9",  # Hugging Face, its mirror and ModelScope refuse
        SLOW_FIRST_START="40",
    )
    yield stack
    docker("rm", "--force", "--volumes", WEIGHTS, FIRST_ROLE, check=False)
    stack.down()


def test_the_role_waits_for_immichs_tables(stack):
    stack.compose("up", "--detach", "database")
    stack.compose("run", "--detach", "--no-deps", "--name", FIRST_ROLE, "role", "immich-indexer", "role")
    until("it waits", lambda: "lacks Immich's tables" in docker("logs", FIRST_ROLE))


def test_one_command_brings_everything_up_without_weights(stack):
    """Under Immich's own names, though Immich's first start takes longer than its own health check thinks right."""
    up = of_readme("A new Immich", "git clone")[2]
    stack.shell(up)
    assert {*docker("ps", "--format", "{{.Names}}").split()} >= {*CONTAINERS}
    assert exit_status(FIRST_ROLE) == 0
    docker("rm", "--volumes", FIRST_ROLE)
    assert exit_status(*stack.containers("role")) == 0


async def test_without_weights_text_is_found_and_faces_are_passed_on(stack, pictures, drawn):
    async with immich_in(stack.photos) as immich:
        assets = await immich.upload(pictures, 4)
        await immich.all_have_text(assets)
        assert await immich.unread(assets) == 4
    assert str(assets[0]) in stack.indexer("search", "--mode", "ocr", word_of(drawn[0].lines))
    status, answer = await asked(stack, TEXT, text="红色的圆")
    assert status == 503
    assert "the weights of ViT-B-16 are not there yet" in answer["message"]
    status, answer = await asked(stack, FACES, image=pictures[0].read_bytes())
    assert (status, [face["score"] for face in answer["facial-recognition"]]) == (200, [0.875])
    for service in ("indexer", "gateway"):
        until(f"{service} counts as healthy", lambda service=service: health(*stack.containers(service)) == "healthy")


async def test_weights_that_come_are_taken_up(stack, pictures):
    """Without a restart, and without a text being read again."""
    ours = [*stack.containers("indexer"), *stack.containers("gateway")]
    since = [started(container) for container in ours]
    async with immich_in(stack.photos) as immich:
        assets = await immich.pool.fetchval("SELECT array_agg(id) FROM asset")
        texts = await immich.texts(assets)
        docker(
            *("run", "--detach", "--name", WEIGHTS, "--network", "immich_default", f"{IMAGE}:small"),
            *("python", "-m", "http.server", "8000", "--directory", "/published"),
        )
        await immich.all_read(assets)
        assert await immich.texts(assets) == texts
        await immich.all_read(await immich.upload(pictures, 2))
    docker("rm", "--force", "--volumes", WEIGHTS)
    assert [started(container) for container in ours] == since
    async with asyncio.timeout(60):
        while (found := await asked(stack, TEXT, text="红色的圆"))[0] == 503:  # the gateway fetches by itself
            await asyncio.sleep(0.2)
    status, answer = found
    assert status == 200
    assert len(json.loads(answer["clip"])) == 512


def word_of(lines: list[str]) -> str:
    """Some Chinese characters of a text."""
    return max(re.findall(r"[\u4e00-\u9fff]{2,}", " ".join(lines)), key=len)[:4]


async def asked(stack: Stack, entries: dict[str, object], **fields: str | bytes) -> tuple[int, dict[str, object]]:
    """What the gateway answers where Immich would ask it: status and JSON."""
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("entries", json.dumps(entries))
    for name, value in fields.items():
        form.add_field(name, value, filename="blob" if isinstance(value, bytes) else None)
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{stack.gateway_port}") as session,
        session.post("/predict", data=form) as response,
    ):
        return response.status, await response.json()


def test_the_role_is_made_again_with_another_password(stack):
    """At each start; all else goes on with it."""
    for password in (PASSWORD, "another"):
        stack.set(INDEXER_DB_PASSWORD=password)
        stack.compose("up", "--detach")
        assert exit_status(*stack.containers("role")) == 0
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
    (indexer,) = stack.containers("indexer")
    stack.compose("stop", "indexer", "gateway")
    async with immich_in(stack.photos) as immich:
        left = "SELECT array_agg(name) FROM immich_indexer.worker WHERE seen_at > now() - interval '20 seconds'"
        assert f"{indexer[:12]}:1" not in (await immich.pool.fetchval(left) or []), "it has said that it ends"
        async with asyncio.timeout(40):
            while await immich.pool.fetchval(left):  # one that was replaced while the database was
                await asyncio.sleep(1)
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
