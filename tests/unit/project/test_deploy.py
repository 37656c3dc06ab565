"""The files for Docker, as far as they can be told without it: well-formed, and true to each other and to the code."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import yaml

from indexer.settings import Settings

ROOT = Path(__file__).parents[3]
COMPOSE = ("compose.yaml", "compose.existing.yaml", "compose.cuda.yaml", "compose.juicefs.yaml", "deploy/services.yaml")
TOGETHER = (
    ("compose.yaml",),
    ("compose.existing.yaml",),
    ("compose.yaml", "compose.cuda.yaml"),
    ("compose.existing.yaml", "compose.cuda.yaml"),
    ("compose.yaml", "compose.juicefs.yaml"),
    ("compose.existing.yaml", "compose.cuda.yaml", "compose.juicefs.yaml"),
)
DOCKERFILES = ("Dockerfile", "postgres/Dockerfile")
OURS = ("indexer", "gateway")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
# Settings that stand in a file.
FILES = {f"DB_{part}_FILE" for part in ("URL", "HOSTNAME", "USERNAME", "PASSWORD", "DATABASE_NAME")}


def services(name: str) -> dict[str, dict[str, Any]]:
    """As they stand in one file."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["services"]


def tool(name: str | Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs one of the programs of requirements-dev.lock in the repository, with nothing else in its environment."""
    return subprocess.run(
        [str(Path(sys.executable).parent / name), *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        text=True,
        capture_output=True,
        check=False,
    )


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Docker Compose itself; the package's own command forgets its exit status."""
    package = importlib.util.find_spec("compose")
    assert package is not None
    assert package.origin is not None
    return tool(Path(package.origin).parent / "docker-compose", *arguments, **environment)


@cache
def resolved(*names: str, **environment: str) -> dict[str, Any]:
    """As Docker Compose itself reads them together, with .env.example and two passwords as .env."""
    files = [part for name in names for part in ("--file", name)]
    passwords = {"DB_PASSWORD": "one", "INDEXER_DB_PASSWORD": "two"}
    done = compose("--env-file=.env.example", *files, "config", "--format=json", **(passwords | environment))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_are_what_the_specification_says(name):
    done = tool("check-jsonschema", "--builtin-schema=vendor.compose-spec", name)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_compose_reads_them_together(names):
    config = resolved(*names)
    for service in config["services"].values():
        assert service.get("image")
        for name in service.get("depends_on", {}):
            assert name in config["services"]
    for name in OURS:
        ours = config["services"][name]
        assert ours["read_only"] is True
        assert ours["cap_drop"] == ["ALL"]
        assert ours["image"] == f"immich-indexer:latest{'-cuda' * ('compose.cuda.yaml' in names)}"
        assert (ours["build"]["args"].get("VARIANT") == "cuda") == ("compose.cuda.yaml" in names)
        assert ours["environment"]["DB_PASSWORD"] == "two"
        assert ours["environment"]["DB_USERNAME"] == "ii"
    assert config["services"]["gateway"]["healthcheck"]["test"] == ["CMD", "python", "-m", "gateway.ping"]
    assert config["services"]["indexer"]["healthcheck"]["test"] == ["CMD", "python", "-m", "indexer.work.ping"]
    if "compose.existing.yaml" in names:
        assert config["services"].keys() == set(OURS)


def test_without_a_password_compose_refuses():
    for name in ("compose.yaml", "compose.existing.yaml"):
        done = compose(
            "--env-file=/dev/null", "--file", name, "config", UPLOAD_LOCATION="/photos", DB_DATA_LOCATION="/db"
        )
        assert done.returncode != 0
        assert "PASSWORD" in done.stderr


def test_the_token_is_part_of_immichs_address():
    for token in ("", "correct-horse"):
        immich = resolved("compose.yaml", GATEWAY_TOKEN=token)["services"]["immich-server"]
        url = immich["environment"]["IMMICH_MACHINE_LEARNING_URL"]
        # Immich takes both as relative to it: without the last slash the token would be dropped.
        assert urljoin(url, "ping") == f"http://gateway:8080/{token}{'/' * bool(token)}ping"
        assert url.endswith("/")


@pytest.mark.parametrize("name", ["docs/install.md", "docs/install.zh-CN.md", ".env.example", "indexer/settings.py"])
def test_the_token_is_written_with_the_last_slash_everywhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "gateway:8080/TOKEN/" in text
    assert not re.search(r"gateway:8080/TOKEN(?!/)", text)


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_what_an_env_shared_with_immich_holds_reaches_ours(names):
    """The login stays that of our role, whatever files Immich reads its own from; photos are where Immich has them."""
    config = resolved(*names, IMMICH_MEDIA_LOCATION="/usr/src/app/upload", DB_PASSWORD_FILE="/run/secrets/db")
    for name in OURS:
        ours = config["services"][name]
        assert not any(ours["environment"][f"DB_{part}_FILE"] for part in ("HOSTNAME", "USERNAME", "PASSWORD"))
        for volume in ours.get("volumes", []):
            assert volume["target"] in ("/models", "/usr/src/app/upload")
    if "compose.yaml" in names:
        (media,) = [v for v in config["services"]["immich-server"]["volumes"] if v["source"].endswith("/library")]
        assert media["target"] == "/usr/src/app/upload"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_nothing_to_say(name):
    done = tool("hadolint", name)
    assert done.returncode == 0, done.stdout


def test_workflows_are_what_github_reads():
    workflows = sorted(str(path.relative_to(ROOT)) for path in (ROOT / ".github/workflows").glob("*.yml"))
    assert workflows
    for schema, files in (("github-workflows", workflows), ("dependabot", [".github/dependabot.yml"])):
        done = tool("check-jsonschema", f"--builtin-schema=vendor.{schema}", *files)
        assert done.returncode == 0, done.stdout
    done = tool("zizmor", "--offline", "--no-progress", "--quiet", ".github")
    assert done.returncode == 0, done.stdout


def test_workflows_run_what_there_is():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                for words in re.findall(r"^make (.+)$", step.get("run", ""), flags=re.MULTILINE):
                    assert set(words.split()) <= targets


@pytest.mark.parametrize("name", COMPOSE)
def test_every_variable_given_to_our_services_is_a_setting(name):
    known = {field.upper() for field in Settings.model_fields} | FILES
    for service in services(name).keys() & set(OURS):
        assert services(name)[service].get("environment", {}).keys() <= known


def test_every_variable_of_the_example_is_read():
    """By compose, in one of the files, or by our services, which are given all of them."""
    known = {field.upper() for field in Settings.model_fields} | FILES
    used = set(re.findall(r"\$\{([A-Z_]+)", "".join((ROOT / name).read_text(encoding="utf-8") for name in COMPOSE)))
    assert set(re.findall(r"^#? ?([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE)) <= known | used


def test_the_example_holds_values_that_the_code_takes(monkeypatch):
    for name, value in re.findall(r"^#? ?([A-Z_]+)=(.+)$", EXAMPLE, flags=re.MULTILINE):
        monkeypatch.setenv(name, value)
    Settings.load(_env_file=None)


@pytest.mark.parametrize("name", COMPOSE)
def test_every_variable_without_a_default_is_in_the_example(name):
    offered = set(re.findall(r"^#? ?([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE))
    needed = set(re.findall(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}", (ROOT / name).read_text(encoding="utf-8")))
    assert needed <= offered


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_every_file_named_is_there(names):
    for service in resolved(*names)["services"].values():
        build = service.get("build")
        if build is not None:
            assert (Path(build["context"]) / build["dockerfile"]).is_file()
            declared = set(
                re.findall(r"^ARG (\w+)", (Path(build["context"]) / "Dockerfile").read_text(), flags=re.MULTILINE)
            )
            assert build.get("args", {}).keys() <= declared
        for volume in service.get("volumes", []):
            source = volume.get("source", "")
            if volume["type"] == "bind" and source.startswith(str(ROOT / "sql")):
                assert Path(source).is_file()


def test_only_what_a_person_needs_is_published():
    def published(*names: str, **environment: str) -> dict[str, list[tuple[str | None, str]]]:
        found = resolved(*names, **environment)["services"]
        ports = {name: service.get("ports", []) for name, service in found.items()}
        return {n: [(p.get("host_ip"), p["published"]) for p in given] for n, given in ports.items() if given}

    here = {"gateway": [("127.0.0.1", "8080")]}
    assert published("compose.yaml") == here | {"immich-server": [(None, "2283")]}
    assert published("compose.existing.yaml") == here
    assert published("compose.existing.yaml", GATEWAY_PUBLISH="9000") == {"gateway": [(None, "9000")]}


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_photos_are_never_mounted_for_writing(names):
    for name in OURS:
        for volume in resolved(*names)["services"][name].get("volumes", []):
            assert volume["target"] == "/models" or (volume["target"] == "/data" and volume["read_only"] is True)
    (media,) = [v for v in resolved(*names)["services"]["indexer"]["volumes"] if v["target"] == "/data"]
    assert media["source"] == str(ROOT / "library")
    if "compose.juicefs.yaml" in names:
        assert media["bind"]["propagation"] == "rslave"
        assert not media["bind"].get("create_host_path")


def test_the_image_gets_what_it_copies():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists()
        assert source in allowed


def test_the_image_has_the_versions_of_the_lock_file():
    lock = set((ROOT / "requirements.lock").read_text(encoding="utf-8").split())
    for name, version in re.findall(r"(\w[\w-]*)==([\d.]+)", (ROOT / "Dockerfile").read_text()):
        assert f"{name.removesuffix('-gpu')}=={version}" in lock


def test_the_database_is_of_one_major_version():
    text = (ROOT / "postgres/Dockerfile").read_text()
    (major,) = re.findall(r"^ARG PG_MAJOR=(\d+)", text, flags=re.MULTILINE)
    assert re.search(rf"^ARG IMMICH_POSTGRES=\S+:{major}-", text, flags=re.MULTILINE)
    assert re.search(rf"^ARG ZHPARSER_IMAGE=\S+[:-]{major}$", text, flags=re.MULTILINE)
    database = resolved("compose.yaml")["services"]["database"]
    assert database["image"].endswith(f":{major}")
    for name, value in database["build"]["args"].items():
        assert re.search(rf"^ARG {name}={re.escape(value)}$", text, flags=re.MULTILINE), "two places, one truth"
    assert resolved("compose.yaml")["services"]["role"]["image"] == database["image"]


def test_what_compose_builds_with_is_what_the_image_is_built_with():
    """The defaults of deploy/services.yaml are those of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text()
    for name, value in resolved("compose.yaml")["services"]["indexer"]["build"]["args"].items():
        assert re.search(rf"^ARG {name}={re.escape(value)}$", text, flags=re.MULTILINE), name


def test_nothing_runs_as_root():
    assert re.search(r"^USER (?!0|root)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)


def test_installing_says_what_it_does(tmp_path):
    """A step takes minutes: each is announced before it begins, and pip tells of its own, without a terminal too."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$2" != venv ] || { mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; }\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "install", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    steps = [line for line in done.stdout.splitlines() if re.match(r"\d/\d ", line) or " -m " in line]
    assert [re.sub(r" .*", "", line) for line in steps[::2]] == ["1/4", "2/4", "3/4", "4/4"]
    assert all(" -m " in line and "--quiet" not in line for line in steps[1::2])
