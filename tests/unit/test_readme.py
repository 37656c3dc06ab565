"""The READMEs say what is so, and both the same."""

import ast
import re
import shlex
import tomllib
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

import indexer
from docs import tables
from indexer import cli
from indexer.settings import Settings

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "README.zh-CN.md")
README, CHINESE = (Path(ROOT / name).read_text(encoding="utf-8") for name in NAMES)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


def prose(text: str) -> str:
    """Without blocks of code."""
    return BLOCK.sub("", text)


def commands(text: str) -> list[str]:
    """What is to be typed, line by line."""
    lines = chain.from_iterable(block.splitlines() for kind, block in BLOCK.findall(text) if kind == "sh")
    return [stripped for line in lines if (stripped := re.sub(r"(^|\s+)# .*", "", line))]


def rows(text: str) -> list[list[str]]:
    """Every table's rows, cell by cell, but for the lines under heads."""
    found = [re.split(r"(?<!\\)\|", line)[1:-1] for line in prose(text).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in found if set("".join(row)) - {"-"}]


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_table_is_the_codes(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    shown = re.search(r"<!-- settings[^\n]*-->\n(.*?)<!-- /settings -->", text, flags=re.DOTALL)
    assert shown is not None
    assert shown[1] == tables.table(name), "run `make tables`"


def test_every_setting_is_translated():
    chinese = tables.translations()
    assert chinese.keys() == {name.upper() for name in Settings.model_fields}
    for name, said in chinese.items():
        assert re.search(r"[\u4e00-\u9fff]", said), name


def test_a_description_that_was_changed_has_to_be_translated_anew(monkeypatch):
    monkeypatch.setattr(Settings.model_fields["db_port"], "description", "Another port")
    with pytest.raises(ValueError, match="translate anew DB_PORT"):
        tables.translations()


def test_both_have_the_same_structure():
    def structure(text: str) -> list[str]:
        found = re.findall(
            r"^(#+) |^(- )|^(\|---)|^(<(?:/?\w+|!-- /?\w+))|^(```\w*)", BLOCK.sub("```\n", text), flags=re.MULTILINE
        )
        return ["".join(mark) for mark in found]

    assert structure(README) == structure(CHINESE)


def test_both_say_the_same_commands():
    assert commands(README) == commands(CHINESE)
    other = [[block for kind, block in BLOCK.findall(text) if kind != "sh"] for text in (README, CHINESE)]
    assert other[0] == other[1]


def test_both_have_the_same_tables():
    english, chinese = rows(README), rows(CHINESE)
    assert [len(row) for row in english] == [len(row) for row in chinese]
    for one, other in zip(english, chinese, strict=True):
        assert [sorted(CODE.findall(cell)) for cell in one] == [sorted(CODE.findall(cell)) for cell in other]
        figures = [[sorted(re.findall(r"\d[\d.,]*\d|\d", CODE.sub("", cell))) for cell in row] for row in (one, other)]
        assert figures[0] == figures[1]


def test_both_name_the_same_things():
    """Whatever stands in code, and every address."""
    assert Counter(CODE.findall(prose(README))) == Counter(CODE.findall(prose(CHINESE)))
    each_other = "README.zh-CN.md"
    targets = [re.findall(r"\]\(([^)#]+)\)", text.replace(each_other, "README.md")) for text in (README, CHINESE)]
    assert Counter(targets[0]) == Counter(targets[1])


@pytest.mark.parametrize("name", [*NAMES, "CONTRIBUTING.md"])
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text):
        assert (ROOT / target).exists(), target
    anchors = {anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", BLOCK.sub("", text), flags=re.MULTILINE)}
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in anchors


def anchor_of(heading: str) -> str:
    """As GitHub makes it: what is no letter, digit, space or hyphen goes."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_command_exists():
    known = set(cli.main.commands)
    for line in [*commands(README), *CODE.findall(prose(README))]:
        words = shlex.split(line.replace("'", "")) if line.startswith(("immich-indexer", "docker", ".venv")) else []
        if "immich-indexer" in words and words[-1] != "immich-indexer":
            assert words[words.index("immich-indexer") + 1].rstrip(",") in known, line
        if words and words[0].endswith("bin/immich-indexer"):
            assert words[1] in known, line
    for name in known:
        assert re.search(rf"`(?:immich-indexer )?{name}\b", README), name


def test_every_option_of_compose_names_a_file():
    for name in re.findall(r"--file ([\w.-]+\w)", README):
        assert (ROOT / name).is_file()


def literals(name: str) -> str:
    """Every string in a module, joined."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(value for value in constants if isinstance(value, str))


def test_troubleshooting_quotes_the_doctor():
    modules = ["doctor", "database", "schema", "results", "media", "models/device", "models/weights"]
    modules.extend(["models/checkpoint", "width", "immich", "refusal", "owners", "zhparser", "tuning"])
    said = "\n".join(literals(f"indexer/{name}.py") for name in modules)
    quoted = [row[0] for row in rows(README) if re.match(r"`[^`]+`: ", row[0])]
    checks = {CODE.match(quote)[1] for quote in quoted}
    for quote in quoted:
        assert quote.partition("`: ")[2] in said, quote
    names = set(re.findall(r'Finding\(\s*"([^"]+)",\s*"(?:fails|advice)', (ROOT / "indexer/doctor.py").read_text()))
    assert checks >= names, "what it may complain of and the README says nothing of"


def test_every_dependency_is_locked_to_the_version_that_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
    lock = "".join(file.read_text(encoding="utf-8") for file in files).lower().replace("_", "-").replace('"', "'")
    for requirement in [*project["dependencies"], *chain(*project["optional-dependencies"].values())]:
        assert requirement.lower().replace("_", "-") in lock.splitlines(), requirement
    assert project["version"] == indexer.__version__
