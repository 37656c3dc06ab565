"""One form for all spellings: wide and narrow, upper and lower case, traditional and simplified, with accents or not.

Accents are removed where Immich's own text search, PostgreSQL's unaccent, removes them: from Latin and Greek letters,
and the two dots of ё. All other marks make a different letter, as in й, が and 가, and stay.
"""

import json
import re
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files

# Unicode's Default_Ignorable_Code_Point: zero-width characters, variation selectors (also of ideographs), fillers.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Python strings may hold what PostgreSQL's text cannot: NUL, and halves of surrogate pairs.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# Characters of Chinese, and kana; no punctuation.
HAN = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af"
)
# Letters that readers see as accented but that Unicode does not decompose, as in unaccent.rules.
_LETTERS = {
    **{"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŧ": "t", "ı": "i"},
    **{"ƀ": "b", "ɓ": "b", "ƈ": "c", "ƌ": "d", "ɖ": "d", "ɗ": "d", "ƒ": "f", "ɠ": "g", "ǥ": "g", "ɨ": "i", "ƙ": "k"},
    **{"ƚ": "l", "ɫ": "l", "ɲ": "n", "ƞ": "n", "ƥ": "p", "ƫ": "t", "ƭ": "t", "ʈ": "t", "ʋ": "v", "ƴ": "y", "ƶ": "z"},
    **{"ȥ": "z", "ĸ": "q", "ŋ": "n", "ё": "е"},
}
_ACCENTS = re.compile("(?<=[a-z\u0370-\u052f])[\u0300-\u036f]+")  # those that did not combine with their letter
_WRAP = re.compile(f"(?<=[{HAN}])\\s+|\\s+(?=[{HAN}])")
_SPACES = re.compile(r"\s+")
_CHINESE = re.compile(f"[{HAN}]+")


@cache
def _simplified() -> dict[int, str]:
    """Traditional to simplified, one character to one character (MediaWiki's table).

    Not phrase by phrase: a table of phrases keeps 乾隆 traditional but changes 乾 alone. Then a piece of a text would
    not be a piece of the normalised text.
    """
    # zhconv's own loader leaves the file open and converts by phrases. We need only its table.
    table: dict[str, str] = json.loads(files("zhconv").joinpath("zhcdict.json").read_text(encoding="utf-8"))["zh2Hans"]
    return {ord(key): value for key, value in table.items() if len(key) == 1 and len(value) == 1}


@cache
def _of_two_scripts() -> re.Pattern[str]:
    """Characters that are written differently in the other script of Chinese."""
    pairs = {(chr(old), new) for old, new in _simplified().items() if chr(old) != new}
    return re.compile(f"[{re.escape(''.join(sorted({character for pair in pairs for character in pair})))}]")


def scripted(text: str) -> list[str]:
    """The pieces of Chinese in a text that simplified and traditional write differently, unchanged."""
    text = _WRAP.sub("", _INVISIBLE.sub("", unicodedata.normalize("NFKC", clean(text))))
    return [piece for piece in _CHINESE.findall(text) if _of_two_scripts().search(piece)]


@cache
def _plain() -> dict[int, str]:
    """Lower-case letters with accents, and each without."""
    latin_and_greek = (*range(0xC0, 0x250), *range(0x370, 0x400), *range(0x1E00, 0x2000))
    table = {}
    for code in latin_and_greek:
        parts = unicodedata.normalize("NFD", chr(code))
        if len(parts) > 1 and all(unicodedata.combining(mark) for mark in parts[1:]):
            table[code] = _LETTERS.get(parts[0], parts[0])
    return table | {ord(letter): plain for letter, plain in _LETTERS.items()}


def clean(text: str) -> str:
    """The text without characters that PostgreSQL cannot store."""
    return _UNSTORABLE.sub("", text)


@lru_cache(maxsize=16)
def fold(text: str) -> str:
    """The text in one spelling: NFKC, case folded, simplified, no accents, nothing invisible. White space stays."""
    text = unicodedata.normalize("NFKC", clean(text))
    text = _INVISIBLE.sub("", text).casefold().translate(_simplified())
    text = unicodedata.normalize("NFKC", text).translate(_plain())  # folding may leave characters that can be composed
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", text))


def normalise(text: str) -> str:
    """The form in which texts are compared: folded, with normalised white space.

    Chinese and Japanese are written without spaces. So white space beside one of their characters (a wrapped line, the
    space around a number, two boxes) means nothing and is removed. Any other becomes one space.
    """
    return _SPACES.sub(" ", _WRAP.sub("", fold(text))).strip()
