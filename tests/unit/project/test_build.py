"""How the images are built and released, as far as it can be told without an engine."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.unit.project.test_deploy import ROOT, compose, tool

DOCKERFILES = ("Dockerfile", "postgres/Dockerfile")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_nothing_to_say(name):
    done = tool("hadolint", name)
    assert done.returncode == 0, done.stdout


IMAGE = f"ghcr.io/owner/immich-indexer:1.2.3@sha256:{'0a' * 32}"


def test_a_release_fills_the_image_in(tmp_path):
    done = script("release-file.sh", IMAGE)
    assert done.returncode == 0, done.stderr
    (tmp_path / "compose.yaml").write_text(done.stdout, encoding="utf-8")
    done = compose(
        "config",
        "--format=json",
        folder=tmp_path,
        UPLOAD_LOCATION="/photos",
        DB_PASSWORD="one",
        INDEXER_DB_PASSWORD="two",
    )
    assert {service["image"] for service in json.loads(done.stdout)["services"].values()} == {IMAGE}


@pytest.mark.parametrize("image", [IMAGE.partition("@")[0], IMAGE.replace("owner", "Owner"), f"{IMAGE}0"])
def test_a_release_is_not_made_with_half_a_name(image):
    done = script("release-file.sh", image)
    assert done.returncode != 0
    assert image in done.stderr
    assert not done.stdout


def script(
    name: str, *arguments: str, folder: Path = ROOT / "deploy", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs one of the scripts of deploy/, or a copy of it in `folder`."""
    return subprocess.run(
        ["bash", str(folder / name), *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        text=True,
        capture_output=True,
        check=False,
    )


def base_images(folder: Path) -> list[list[str]]:
    """Argument, name and digest of each."""
    lines = (folder / "base-images.lock").read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


def test_every_base_image_has_a_place_for_its_digest():
    named = {argument: name for argument, name, _ in base_images(ROOT / "deploy")}
    for name in DOCKERFILES:
        text = (ROOT / name).read_text()
        bases = set(re.findall(r"^FROM \$\{(\w+)\}", text, flags=re.MULTILINE))
        stages = set(re.findall(r"^FROM \S+ AS (\w+)", text, flags=re.MULTILINE))
        assert set(re.findall(r"^FROM ([^\s$]+)", text, flags=re.MULTILINE)) <= stages, "an image without an argument"
        for argument in bases:
            assert re.search(rf"^ARG {argument}={re.escape(named[argument])}$", text, flags=re.MULTILINE)


def test_a_release_builds_on_known_bytes_only(tmp_path):
    """The workflow looks the digests up; until they are merged there is no release."""
    for name in ("base-images.sh", "base-images.lock"):
        (tmp_path / name).write_text((ROOT / "deploy" / name).read_text())
    lock = tmp_path / "base-images.lock"
    lock.write_text(re.sub(r"\S+$", "-", lock.read_text(), flags=re.MULTILINE))
    done = script("base-images.sh", "build-args", "postgres/Dockerfile", folder=tmp_path)
    assert done.returncode != 0
    assert 'run the workflow "Base images"' in done.stderr

    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "sha256:$(echo "$4" | sha256sum | cut -c 1-64)"\n')
    docker.chmod(0o755)
    done = script("base-images.sh", "update", folder=tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    digests = {argument: f"{name}@{digest}" for argument, name, digest in base_images(tmp_path)}
    for dockerfile, arguments in (
        ("Dockerfile", ["PYTHON_IMAGE"]),
        ("postgres/Dockerfile", ["IMMICH_POSTGRES", "ZHPARSER_IMAGE"]),
    ):
        done = script("base-images.sh", "build-args", dockerfile, folder=tmp_path)
        assert done.stdout.split() == [f"{argument}={digests[argument]}" for argument in arguments]


def test_a_registry_without_an_answer_changes_nothing(tmp_path):
    for name in ("base-images.sh", "base-images.lock"):
        (tmp_path / name).write_text((ROOT / "deploy" / name).read_text())
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    done = script("base-images.sh", "update", folder=tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode != 0
    assert base_images(tmp_path) == base_images(ROOT / "deploy")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_no_build_needs_more_than_the_base_images(name):
    """A `# syntax=` line fetches a front end from Docker Hub, whatever mirror is named."""
    assert not re.search(r"^#\s*syntax\s*=", (ROOT / name).read_text(), flags=re.MULTILINE | re.IGNORECASE)


@pytest.fixture
def install(tmp_path) -> Callable[..., tuple[int, str, list[str]]]:
    """Runs the Dockerfile's own lines that install the packages, with a pip that writes down what it is asked."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    (line,) = [line for line in text.splitlines() if line.startswith("RUN set -eu;")]
    for name, body in (("pip", f'echo "$*" >> {tmp_path}/asked'), ("python", "echo $CUDA")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def run(**arguments: str) -> tuple[int, str, list[str]]:
        (tmp_path / "asked").write_text("")
        given = {"VARIANT": "cpu", "ALLOW_CUDA": "0", "PIP_INDEX_URL": "pypi", "TORCH_CPU_INDEX_URL": "torchs"}
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA": "None"} | given | arguments
        done = subprocess.run(
            ["sh", "-c", line.removeprefix("RUN ")], env=environment, text=True, capture_output=True, check=False
        )
        return done.returncode, done.stderr, (tmp_path / "asked").read_text().splitlines()

    return run


def test_each_package_of_the_image_has_one_index(install):
    """Of two indexes pip takes the higher version of either: who publishes on one could stand in for any package."""
    assert not re.search(r"extra[_-]index", (ROOT / "Dockerfile").read_text(), flags=re.IGNORECASE)
    status, _, (everything, torch) = install()
    assert status == 0
    assert everything == "install --no-deps --require-hashes --index-url pypi --requirement packages.lock"
    assert re.fullmatch(r"install --no-deps --index-url torchs torch==[\d.]+ torchvision==[\d.]+", torch)
    status, _, asked = install(VARIANT="cuda", CUDA="13.0")
    assert status == 0
    assert all("--index-url pypi " in line for line in asked if line.startswith("install"))
    assert "--require-hashes --index-url pypi --requirement packages-cuda.lock" in asked[-1]


def test_an_image_for_processors_has_no_cuda_unless_it_is_allowed(install):
    status, said, _ = install(CUDA="13.0")
    assert status != 0
    assert "torchs gave torch with CUDA" in said
    status, _, asked = install(CUDA="13.0", ALLOW_CUDA="1")
    assert status == 0
    assert not re.search("no-deps.* torch==", asked[-1]), "it could not be loaded without what it needs"


def test_a_variant_that_there_is_not_is_said_at_once(install):
    status, said, asked = install(VARIANT="rocm")
    assert status != 0
    assert "rocm" in said
    assert not asked


def test_the_image_gets_what_it_copies():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {path for line in lines if line.startswith("!") for path in ROOT.glob(line[1:])}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for source in " ".join(copied).split():
        path = ROOT / source
        assert path.exists()
        assert allowed & {path, *path.parents}


def test_the_image_has_the_versions_of_the_lock_file():
    lock = set((ROOT / "requirements.lock").read_text(encoding="utf-8").split())
    for name, version in re.findall(r"(\w[\w-]*)==([\d.]+)", (ROOT / "Dockerfile").read_text()):
        assert f"{name.removesuffix('-gpu')}=={version}" in lock


def test_nothing_runs_as_root():
    assert re.search(r"^USER (?!0|root)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)


def packages(name: str) -> dict[str, list[str]]:
    """The digests of each package that a file of requirements names, by `name==version`."""
    lines = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            pin, *words = line.split()
            package, _, version = pin.partition(";")[0].partition("==")
            found[f"{canonicalize_name(package)}=={version}"] = [word for word in words if word.startswith("--hash=")]
    return found


def test_the_image_installs_what_the_lock_file_names_by_its_bytes():
    image, lock = packages("deploy/packages.lock"), packages("requirements.lock")
    assert image.keys() == {pin for pin in lock if not pin.startswith("torch")}, "run `make hashes`"
    cuda = packages("deploy/packages-cuda.lock")
    assert {pin.replace("onnxruntime-gpu==", "onnxruntime==") for pin in cuda} <= image.keys()
    build = packages("deploy/packages-build.lock")
    (backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert backend in build
    for name, digests in (image | cuda | build).items():
        assert digests, name
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", digest) for digest in digests)
