"""Ours beside an Immich that is already there: from a checkout, and from the one file that people paste."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from indexer.demo.drawn import WEIGHTS
from tests.containers.engine import CONTAINERS, IMAGE, ROOT, docker, health, run, started, until
from tests.containers.stack import DATABASE_PASSWORD, PASSWORD, Stack, immich_in, of_readme

IMMICH = ("immich-server", "immich-machine-learning", "redis", "database")
LOGIN = ("exec", "-i", "immich_postgres", "psql", "--username=postgres", "--dbname=immich", "--tuples-only")


@pytest.fixture(scope="module")
def immich_stack(images: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Immich alone."""
    stack = Stack(tmp_path_factory.mktemp("immich") / "immich")
    stack.compose("up", "--detach", *IMMICH)
    until("Immich is healthy", lambda: health("immich_server") == "healthy")
    yield stack
    stack.down()


@pytest.fixture(scope="module")
def ours(
    immich_stack: Stack, images: str, image_before: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Our folder, as README's commands leave it, with the image of the version before."""
    stack = Stack(tmp_path_factory.mktemp("ours") / "immich-indexer", "compose.existing.yaml")
    copy = of_readme("An existing Immich", "git clone")[1]
    stack.shell(copy)
    stack.set(
        UPLOAD_LOCATION=str(immich_stack.photos),
        CLIP_MODEL=images,
        INDEXER_VERSION=image_before,
    )
    yield stack
    stack.down()


async def test_ours_starts_before_immich(immich_stack, ours, pictures):
    """After the machine itself was started, say."""
    up, doctor = of_readme("An existing Immich", "git clone")[2:]
    docker("stop", *CONTAINERS)
    with ThreadPoolExecutor() as pool:
        coming = pool.submit(ours.shell, up)
        until("it waits for the database", lambda: "waiting: cannot reach the database" in ours.log("role"))
        docker("start", *reversed(CONTAINERS))
        coming.result()
    async with immich_in(immich_stack.photos) as immich:
        await immich.all_read(await immich.upload(pictures, 3))
    assert ours.failing(doctor) == ["weights"], "nothing but that they are the demo's"


async def test_an_upgrade_reads_on(immich_stack, ours, pictures):
    async with immich_in(immich_stack.photos) as immich:
        waiting = await immich.upload(pictures, 3)
        ours.set(INDEXER_VERSION="latest")
        ours.compose("up", "--detach")
        await immich.all_read([*waiting, *await immich.upload(pictures, 2)])
    assert docker("inspect", "--format", "{{.Config.Image}}", *ours.containers("indexer")) == f"{IMAGE}:latest"
    state = json.loads(ours.indexer("status", "--json"))
    assert state["indexed"] == state["total"]
    assert state["failed"] == 0


def test_down_leaves_immich_alone(immich_stack, ours):
    ours.compose("down", "--volumes")
    left = docker("ps", "--all", "--format", "{{.Names}}").split()
    assert {name for name in left if name.startswith("immich")} == {*CONTAINERS}


async def test_the_pasted_file_is_all_that_is_needed(immich_stack, pictures, tmp_path):
    """In an empty folder, with three values written into it; and then a model of one's own, which comes later."""
    docker(*LOGIN, "--command=DROP OWNED BY ii CASCADE", "--command=DROP ROLE ii")
    text = (ROOT / "deploy/immich-indexer.yaml").read_text(encoding="utf-8")
    written = {
        "UPLOAD_LOCATION": str(immich_stack.photos),
        "DB_PASSWORD": DATABASE_PASSWORD,
        "INDEXER_DB_PASSWORD": PASSWORD,
    }
    for place, value in written.items():
        text = re.sub(rf"\$\{{{place}:\?[^}}]*}}", value, text)
    text = text.replace("ghcr.io/OWNER/immich-indexer:latest", f"{IMAGE}:latest")
    text = text.replace("${CLIP_MODEL:-ViT-B-16}", "/models/own.pt")
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{immich_stack.gateway_port}")
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    pasted = Pasted(tmp_path)
    try:
        up, doctor = of_readme("An existing Immich", "docker compose")
        pasted.shell(up)
        assert "our schema" not in pasted.failing(doctor), "README's two lines are pasted together"
        containers = [*pasted.containers("indexer"), *pasted.containers("gateway")]
        since = [started(container) for container in containers]
        async with immich_in(immich_stack.photos) as immich:
            assets = await immich.upload(pictures, 3)
            await immich.all_have_text(assets)
            assert await immich.unread(assets) == 3
            for suffix in (".pt", ".json"):
                pasted.compose("cp", str(WEIGHTS.with_suffix(suffix)), f"indexer:/models/own{suffix}")
            await immich.all_read(assets, seconds=90)
        assert [started(container) for container in containers] == since
        assert pasted.failing(doctor) == ["weights"]
        assert [path.name for path in tmp_path.iterdir()] == ["compose.yaml"]
    finally:
        pasted.down()


class Pasted(Stack):
    """A folder with one file in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = []


def test_a_typing_error_in_the_folder_is_said(immich_stack, tmp_path):
    text = (ROOT / "deploy/immich-indexer.yaml").read_text(encoding="utf-8")
    (tmp_path / "compose.yaml").write_text(text.replace("ghcr.io/OWNER/immich-indexer", IMAGE), encoding="utf-8")
    environment = {"UPLOAD_LOCATION": str(tmp_path / "nowhere"), "DB_PASSWORD": "x", "INDEXER_DB_PASSWORD": "x"}
    pasted = Pasted(tmp_path)
    done = run(*pasted.command("create", "indexer"), folder=tmp_path, check=False, **environment)
    run(*pasted.command("down", "--volumes"), folder=tmp_path, **environment)
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert not (tmp_path / "nowhere").exists()
