"""The demo's SQL files."""

import re
from pathlib import Path

SQL = Path(__file__).parent / "sql"


def statements(path: Path) -> dict[str, str]:
    """The statements of a file by the ``-- name:`` above each."""
    _, *parts = re.split(r"^-- name: (\w+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))
