"""One form for every spelling: wide and narrow, upper and lower case, traditional and simplified, accents or none.

Accents go where Immich's own text search, PostgreSQL's unaccent, takes them away: from Latin and Greek letters, and the
two dots of ё. All other marks make another letter, as those of й, が and 가 do, and stay.
"""

import json
import re
import unicodedata
from functools import cache
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
# Letters that are an accented one to readers and have no decomposition to Unicode; as unaccent.rules has them.
_LETTERS = {
    **{"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŧ": "t", "ı": "i"},
    **{"ƀ": "b", "ɓ": "b", "ƈ": "c", "ƌ": "d", "ɖ": "d", "ɗ": "d", "ƒ": "f", "ɠ": "g", "ǥ": "g", "ɨ": "i", "ƙ": "k"},
    **{"ƚ": "l", "ɫ": "l", "ɲ": "n", "ƞ": "n", "ƥ": "p", "ƫ": "t", "ƭ": "t", "ʈ": "t", "ʋ": "v", "ƴ": "y", "ƶ": "z"},
    **{"ȥ": "z", "ĸ": "q", "ŋ": "n", "ё": "е"},
}
_ACCENTS = re.compile("(?<=[a-z\u0370-\u052f])[\u0300-\u036f]+")  # that no letter has been composed of
_WRAP = re.compile(f"(?<=[{HAN}])\\s+|\\s+(?=[{HAN}])")
_SPACES = re.compile(r"\s+")
_CHINESE = re.compile(f"[{HAN}]+")


@cache
def _simplified() -> dict[int, str]:
    """Traditional to simplified, one character to one character (MediaWiki's table).

    Not phrase by phrase: 乾隆 stays traditional in a phrase table while 乾 alone does not, and then a piece of a text
    is no longer a piece of its normalised form.
    """
    # zhconv's own loader leaves the file open and works by phrases; its table is all we want.
    table: dict[str, str] = json.loads(files("zhconv").joinpath("zhcdict.json").read_text(encoding="utf-8"))["zh2Hans"]
    return {ord(key): value for key, value in table.items() if len(key) == 1 and len(value) == 1}


@cache
def _of_two_scripts() -> re.Pattern[str]:
    """Characters that the other script of Chinese writes otherwise."""
    pairs = {(chr(old), new) for old, new in _simplified().items() if chr(old) != new}
    return re.compile(f"[{re.escape(''.join(sorted({character for pair in pairs for character in pair})))}]")


def scripted(text: str) -> list[str]:
    """The stretches of Chinese in a text that simplified and traditional write differently, as they stand there."""
    text = _WRAP.sub("", _INVISIBLE.sub("", unicodedata.normalize("NFKC", clean(text))))
    return [piece for piece in _CHINESE.findall(text) if _of_two_scripts().search(piece)]


@cache
def _plain() -> dict[int, str]:
    """Lower-case letters with accents to those without."""
    latin_and_greek = (*range(0xC0, 0x250), *range(0x370, 0x400), *range(0x1E00, 0x2000))
    table = {}
    for code in latin_and_greek:
        parts = unicodedata.normalize("NFD", chr(code))
        if len(parts) > 1 and all(unicodedata.combining(mark) for mark in parts[1:]):
            table[code] = _LETTERS.get(parts[0], parts[0])
    return table | {ord(letter): plain for letter, plain in _LETTERS.items()}


def clean(text: str) -> str:
    """The text without what PostgreSQL cannot store."""
    return _UNSTORABLE.sub("", text)


def fold(text: str) -> str:
    """The text in one spelling, white space as it is: NFKC, case folded, simplified, no accents, nothing invisible."""
    text = unicodedata.normalize("NFKC", clean(text))
    text = _INVISIBLE.sub("", text).casefold().translate(_simplified())
    text = unicodedata.normalize("NFKC", text).translate(_plain())  # folding can leave composable pieces
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", text))


def normalise(text: str) -> str:
    """The form in which texts are compared: folded, and white space as it matters.

    Chinese and Japanese are written without spaces, so white space beside one of their characters (a line that wraps,
    the air around a number, two boxes) means nothing and goes; any other is one space.
    """
    return _SPACES.sub(" ", _WRAP.sub("", fold(text))).strip()
