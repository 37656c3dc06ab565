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

from indexer.cli.role import role as command
from indexer.models.runtimes.device import INTEL_GPU
from indexer.settings import Settings

ROOT = Path(__file__).parents[3]
PASTED = "deploy/immich-indexer.yaml"
COMPOSE = (
    *("compose.yaml", "compose.existing.yaml", "compose.cuda.yaml", "compose.intel.yaml", "compose.juicefs.yaml"),
    *("deploy/services.yaml", PASTED),
)
TOGETHER = (
    ("compose.yaml",),
    ("compose.existing.yaml",),
    ("compose.yaml", "compose.cuda.yaml"),
    ("compose.existing.yaml", "compose.cuda.yaml"),
    ("compose.yaml", "compose.intel.yaml"),
    ("compose.existing.yaml", "compose.intel.yaml"),
    ("compose.yaml", "compose.juicefs.yaml"),
    ("compose.existing.yaml", "compose.cuda.yaml", "compose.juicefs.yaml"),
)
OURS = ("indexer", "gateway")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
# Settings that stand in a file.
FILES = {f"DB_{part}_FILE" for part in ("URL", "HOSTNAME", "USERNAME", "PASSWORD", "DATABASE_NAME")}


def without_tags(name: str) -> str:
    """One file, without Compose's own tags such as `!override`."""
    return re.sub(r" ![a-z]+$", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)


def services(name: str) -> dict[str, dict[str, Any]]:
    """As they stand in one file."""
    return yaml.safe_load(without_tags(name))["services"]


def tool(
    name: str | Path, *arguments: str, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs one of the programs of requirements-dev.lock, in the repository, with nothing else in its environment."""
    return subprocess.run(
        [str(Path(sys.executable).parent / name), *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"]} | environment,
        text=True,
        capture_output=True,
        check=False,
    )


def compose(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Docker Compose itself; the package's own command forgets its exit status."""
    package = importlib.util.find_spec("compose")
    assert package is not None
    assert package.origin is not None
    return tool(Path(package.origin).parent / "docker-compose", *arguments, folder=folder, **environment)


@cache
def resolved(*names: str, **environment: str) -> dict[str, Any]:
    """As Docker Compose itself reads them together, with .env.example and what a person fills in as .env."""
    files = [part for name in names for part in ("--file", name)]
    filled = {"DB_PASSWORD": "one", "INDEXER_DB_PASSWORD": "two"}
    if "compose.juicefs.yaml" in names:
        filled |= {"UPLOAD_LOCATION": "/mnt/photos/jfs/immich", "MOUNT_PARENT": "/mnt/photos"}
    done = compose("--env-file=.env.example", *files, "config", "--format=json", **(filled | environment))
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "a warning of what nobody has to mend"
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_are_what_the_specification_says(name, tmp_path):
    file = tmp_path / "compose.yaml"
    file.write_text(without_tags(name), encoding="utf-8")
    done = tool("check-jsonschema", "--builtin-schema=vendor.compose-spec", str(file))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_compose_reads_them_together(names):
    config = resolved(*names)
    variant = next((kind for kind in ("cuda", "intel") if f"compose.{kind}.yaml" in names), None)
    for service in config["services"].values():
        assert service.get("image")
        for name in service.get("depends_on", {}):
            assert name in config["services"]
    for name in OURS:
        ours = config["services"][name]
        assert ours["read_only"] is True
        assert ours["cap_drop"] == ["ALL"]
        assert ours["image"] == f"immich-indexer:latest{f'-{variant}' if variant else ''}"
        assert ours["build"]["args"].get("VARIANT") == variant
        assert ours["environment"]["DB_PASSWORD"] == "two"
        assert ours["environment"]["DB_USERNAME"] == "ii"
    assert config["services"]["gateway"]["healthcheck"]["test"] == ["CMD", "python", "-m", "gateway.ping"]
    assert config["services"]["indexer"]["healthcheck"]["test"] == ["CMD", "python", "-m", "indexer.work.ping"]
    if "compose.existing.yaml" in names:
        assert config["services"].keys() == {*OURS, "role"}


def test_the_indexer_alone_is_given_intels_graphics():
    for environment, group in ({}, "105"), ({"RENDER_GID": "992"}, "992"):
        config = resolved("compose.existing.yaml", "compose.intel.yaml", **environment)["services"]
        indexer = config["indexer"]
        assert [(each["source"], each["target"]) for each in indexer["devices"]] == [("/dev/dri", "/dev/dri")]
        assert indexer["group_add"] == [group]
        assert Settings.load(device=indexer["environment"]["DEVICE"], _env_file=None).device == INTEL_GPU
        for other in ("role", "gateway"):
            assert not {"devices", "group_add"} & config[other].keys()
            assert "DEVICE" not in config[other]["environment"]


def test_the_driver_of_intels_graphics_is_in_their_image_alone(tmp_path):
    """The very line of the Dockerfile, with programs that say what they are asked."""
    (line,) = re.findall(
        r"^    && (driver=.*?) \\\n    && (apt-get install .*?) \\\n", (ROOT / "Dockerfile").read_text(), re.M
    )
    for variant, packages in {"cpu": "libgomp1", "cuda": "libgomp1", "intel": "libgomp1 intel-opencl-icd"}.items():
        script = f"{line[0]} && {line[1].replace('apt-get', 'echo')}"
        said = subprocess.run(
            ["sh", "-euc", script], env={"VARIANT": variant}, text=True, capture_output=True, check=True
        )
        assert said.stdout == f"install --yes --no-install-recommends {packages}\n"


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
            assert volume["target"] in ("/models", "/usr/src/app/upload", "/mnt/photos")
    if "compose.juicefs.yaml" in names:
        path_map = config["services"]["indexer"]["environment"]["MEDIA_PATH_MAP"]
        assert path_map == "/usr/src/app/upload=/mnt/photos/jfs/immich"
    if "compose.yaml" in names:
        media = [v["target"] for v in config["services"]["immich-server"]["volumes"]]
        assert media == ["/usr/src/app/upload", "/etc/localtime"]


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_one_service_alone_logs_in_as_immich_and_makes_the_role_of_the_others(names):
    logins = {"DB_USERNAME": "theirs", "DB_PASSWORD": "their secret", "INDEXER_DB_PASSWORD": "ours"}
    services = resolved(*names, **logins)["services"]
    role = services["role"]
    assert role["command"][:2] == ["immich-indexer", "role"]
    assert role["image"] == services["indexer"]["image"]
    assert {variable: role["environment"][variable] for variable in logins} == logins
    for other in OURS:
        environment = services[other]["environment"]
        assert (environment["DB_USERNAME"], environment["DB_PASSWORD"]) == ("ii", "ours")
    assert services["indexer"]["depends_on"]["role"]["condition"] == "service_completed_successfully"


def test_a_slow_first_start_of_immich_is_waited_for():
    """Compose gives up on what was unhealthy once, as an Immich that ends because there is no database yet."""
    role = resolved("compose.yaml")["services"]["role"]
    assert role["depends_on"]["immich-server"]["condition"] == "service_started"
    assert "--after-immich" in role["command"]
    (patience,) = [option.default for option in command.params if option.name == "wait"]
    for name in ("deploy/services.yaml", PASTED):  # the gateway cannot log in before there is a role
        minutes = services(name)["gateway"]["healthcheck"]["start_period"].removesuffix("m")
        assert 60 * int(minutes) >= patience


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
    (media,) = photos(resolved(*names))
    assert media["read_only"] is True
    if "compose.juicefs.yaml" not in names:
        assert (media["source"], media["target"]) == (str(ROOT / "library"), "/data")


def photos(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Whatever is mounted into our services but the weights."""
    mounted = [volume for name in OURS for volume in config["services"][name].get("volumes", [])]
    return [volume for volume in mounted if volume["target"] != "/models"]


@pytest.mark.parametrize("names", [names for names in TOGETHER if "compose.juicefs.yaml" in names], ids="+".join)
def test_a_mount_that_is_made_anew_is_seen(names):
    """A container that is given the mount itself keeps it, dead; one that is given the folder above sees the next."""
    config = resolved(*names)
    (media,) = photos(config)
    path_map = config["services"]["indexer"]["environment"]["MEDIA_PATH_MAP"]
    assert media["source"] == media["target"] == "/mnt/photos"
    assert path_map == "/data=/mnt/photos/jfs/immich"
    assert media["bind"]["propagation"] == "rslave"
    assert not media["bind"].get("create_host_path")


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_ours_run_as_whoever_may_read_the_photos(names):
    for environment, user in ({}, "1000:1000"), ({"INDEXER_UID": "1026", "INDEXER_GID": "100"}, "1026:100"):
        config = resolved(*names, **environment)
        assert {config["services"][name]["user"] for name in OURS} == {user}


def test_compose_yaml_is_immichs_own_file_and_ours():
    """Under its names, with its health checks; a difference is meant, and stands in this test."""
    facts = yaml.safe_load((ROOT / "tests/unit/project/immich.yaml").read_text(encoding="utf-8"))["services"]
    config = resolved("compose.yaml")["services"]
    written = services("compose.yaml")
    assert config.keys() - {*OURS, "role"} == facts.keys()
    for name, fact in facts.items():
        found = config[name]
        image = found["build"]["args"]["IMMICH_POSTGRES"] if "build" in found else found["image"]
        assert image.partition("/")[2].startswith(fact["image"])
        assert found["container_name"] == fact["container_name"]
        assert found["restart"] == fact["restart"]
        assert [each["path"] for each in written[name].get("env_file", [])] == fact.get("env_file", [])
        assert [volume["target"] for volume in found.get("volumes", [])] == fact.get("volumes", [])
        assert [f"{port['published']}:{port['target']}" for port in found.get("ports", [])] == fact.get("ports", [])
        started = {other: how["condition"] for other, how in found.get("depends_on", {}).items()}
        assert started == fact.get("depends_on", {})
        check = written[name]["healthcheck"]
        assert check == ({"disable": False} if fact["healthcheck"] == "its own" else {"test": fact["healthcheck"]})
        assert {*found.get("environment", {})} >= {*fact.get("environment", [])}
        assert written[name].get("shm_size") == fact.get("shm_size")


def test_the_port_and_the_kind_of_disk_are_a_persons_choice():
    config = resolved("compose.yaml", IMMICH_PUBLISH="127.0.0.1:80", DB_STORAGE_TYPE="HDD")["services"]
    (port,) = config["immich-server"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "80", 2283)
    assert config["database"]["environment"]["DB_STORAGE_TYPE"] == "HDD"


@cache
def pasted(folder: Path, **filled: str) -> dict[str, Any]:
    """The file that people paste, alone in `folder`, with the values written over the places to fill in."""
    text = (ROOT / PASTED).read_text(encoding="utf-8")
    for name, value in filled.items():
        text, places = re.subn(rf"\$\{{{name}:\?[^}}]*}}", value, text)
        assert places == 1, name
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    done = compose("config", "--format=json", folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_pasted_file_needs_nothing_beside_it(tmp_path):
    text = (ROOT / PASTED).read_text(encoding="utf-8")
    assert not re.search(r"^\s*(build|extends|env_file|include|configs|secrets):", text, flags=re.MULTILINE)
    config = pasted(tmp_path, UPLOAD_LOCATION="/volume1/photos", DB_PASSWORD="three", INDEXER_DB_PASSWORD="two")
    assert [path.name for path in tmp_path.iterdir()] == ["compose.yaml"]
    sources = {volume["source"] for name in OURS for volume in config["services"][name].get("volumes", [])}
    assert sources == {"indexer-models", "/volume1/photos"}
    (media,) = photos(config)
    assert (media["target"], media["read_only"]) == ("/data", True)
    assert not media["bind"].get("create_host_path"), "a typing error would become an empty folder"


def test_the_pasted_file_runs_what_the_checkout_runs(tmp_path):
    """Two files, one truth: all that is not about building, or about what stands in an .env."""
    config = pasted(tmp_path, UPLOAD_LOCATION=str(ROOT / "library"), DB_PASSWORD="three", INDEXER_DB_PASSWORD="two")
    existing = resolved("compose.existing.yaml")
    apart = ("build", "image", "environment", "volumes")
    assert config["services"].keys() == existing["services"].keys()
    for name in ("indexer", "gateway"):
        ours = existing["services"][name]
        other = config["services"][name]
        assert {key: value for key, value in other.items() if key not in apart} == {
            key: value for key, value in ours.items() if key not in apart
        }
        assert {volume["target"] for volume in other["volumes"]} == {volume["target"] for volume in ours["volumes"]}
        for key, value in other["environment"].items():
            assert value == ours["environment"].get(key, value)
    assert config["name"] == existing["name"]
    assert config["networks"]["immich"] == existing["networks"]["immich"]


@pytest.mark.parametrize("missing", ["UPLOAD_LOCATION", "DB_PASSWORD", "INDEXER_DB_PASSWORD"])
def test_a_place_that_was_not_filled_in_is_said_so(missing):
    filled = {"UPLOAD_LOCATION": "/photos", "DB_PASSWORD": "one", "INDEXER_DB_PASSWORD": "two"}
    del filled[missing]
    done = compose("--env-file=/dev/null", "--file", PASTED, "config", **filled)
    assert done.returncode != 0
    assert "at the top of the file" in done.stderr


def test_the_database_is_of_one_major_version():
    text = (ROOT / "postgres/Dockerfile").read_text()
    (major,) = re.findall(r"^ARG PG_MAJOR=(\d+)", text, flags=re.MULTILINE)
    assert re.search(rf"^ARG IMMICH_POSTGRES=\S+:{major}-", text, flags=re.MULTILINE)
    assert re.search(rf"^ARG ZHPARSER_IMAGE=\S+[:-]{major}$", text, flags=re.MULTILINE)
    database = resolved("compose.yaml")["services"]["database"]
    assert database["image"].endswith(f":{major}")
    for name, value in database["build"]["args"].items():
        assert re.search(rf"^ARG {name}={re.escape(value)}$", text, flags=re.MULTILINE), "two places, one truth"


def test_what_compose_builds_with_is_what_the_image_is_built_with():
    """The defaults of deploy/services.yaml are those of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text()
    for name, value in resolved("compose.yaml")["services"]["indexer"]["build"]["args"].items():
        assert re.search(rf"^ARG {name}={re.escape(value)}$", text, flags=re.MULTILINE), name


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
