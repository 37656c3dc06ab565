"""Ranges in what is published, exact versions in what is installed here, and the two agree."""

import json
import re
import tomllib
from importlib.metadata import files, requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import indexer

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PUBLISHED = [Requirement(line) for line in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())]
# What a package asks for and must not or need not get; the lock files say why.
WITHOUT = {
    ("cn-clip", "lmdb"),
    ("cn-clip", "timm"),
    ("insightface", "opencv-python"),
    ("nncf", "ninja"),
    ("nncf", "openvino-telemetry"),
    ("nncf", "scikit-learn"),
    ("openvino", "openvino-telemetry"),
    ("rapidocr-onnxruntime", "opencv-python"),
    ("scikit-image", "imageio"),
    ("scikit-image", "tifffile"),
    ("tokenizers", "huggingface-hub"),
}


def locked(*names: str) -> dict[str, Requirement]:
    lines = chain.from_iterable((ROOT / name).read_text(encoding="utf-8").splitlines() for name in names)
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    named = {canonicalize_name(requirement.name): requirement for requirement in found}
    assert len(named) == len(found), "one is named twice"
    return named


# Packages whose range ends earlier than at what may break; pyproject.toml says why.
ENDS = {"onnxruntime": Version("1.29")}
SERVICES = locked("requirements.lock")
ALL = locked("requirements.lock", "requirements-dev.lock")


def version(pin: Requirement) -> Version:
    (only,) = pin.specifier
    assert only.operator == "==", pin
    return Version(only.version)


def next_breaking(tested: Version) -> Version:
    """The next major version, or of 0.x the next minor one."""
    return Version(f"0.{tested.minor + 1}" if tested.major == 0 else str(tested.major + 1))


@pytest.mark.parametrize("requirement", PUBLISHED, ids=lambda requirement: requirement.name)
def test_a_published_range_begins_with_what_is_tested_and_ends_before_what_may_break(requirement):
    pin = ALL[canonicalize_name(requirement.name)]
    assert str(pin.marker) == str(requirement.marker)
    assert requirement.specifier.contains(version(pin))
    bounds = {bound.operator: Version(bound.version) for bound in requirement.specifier}
    assert bounds.keys() == {">=", "<"}
    assert bounds["<"] == ENDS.get(requirement.name, next_breaking(bounds[">="]))


def test_the_services_lock_file_names_all_that_they_need():
    needed = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["faces"]]
    assert {canonicalize_name(requirement.name) for requirement in needed} <= SERVICES.keys()


@pytest.mark.parametrize("lock", [SERVICES, ALL], ids=["services", "all"])
def test_what_a_locked_package_needs_is_locked_in_a_version_that_it_takes(lock):
    """Without a resolver, for everything is installed with --no-deps; but for torch, whose own come first with it."""
    for name, pin in lock.items():
        if name == "torch" or (pin.marker and not pin.marker.evaluate()):
            continue
        for needed in map(Requirement, requires(name) or []):
            of_it = canonicalize_name(needed.name)
            if (name, of_it) in WITHOUT or (needed.marker and not needed.marker.evaluate({"extra": ""})):
                continue
            assert of_it in lock, f"{name} needs {needed}"
            assert needed.specifier.contains(version(lock[of_it])), f"{name} needs {needed}"


def test_onnx_runtime_is_of_a_version_that_sends_nothing_to_its_maker():
    libraries = [file for file in files("onnxruntime") or [] if file.suffix == ".so"]
    assert libraries
    for library in libraries:
        assert b"events.data.microsoft.com" not in library.read_binary(), library


def test_the_version_is_the_packages():
    assert PROJECT["version"] == indexer.__version__


def test_what_checks_the_javascript_is_pinned_and_found_in_any_registry():
    package, lock = (json.loads((ROOT / f"package{part}.json").read_text(encoding="utf-8")) for part in ("", "-lock"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", pin) for pin in package["devDependencies"].values())
    assert lock["packages"][""]["devDependencies"] == package["devDependencies"]
    for name, entry in lock["packages"].items():
        assert "resolved" not in entry, "an address: npm install with the .npmrc of this repository"
        assert name == "" or "integrity" in entry
