"""Pinyin: how Chinese characters are read, and which readings a word in Latin letters may stand for.

The readings are pypinyin's: all that a character has, without tones, and with v for ü, as on keyboards.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.metadata import distribution
from importlib.resources import files
from itertools import islice, product
from pathlib import Path
from typing import Any

from indexer.text.normalise import HAN, fold
from indexer.text.tokens import canonical

VERSION = 2  # raised when the same lexeme would get other sounds: all are then made again

NAMES = " -"  # what the lexemes of people, tags and albums begin with (fields.py)
_SHORTEST_WORD, _LONGEST_WORD = 3, 8  # characters of a word that is found by its initials
_MOST = 16  # ways to cut one word into syllables
_MOST_INITIALS = 64  # of one word with several readings
_LONGEST = 60  # letters of a word
_TONES = re.compile("[\u0300\u0301\u0304\u0306\u030c]")  # the breve is often typed instead of the caron
_PIECE = re.compile("([a-z]+)[0-5]?(?:['’`´ʼ-](?=[a-z]))?")
_INITIALS = re.compile(f"[a-hj-tw-z]{{2,{_LONGEST_WORD}}}")
_SYLLABLE = re.compile("[a-z]*[aeiouv][a-z]*")
_COLON = re.compile("(?<=[ln])u:", re.IGNORECASE)
# Other ways to write a syllable: ü after j, q, x and y is written u, and ue after l and n can only be üe.
_ALSO = {"jv": "ju", "qv": "qu", "xv": "xu", "yv": "yu", "lue": "lve", "nue": "nve"}
_LEXEME = re.compile(f"( [-+])?([{HAN}]+)")


def load() -> None:
    """Read the tables, which takes a third of a second. Otherwise the first search does."""
    _written()


def readings(character: str) -> tuple[str, ...]:
    """The syllables of a folded character, the usual ones first. 干 has those of 幹 and 乾, too. Empty for a letter."""
    return _readings().get(character, ())


def written(syllable: str) -> frozenset[str]:
    """The folded characters that may be read so."""
    return _written().get(syllable, frozenset())


@lru_cache(maxsize=1000)
def spellings(typed: str) -> tuple[tuple[str, ...], ...]:
    """The ways to read a word in Latin letters as syllables. With or without tones and apostrophes.

    `xian` is xian or xi an, `fāpiào`, `fa1piao4` and `fa'piao` are fa piao, `nu:`, `nü` and `nv` are nv. Empty for
    what is no pinyin.
    """
    word = _plain(typed)
    pieces = [(match.span(), match[1]) for match in _PIECE.finditer(word)]
    if not pieces or len(word) > _LONGEST or sum(end - start for (start, end), _ in pieces) != len(word):
        return ()
    ways = product(*(list(islice(_cut(piece), _MOST)) for _, piece in pieces))
    return tuple(tuple(syllable for part in way for syllable in part) for way in islice(ways, _MOST))


def begins(typed: str, text: str) -> bool:
    """Whether folded Chinese may begin with what is typed so far: syllables, the last one unfinished, or initials."""
    letters = _plain(typed)
    if letters and not any(syllable[0] == letters[0] for syllable in (readings(text[0]) if text else ())):
        return False  # quickly: most names are others
    firsts = zip(letters, map(readings, text), strict=False)
    return _begins(letters, text) or (
        1 < len(letters) <= len(text)
        and all(any(syllable[0] == letter for syllable in syllables) for letter, syllables in firsts)
    )


def _begins(letters: str, text: str) -> bool:
    return not letters or any(
        syllable.startswith(letters) or (letters.startswith(syllable) and _begins(letters[len(syllable) :], text[1:]))
        for syllable in (readings(text[0]) if text else ())
    )


def initials(typed: str) -> str:
    """A word that may consist of the first letters of syllables, or nothing."""
    word = typed.lower()
    return word if _INITIALS.fullmatch(word) else ""


def key(syllables: tuple[str, ...]) -> str:
    """How a lexeme with these syllables is looked up."""
    return " ".join(syllables)


def key_of_initials(letters: str) -> str:
    """How a lexeme with these initials is looked up."""
    return ".".join(letters)


def sounds(lexeme: str) -> list[str]:
    """The keys by which a lexeme of a document is looked up. None for what is not Chinese.

    Of two characters in a row, and of one of a name, these are the syllables. Of two characters of a name, and of whole
    words of three or more characters (zhparser's), the initials.
    """
    match = _LEXEME.fullmatch(lexeme)
    read = [readings(character) for character in match[2]] if match else []
    if not match or not all(read):
        return []
    short, named = len(read) < _SHORTEST_WORD, match[1] == NAMES
    found = [key(way) for way in product(*read)] if short and (len(read) > 1 or named) else []
    if not short or (len(read) > 1 and named):
        first = [sorted({syllable[0] for syllable in syllables}) for syllables in read[: _LONGEST_WORD + 1]]
        found += [".".join(way) for way in islice(product(*first), _MOST_INITIALS)]
    return found


def words(letters: str) -> tuple[str, ...]:
    """The words of pypinyin's dictionary and of words.txt, of three or more characters, that have these initials."""
    return _words().get(letters, ())


@lru_cache(maxsize=1000)
def _plain(text: str) -> str:
    """Lower case, without tones, and with v for ü."""
    text = unicodedata.normalize("NFD", _COLON.sub("v", unicodedata.normalize("NFKC", text)).lower())
    return unicodedata.normalize("NFC", _TONES.sub("", text)).replace("ü", "v")


def _cut(word: str, start: int = 0, dead: set[int] | None = None) -> Iterator[tuple[str, ...]]:
    """All ways to cut letters into syllables, those with a long first syllable first."""
    if start == len(word):
        yield ()
        return
    dead = set() if dead is None else dead  # places from which no way leads to the end
    if start in dead:
        return
    leads = False
    for end in range(min(len(word), start + 6), start, -1):
        if syllable := _syllables().get(word[start:end]):
            for rest in _cut(word, end, dead):
                leads = True
                yield (syllable, *rest)
    if not leads:
        dead.add(start)


def _table(name: str) -> dict[str, Any]:
    # Importing pypinyin takes seconds and 60 MB, most of it for the phrases. We need only its tables.
    path = Path(str(distribution("pypinyin").locate_file(f"pypinyin/{name}.json")))
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


@cache
def _readings() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    table = [(chr(int(code)), given) for code, given in _table("pinyin_dict").items()]
    for character, given in sorted(table, key=lambda row: row[0] != fold(row[0])):  # its own readings first
        syllables = [plain for reading in given.split(",") if _SYLLABLE.fullmatch(plain := _plain(reading))]
        found.setdefault(fold(character), {}).update(dict.fromkeys(syllables))
    return {character: tuple(syllables) for character, syllables in found.items() if syllables and len(character) == 1}


@cache
def _written() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for character, syllables in _readings().items():
        for syllable in syllables:
            found.setdefault(syllable, set()).add(character)
    return {syllable: frozenset(characters) for syllable, characters in found.items()}


@cache
def _syllables() -> dict[str, str]:
    """What may be typed, and the syllable that it is."""
    return {syllable: syllable for syllables in _readings().values() for syllable in syllables} | _ALSO


@cache
def _words() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for word, read in _table("phrases_dict").items():
        if _SHORTEST_WORD <= len(word) <= _LONGEST_WORD and len(read) == len(word):
            found.setdefault(_plain("".join(syllable[0][0] for syllable in read)), {})[canonical(word)] = None
    for line in files("indexer.text").joinpath("words.txt").read_text(encoding="utf-8").splitlines():
        for word in [] if line.startswith("#") else line.split():
            for sound in sounds(word):
                found.setdefault(sound.replace(".", ""), {})[word] = None
    return {letters: tuple(words) for letters, words in found.items()}
