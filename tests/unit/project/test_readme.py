"""Every page says what is so, and says the same in English and in Chinese."""

import ast
import re
import shlex
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from docs import tables
from indexer.cli.main import main
from indexer.settings import Settings

ROOT = Path(__file__).parents[3]
CHINESE_END = ".zh-CN.md"
ALONE = ("CONTRIBUTING.md", "CHANGELOG.md", "sql/README.md", "bench/README.md")  # in English only
LENGTH = 200  # lines of a README
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")  # path, anchor


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def chinese_of(name: str) -> str:
    return name.removesuffix(".md") + CHINESE_END


PAGES = ["README.md"]
PAGES.extend(sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md") if not path.name.endswith(CHINESE_END)))
ENGLISH = {name: read(name) for name in PAGES}
BOTH = [*PAGES, *map(chinese_of, PAGES)]


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


def figures(text: str) -> list[str]:
    """Every number outside of code, sorted; no months, which English spells."""
    return sorted(re.findall(r"\d[\d.,]*\d|\d", re.sub(r"年 \d+ 月", "年", CODE.sub("", text))))


def anchors(text: str) -> list[str]:
    """Where a link may lead within a page, in the page's order."""
    return [anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)]


def anchor_of(heading: str) -> str:
    """As GitHub makes it: what is no letter, digit, space or hyphen goes."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(name: str) -> list[tuple[str, str]]:
    """Every link of a page to a file of ours: its path from the root, and the anchor if it has one."""
    found = LINK.findall(prose(read(name)))
    return [
        (str((ROOT / name).parent.joinpath(path).resolve().relative_to(ROOT)) if path else name, anchor)
        for path, anchor in found
    ]


@pytest.mark.parametrize("name", tables.HEAD)
def test_the_settings_table_is_the_codes(name):
    shown = re.search(r"<!-- settings[^\n]*-->\n(.*?)<!-- /settings -->", read(name), flags=re.DOTALL)
    assert shown is not None
    assert shown[1] == tables.table(name), "run `make tables`"


@pytest.mark.parametrize("name", tables.HEAD)
def test_the_table_lists_every_setting_once(name):
    lines = tables.table(name).splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [field.upper() for field in Settings.model_fields]
    assert all(line.count(" | ") >= 2 and line.split("|")[-2].strip() for line in lines), "each is described"


def test_every_setting_is_translated():
    chinese = tables.translations()
    assert chinese.keys() == {name.upper() for name in Settings.model_fields}
    for name, said in chinese.items():
        assert re.search(r"[\u4e00-\u9fff]", said), name


def test_a_description_that_was_changed_has_to_be_translated_anew(monkeypatch):
    monkeypatch.setattr(Settings.model_fields["db_port"], "description", "Another port")
    with pytest.raises(ValueError, match="translate anew DB_PORT"):
        tables.translations()


def test_every_page_is_there_in_both_languages():
    assert {f"docs/{path.name}" for path in ROOT.glob("docs/*.md")} | {"README.md", "README.zh-CN.md"} == set(BOTH)


@pytest.mark.parametrize("name", PAGES)
def test_each_language_leads_to_the_other(name):
    chinese = chinese_of(name)
    own, other = Path(name).name, Path(chinese).name
    assert f"\n\nEnglish | [简体中文]({other})" in ENGLISH[name]
    assert f"\n\n[English]({own}) | 简体中文" in read(chinese)


def test_the_readme_leads_to_every_page():
    assert {target for target, _ in links("README.md")} >= {*PAGES} - {"README.md"}


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_a_readme_is_short(name):
    assert read(name).count("\n") <= LENGTH


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_what_one_can_try_is_on_the_first_screen(name):
    first_screen = "\n".join(read(name).splitlines()[:30])
    assert {"make demo", "make test"} <= {*commands(first_screen)}


@pytest.mark.parametrize("name", PAGES)
def test_both_have_the_same_structure(name):
    def structure(text: str) -> list[str]:
        found = re.findall(
            r"^(#+) |^(- )|^(\d+\. )|^(\|---)|^(<(?:/?\w+|!-- /?\w+))|^(```\w*)|^(!\[)",
            BLOCK.sub("```\n", text),
            flags=re.MULTILINE,
        )
        return ["".join(mark) for mark in found]

    assert structure(ENGLISH[name]) == structure(read(chinese_of(name)))


@pytest.mark.parametrize("name", PAGES)
def test_both_say_the_same_commands(name):
    english, chinese = ENGLISH[name], read(chinese_of(name))
    assert commands(english) == commands(chinese)
    other = [[block for kind, block in BLOCK.findall(text) if kind != "sh"] for text in (english, chinese)]
    assert other[0] == other[1]


@pytest.mark.parametrize("name", PAGES)
def test_both_have_the_same_tables(name):
    english, chinese = rows(ENGLISH[name]), rows(read(chinese_of(name)))
    assert [len(row) for row in english] == [len(row) for row in chinese]
    for one, other in zip(english, chinese, strict=True):
        assert [sorted(CODE.findall(cell)) for cell in one] == [sorted(CODE.findall(cell)) for cell in other]
        assert [figures(cell) for cell in one] == [figures(cell) for cell in other]


@pytest.mark.parametrize("name", PAGES)
def test_both_name_the_same_things(name):
    """Whatever stands in code, every figure and every address."""
    english, chinese = prose(ENGLISH[name]), prose(read(chinese_of(name)))
    assert Counter(CODE.findall(english)) == Counter(CODE.findall(chinese))
    told = [LINK.sub("", re.sub(r"https?://[^)\s]+", "", text)) for text in (english, chinese)]
    assert Counter(figures(told[0])) == Counter(figures(told[1]))
    addresses = [re.findall(r"\]\((https?:[^)]+)\)", text) for text in (english, chinese)]
    assert Counter(addresses[0]) == Counter(addresses[1])


@pytest.mark.parametrize("name", PAGES)
def test_both_lead_to_the_same_places(name):
    """A Chinese page leads to Chinese pages, and to the same section of each."""

    def places(page: str) -> Counter[tuple[str, int | None]]:
        return Counter(
            (target, anchors(read(target)).index(anchor) if anchor else None)
            for target, anchor in links(page)
            if target not in (name, chinese_of(name)) or anchor
        )

    def in_chinese(target: str) -> str:
        pictured = target.removesuffix(".png") + ".zh-CN.png"
        return chinese_of(target) if target in PAGES else pictured if target.endswith(".png") else target

    english = places(name)
    assert places(chinese_of(name)) == Counter({(in_chinese(to), at): n for (to, at), n in english.items()})


@pytest.mark.parametrize("name", [*BOTH, *ALONE])
def test_links_lead_somewhere(name):
    for target, anchor in links(name):
        assert (ROOT / target).exists(), target
        assert not anchor or anchor in anchors(read(target)), f"{target}#{anchor}"
    assert len({*anchors(read(name))}) == len(anchors(read(name))) or name == "CHANGELOG.md"


def test_pages_that_code_and_configuration_name_exist():
    files = [ROOT / name for name in ("Makefile", ".env.example", "pyproject.toml", *ALONE)]
    files.extend(ROOT.glob("compose*.yaml"))
    for folder, ends in (("indexer", "py"), ("gateway", "py"), ("sql", "sql"), ("deploy", "yaml"), (".github", "yml")):
        files.extend((ROOT / folder).rglob(f"*.{ends}"))
    for file in files:
        for named in re.findall(r"\bdocs/[\w.-]+\.\w+", file.read_text(encoding="utf-8")):
            assert (ROOT / named).exists(), f"{file}: {named}"


def test_every_command_exists():
    known = set(main.commands)
    everything = "\n".join(ENGLISH.values())
    for line in [*commands(everything), *CODE.findall(prose(everything))]:
        words = shlex.split(line.replace("'", "")) if line.startswith(("immich-indexer", "docker", ".venv")) else []
        if "immich-indexer" in words and words[-1] != "immich-indexer":
            assert words[words.index("immich-indexer") + 1].rstrip(",") in known, line
        if words and words[0].endswith("bin/immich-indexer"):
            assert words[1] in known, line
    for name in known:
        assert re.search(rf"`(?:immich-indexer )?{name}\b", ENGLISH["docs/operations.md"]), name


def test_every_command_of_make_exists():
    targets = set(re.findall(r"^(\w+):", read("Makefile"), flags=re.MULTILINE))
    told = [line for name in (*PAGES, *ALONE) for line in [*commands(read(name)), *CODE.findall(prose(read(name)))]]
    asked = {words[1] for line in told if (words := line.split())[:1] == ["make"] and words[1:]}
    assert {"demo", "test"} <= asked <= targets


def test_every_option_of_compose_names_a_file():
    for text in ENGLISH.values():
        for name in re.findall(r"--file ([\w.-]+\w)", text):
            assert (ROOT / name).is_file()


def literals(module: Path) -> str:
    """Every string in a module, joined."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(value for value in constants if isinstance(value, str))


def test_troubleshooting_quotes_the_doctor():
    rooms = ["database", "immich", "models", "photos", "work"]
    modules = [file for room in rooms for file in sorted((ROOT / "indexer" / room).rglob("*.py"))]
    said = "\n".join(literals(file) for file in modules)
    quoted = [row[0] for row in rows(ENGLISH["docs/troubleshooting.md"]) if re.match(r"`[^`]+`: ", row[0])]
    checks = {CODE.match(quote)[1] for quote in quoted}
    for quote in quoted:
        assert quote.partition("`: ")[2] in said, quote
    names = set(
        re.findall(r'Finding\(\s*"([^"]+)",\s*"(?:fails|advice)', (ROOT / "indexer/work/doctor.py").read_text())
    )
    assert checks >= names, "what it may complain of and docs/troubleshooting.md says nothing of"
