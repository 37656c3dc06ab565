"""`make tables`: writes the tables of docs/settings.md and docs/settings.zh-CN.md."""

import re
import sys
from pathlib import Path

import yaml
from pydantic import SecretStr

from indexer.settings import Settings

ROOT = Path(__file__).parents[1]
CHINESE = "docs/settings.zh-CN.md"
HEAD = {"docs/settings.md": ("variable", "default", "what it does"), CHINESE: ("变量", "默认值", "作用")}
_MARKED = re.compile(r"(?<=<!-- settings: made by `make tables` -->\n).*?(?=<!-- /settings -->)", flags=re.DOTALL)


def translations() -> dict[str, str]:
    """The Chinese descriptions by variable.

    Raises:
        ValueError: one is missing, or was made of another description than the code's.
    """
    found = yaml.safe_load((ROOT / "docs/settings.zh-CN.yaml").read_text(encoding="utf-8"))
    said = {name.upper(): field.description for name, field in Settings.model_fields.items()}
    stale = {name for name in said.keys() | found.keys() if found.get(name, {}).get("en") != said.get(name)}
    if stale:
        raise ValueError(f"docs/settings.zh-CN.yaml: translate anew {', '.join(sorted(stale))}")
    return {name: entry["zh"] for name, entry in found.items()}


def table(name: str) -> str:
    """The table of that page, as it stands between its marks: each setting with its default and its description."""
    descriptions = translations() if name == CHINESE else {}
    rows = [f"| {' | '.join(HEAD[name])} |", "|---|---|---|"]
    for field_name, field in Settings.model_fields.items():
        variable, default = field_name.upper(), field.default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
        description = descriptions.get(variable, field.description or "").replace("|", "\\|")
        rows.append(f"| `{variable}` | {f'`{shown}`' if shown else ''} | {description} |")
    return "\n".join(rows) + "\n"


def write(name: str) -> None:
    """Put the table into that page."""
    path = ROOT / name
    text = path.read_text(encoding="utf-8")
    if not _MARKED.search(text):
        raise ValueError(f"{name} has no marks for the settings")
    path.write_text(_MARKED.sub(lambda _: table(name), text), encoding="utf-8")


if __name__ == "__main__":
    try:
        for page in HEAD:
            write(page)
    except ValueError as error:
        sys.exit(str(error))
