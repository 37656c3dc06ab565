"""What can be told of the files for Docker without Docker: that they agree with each other and with the code."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from indexer.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ("compose.yaml", "compose.existing.yaml", "compose.cuda.yaml", "compose.juicefs.yaml", "deploy/services.yaml")
OURS = ("indexer", "gateway", "weights")
# Read by huggingface's own tools and by ours, but no setting of one of our processes.
NOT_SETTINGS = {"HF_ENDPOINT"}


def services(name: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["services"]


@pytest.mark.parametrize("name", COMPOSE)
def test_every_variable_given_to_our_services_is_a_setting(name):
    known = {field.upper() for field in Settings.model_fields} | NOT_SETTINGS
    for service in services(name).keys() & set(OURS):
        assert services(name)[service].get("environment", {}).keys() <= known


@pytest.mark.parametrize("name", COMPOSE)
def test_every_variable_without_a_default_is_in_the_example(name):
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    offered = set(re.findall(r"^#? ?([A-Z_]+)=", example, flags=re.MULTILINE))
    needed = set(re.findall(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}", (ROOT / name).read_text(encoding="utf-8")))
    assert needed <= offered


@pytest.mark.parametrize("name", COMPOSE)
def test_every_file_named_is_there(name):
    folder = (ROOT / name).parent
    for service in services(name).values():
        build = service.get("build", {})
        context = build if isinstance(build, str) else build.get("context")
        if context is not None:
            assert (folder / context / "Dockerfile").is_file()
        if "extends" in service:
            assert service["extends"]["service"] in services(str(Path(name).parent / service["extends"]["file"]))
        for volume in service.get("volumes", []):
            source = volume.split(":")[0] if isinstance(volume, str) else volume["source"]
            if source.startswith("./"):
                assert (folder / source).is_file()


def test_only_what_a_person_needs_is_published():
    published = {name: s["ports"] for name, s in services("compose.yaml").items() if "ports" in s}
    assert published == {"immich-server": ["2283:2283"]}
    assert not any("ports" in service for service in services("compose.existing.yaml").values())


def test_photos_are_never_mounted_for_writing():
    for name in ("compose.yaml", "compose.existing.yaml"):
        (media,) = [v for v in services(name)["indexer"]["volumes"] if ":/data" in v]
        assert media.endswith(":/data:ro")
    assert services("compose.juicefs.yaml")["indexer"]["volumes"][0]["read_only"] is True


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
    assert services("compose.yaml")["database"]["image"].endswith(f":{major}")
