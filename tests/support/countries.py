"""`make countries`: writes indexer/text/countries.txt from i18n-iso-countries, which Immich takes their names from."""

import json
import re
from pathlib import Path

from indexer.text.tokens import canonical

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "node_modules/i18n-iso-countries"
FILE = ROOT / "indexer/text/countries.txt"
_HEAD = """\
# Countries in Chinese and as Immich writes them. Made by `make countries` from i18n-iso-countries {version}, which
# gives Immich its names, too. Copyright (c) Michael Wittig, MIT License.
"""


def table(package: Path = PACKAGE) -> str:
    """The content of the file: for each country its Chinese name, and its English ones, with tabs between.

    An English name that is a part of another country's is left out, unless it is the only one: China is also in Taiwan,
    Province of China.
    """
    english, chinese = (_names(package / f"langs/{language}.json") for language in ("en", "zh"))
    version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    lines = []
    for code, [name, *_] in sorted(chinese.items()):
        others = [f" {canonical(each)} " for other, names in english.items() if other != code for each in names]
        first, *more = english[code]
        kept = [each for each in more if len(each) > 3 and not any(f" {canonical(each)} " in other for other in others)]
        lines.append("\t".join([re.sub("[（(].*?[）)]", "", name), first, *kept]))
    return _HEAD.format(version=version) + "\n".join(lines) + "\n"


def _names(path: Path) -> dict[str, list[str]]:
    countries = json.loads(path.read_text(encoding="utf-8"))["countries"]
    return {code: [name] if isinstance(name, str) else name for code, name in countries.items()}


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
