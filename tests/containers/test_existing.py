"""Ours beside an Immich that is already there: from a checkout, and from the one file that people paste."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import CONTAINERS, IMAGE, ROOT, docker, run, until
from tests.containers.stack import PASSWORD, Stack, immich_in

IMMICH = ("immich-server", "immich-machine-learning", "redis", "database")
LOGIN = ("exec", "-i", "immich_postgres", "psql", "--username=postgres", "--dbname=immich", "--tuples-only")


@pytest.fixture(scope="module")
def immich_stack(images: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Immich alone."""
    stack = Stack(tmp_path_factory.mktemp("immich") / "immich")
    stack.compose("up", "--detach", *IMMICH)
    until("Immich is healthy", lambda: "healthy" in docker("ps", "--filter", "name=immich_server"))
    yield stack
    stack.down()


@pytest.fixture(scope="module")
def ours(
    immich_stack: Stack, images: str, image_before: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Our folder, as `git clone` leaves it, of the version before."""
    stack = Stack(
        tmp_path_factory.mktemp("ours") / "immich-indexer",
        "compose.existing.yaml",
        UPLOAD_LOCATION=str(immich_stack.photos),
        CLIP_MODEL=images,
        INDEXER_VERSION=image_before,
    )
    yield stack
    stack.down()


def of_readme(start: str) -> list[str]:
    """The commands of README's section about an existing Immich, from the block that has `start` in it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^### An existing Immich\n(.*?)^### ", text, flags=re.MULTILINE | re.DOTALL)
    assert section is not None
    (block,) = [
        block for block in re.findall(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL) if start in block
    ]
    return block.splitlines()


async def test_ours_starts_before_immich(immich_stack, ours, pictures):
    """After the machine itself was started, say."""
    role, up, doctor = of_readme("git clone")[2:]
    ours.shell(role)
    docker("stop", *CONTAINERS)
    ours.shell(up)
    until("it waits for the database", lambda: "cannot reach the database" in ours.log("indexer"))
    docker("start", *reversed(CONTAINERS))
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


async def test_the_pasted_file_is_all_that_is_needed(immich_stack, images, pictures, tmp_path):
    """In an empty folder, with two values written into it; its role is made by README's command."""
    docker(*LOGIN, "--command=DROP OWNED BY ii CASCADE", "--command=DROP ROLE ii")
    text = (ROOT / "deploy/immich-indexer.yaml").read_text(encoding="utf-8")
    for place, value in {"UPLOAD_LOCATION": str(immich_stack.photos), "INDEXER_DB_PASSWORD": PASSWORD}.items():
        text = re.sub(rf"\$\{{{place}:\?[^}}]*}}", value, text)
    text = text.replace("ghcr.io/OWNER/immich-indexer:latest", f"{IMAGE}:latest")
    text = text.replace("${CLIP_MODEL:-ViT-B-16}", images).replace(
        "127.0.0.1:8080", f"127.0.0.1:{immich_stack.gateway_port}"
    )
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    pasted = Pasted(tmp_path)
    try:
        role, up, doctor = of_readme("run --rm")
        pasted.shell(role)
        pasted.shell(up)
        async with immich_in(immich_stack.photos) as immich:
            await immich.all_read(await immich.upload(pictures, 3))
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
    environment = {"UPLOAD_LOCATION": str(tmp_path / "nowhere"), "INDEXER_DB_PASSWORD": "x"}
    pasted = Pasted(tmp_path)
    done = run(*pasted.command("create", "indexer"), folder=tmp_path, check=False, **environment)
    run(*pasted.command("down", "--volumes"), folder=tmp_path, **environment)
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert not (tmp_path / "nowhere").exists()
