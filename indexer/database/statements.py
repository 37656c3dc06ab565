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
    """The text of the file sql/`name`, with sql/eligible.sql in place of each `eligible(alias)`."""
    return re.sub(r"\beligible\((\w+)\)", _eligible, _read(name))


def _eligible(call: re.Match[str]) -> str:
    lines = [line for line in _read("eligible.sql").splitlines() if not line.startswith("--")]
    return f"({' '.join(lines).replace('asset.', f'{call[1]}.')})"


def _read(name: str) -> str:
    return (_sql_root() / name).read_text(encoding="utf-8")


@cache
def queries(name: str) -> dict[str, str]:
    """The named queries of sql/queries/`name`.sql: each follows a line `-- name: its_name`."""
    parts = re.split(r"^-- name: (\w+)\n", sql(f"queries/{name}.sql"), flags=re.MULTILINE)
    return {key: text.strip().rstrip(";") for key, text in zip(parts[1::2], parts[2::2], strict=True)}
