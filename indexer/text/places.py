"""Chinese names of places, as Immich writes them in Latin letters.

Immich takes its cities and provinces from GeoNames, which mostly writes pinyin. cities.txt has others, and
countries.txt the English names of countries.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import product

from indexer.text import pinyin
from indexer.text.normalise import HAN, fold
from indexer.text.tokens import canonical

_FILES = ("countries.txt", "cities.txt")
_MOST, _OF_ONE = 6, 3  # readings of a name, and of one of its characters
_NAME = re.compile(f"[{HAN}]{{2,6}}")
_ENDING = re.compile("(?<=..)(?:特别行政区|自治区|地区|新区|[市省县区州镇])$")
_VOWEL = re.compile("[aeo]")


@lru_cache(maxsize=1000)
def latin(name: str) -> tuple[str, ...]:
    """The forms, each between spaces, in which Immich may write a place with this name, in canonical form.

    The name is Chinese, or pinyin without the apostrophe that Immich has: `xian` is Xi'an. Empty for all else. 市, 省
    and the like at the end may be missing in Immich.
    """
    if not _NAME.fullmatch(name):
        forms = (_apart(way).replace("v", "u") for way in pinyin.spellings(name))
        return tuple(dict.fromkeys(f" {form} " for form in forms if " " in form))
    found: dict[str, None] = {}
    for each in dict.fromkeys((name, _ENDING.sub("", name))):
        known = _names().get(each)
        found |= dict.fromkeys(known or _spelt(each))
    return tuple(f" {form} " for form in found)


def _spelt(name: str) -> list[str]:
    """As pinyin: in one word, and where a syllable begins with a vowel, also as with an apostrophe: xian, xi an."""
    forms: dict[str, None] = {}
    read = [list(enumerate(pinyin.readings(character)[:_OF_ONE])) for character in name]
    ways = sorted(product(*read), key=lambda way: sum(rank for rank, _ in way))  # the usual readings first
    for way in ([syllable for _, syllable in each] for each in ways[:_MOST]):
        forms |= dict.fromkeys(canonical(form.replace("v", "u")) for form in ("".join(way), _apart(way)))
    return list(forms)


def _apart(syllables: Sequence[str]) -> str:
    """A name whose apostrophes became spaces, as they do in canonical forms."""
    return "".join(f" {syllable}" if _VOWEL.match(syllable) else syllable for syllable in syllables).strip()


@cache
def _names() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for line in "".join(
        files("indexer.text").joinpath(name).read_text(encoding="utf-8") for name in _FILES
    ).splitlines():
        if not line.startswith("#"):
            chinese, *names = line.split("\t")
            found.setdefault(fold(chinese), {}).update(dict.fromkeys(map(canonical, names)))
    return {chinese: tuple(names) for chinese, names in found.items()}
