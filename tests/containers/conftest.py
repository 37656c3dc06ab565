"""A container engine, and images for all that the compose files name; see CONTRIBUTING.md, `make containers`."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from indexer.demo.pictures import Drawn, draw_all
from tests.containers.engine import BEFORE, IMAGE, PREFIX, ROOT, SMALL, docker, run, torch_index
from tests.containers.stack import nothing_left

_ENGINE = "on Debian, as root: apt-get install docker.io debootstrap s3fs; dockerd &"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "sql", "indexer", "gateway")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("containers")


@pytest.fixture(scope="session", autouse=True)
def engine() -> Iterator[None]:
    """It is there, and has no Immich of somebody's."""
    if os.geteuid() != 0 or shutil.which("docker") is None or run("docker", "info", check=False).returncode != 0:
        pytest.exit(f"no container engine can be used here: {_ENGINE}", returncode=1)
    if left := nothing_left():
        pytest.exit(f"this engine has an Immich already ({', '.join(left)}): use another machine", returncode=1)
    yield
    assert not nothing_left()


@pytest.fixture(scope="session")
def images(engine: None) -> str:
    """Builds what the compose files name. Returns the path of the demo's weights in our image."""
    run("bash", ROOT / "tests/containers/standins.sh", PREFIX)
    build(ROOT, "latest")
    run("bash", ROOT / "tests/containers/standins.sh", PREFIX, IMAGE)
    docker(
        *("build", "--quiet", "--tag", f"{PREFIX}/immich-postgres-zhparser:14", "--target", "files"),
        *("--build-arg", f"IMMICH_POSTGRES={PREFIX}/immich-app/postgres:14-vectorchord0.4.3-pgvectors0.2.0"),
        *("--build-arg", f"ZHPARSER_IMAGE={PREFIX}/abcfy2/zhparser:14", str(ROOT / "postgres")),
    )
    return docker("run", "--rm", IMAGE, "python", "-c", "from indexer.demo import drawn; print(drawn.WEIGHTS)")


@pytest.fixture(scope="session")
def small(images: str) -> str:
    """The tag of an image that is ours but for its weights, which are small and have to come from a host."""
    standins = ROOT / "tests/containers/standins"
    docker(
        *("build", "--quiet", "--tag", f"{IMAGE}:{SMALL}", "--build-arg", f"IMAGE={IMAGE}:latest"),
        *("--file", str(standins / "weights.Dockerfile"), str(ROOT / "tests/support/small_weights")),
    )
    return SMALL


@pytest.fixture(scope="session")
def image_before(images: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Our image of an earlier commit: UPGRADE_FROM, the last tag or else the last with other SQL.

    The packages are today's.
    """
    commit = (
        os.environ.get("UPGRADE_FROM")
        or run("git", "describe", "--tags", "--abbrev=0", check=False).stdout.strip()
        or run("git", "log", "-1", "--format=%H^", "--", "sql").stdout.strip()
    )
    folder = tmp_path_factory.mktemp("before")
    archive = subprocess.run(["git", "archive", commit, *SOURCES], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    build(folder, BEFORE)
    return BEFORE


def build(context: Path, tag: str) -> None:
    """Our image, with torch for processors."""
    with torch_index() as index:
        docker(
            *("build", "--quiet", "--network", "host", "--tag", f"{IMAGE}:{tag}"),
            *("--build-arg", f"PYTHON_IMAGE={PREFIX}/library/python:3.12-slim-bookworm"),
            *("--build-arg", f"TORCH_CPU_INDEX_URL={index}", str(context)),
        )


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Drawn]:
    """Some pictures with text, in JPEG."""
    found = draw_all(tmp_path_factory.mktemp("pictures"), every=9)
    return [picture for picture in found if picture.path.suffix == ".jpeg" and picture.lines][:4]


@pytest.fixture(scope="session")
def pictures(drawn: list[Drawn]) -> list[Path]:
    """Their files."""
    return [picture.path for picture in drawn]
