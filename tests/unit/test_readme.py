"""The README says what is so."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import indexer
from indexer.settings import settings_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_settings_table_is_the_codes():
    shown = re.search(r"<!-- settings[^\n]*-->\n(.*?)\n<!-- /settings -->", README, flags=re.DOTALL)
    assert shown is not None
    assert shown[1] == settings_table(), "run `python -m indexer.settings` and put its output into the README"


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_dependency_is_locked_to_the_version_that_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
    lock = "".join(file.read_text(encoding="utf-8") for file in files).lower().replace("_", "-").replace('"', "'")
    for requirement in [*project["dependencies"], *chain(*project["optional-dependencies"].values())]:
        assert requirement.lower().replace("_", "-") in lock.splitlines(), requirement
    assert project["version"] == indexer.__version__
