"""The SQL files, and the named statements in them."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path


def _sql_root() -> Path:
    packaged = Path(str(files("indexer"))) / "sql"  # in an installed wheel
    return packaged if packaged.is_dir() else Path(str(files("indexer"))).parent / "sql"  # in the repository


def sql_files(pattern: str) -> list[Path]:
    """The SQL files that match a glob pattern below sql/, in order of their names."""
    return sorted(_sql_root().glob(pattern))


def sql(name: str) -> str:
    """The text of the file sql/`name`, with the terms of sql/terms.sql replaced by their meaning."""
    return _expanded(_read(name))


def priorities() -> dict[str, int]:
    """The priorities of jobs by name."""
    return {name: int(text) for (term, name), text in _terms().items() if term == "priority"}


def _expanded(text: str) -> str:
    names = "|".join(sorted({term for term, _ in _terms()}))
    return re.sub(rf"\b({names})\((\w+)\)", _term, text)


def _term(call: re.Match[str]) -> str:
    """Its meaning. What a term says of any row, it says of the one that its definition names."""
    term, argument = call.groups()
    if (meaning := _terms().get((term, argument))) is not None:
        return f"({_expanded(meaning)})" if " " in meaning else meaning
    [(row, meaning)] = [(row, meaning) for (name, row), meaning in _terms().items() if name == term]
    meaning = re.sub(rf"\b{row}\b", argument, meaning)
    return f"({_expanded(meaning)})"


@cache
def _terms() -> dict[tuple[str, str], str]:
    parts = re.split(r"^-- term: (\w+)\((\w+)\)\n", _read("terms.sql"), flags=re.MULTILINE)[1:]
    texts = (" ".join(line for line in text.splitlines() if line and line[:2] != "--") for text in parts[2::3])
    return dict(zip(zip(parts[0::3], parts[1::3], strict=True), texts, strict=True))


def _read(name: str) -> str:
    return (_sql_root() / name).read_text(encoding="utf-8")


@cache
def queries(name: str) -> dict[str, str]:
    """The named queries of sql/queries/`name`.sql. Each follows a line `-- name: its_name`."""
    parts = re.split(r"^-- name: (\w+)\n", sql(f"queries/{name}.sql"), flags=re.MULTILINE)
    return {key: text.strip().rstrip(";") for key, text in zip(parts[1::2], parts[2::2], strict=True)}
