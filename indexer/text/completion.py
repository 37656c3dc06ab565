"""Completes what a person is typing to words that texts contain.

Chinese is written without spaces, so a word is a piece of text that is not always followed by the same character: of
发票 and 发票代, which occur equally often, only the longer one is a word. (Closed sequences, as in Wang and Han, "BIDE:
Efficient Mining of Frequent Closed Sequences", 2004.) Any other word ends where its letters and digits end.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from indexer.text.normalise import HAN, fold

_LONGEST = 6  # Chinese characters after what was typed
_CHINESE = re.compile(f"[{HAN}]")
_REST = re.compile(f"[^\\W_{HAN}]*")


def complete(form: str, texts: Iterable[str]) -> list[str]:
    """The words that begin with `form` (canonical, see tokens.py), longer than it, those of the most texts first.

    They are spelled as in most of the texts. A text counts once for each word.
    """
    if not form or " " in form:
        return []
    counts: Counter[str] = Counter()  # texts
    places: Counter[str] = Counter()
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        words = [word for line, folded in _lines(text) if form in folded for word in _words(form, line)]
        places.update(word for word, _ in words)
        found = dict(words)
        counts.update(found.keys())
        for word, spelling in found.items():
            spellings[word][spelling] += 1
    continued = {(word[:-1], count) for word, count in places.items()}
    cut = len(form) + _LONGEST  # where a word of one text alone would end anywhere
    whole = [
        word
        for word, count in places.items()
        if (word, count) not in continued and (counts[word] > 1 or len(word) < cut or not _CHINESE.match(word[-1]))
    ]
    whole.sort(key=lambda word: (-counts[word], len(word), word))
    return [spellings[word].most_common(1)[0][0] for word in whole]


def _lines(text: str) -> Iterable[tuple[str, str]]:
    """The lines of a text, each also folded. The whole text is folded at once: that is faster."""
    return zip(text.split("\n"), fold(text).split("\n"), strict=True)


@lru_cache(maxsize=65_536)
def _folded(character: str) -> str:
    return fold(character)


def _words(form: str, line: str) -> Iterator[tuple[str, str]]:
    """The words of a line that begin with `form`: folded, and as they are written there."""
    pieces = [(_folded(character), at) for at, character in enumerate(line)]
    folded = "".join(piece for piece, _ in pieces)
    origins = [at for piece, at in pieces for _ in piece] + [len(line)]
    latin = not _CHINESE.match(form[0])
    for match in re.finditer(re.escape(form), folded):
        start, end = match.span()
        if latin and start and folded[start - 1].isalnum() and not _CHINESE.match(folded[start - 1]):
            continue  # inside a word
        for stop in _ends(folded, end):
            yield folded[start:stop], line[origins[start] : origins[stop - 1] + 1]


def _ends(text: str, end: int) -> Iterator[int]:
    """Where the words may end that begin before `end`."""
    if not _CHINESE.match(text[end - 1]):
        rest = _REST.match(text, end)
        if rest and rest.end() > end:
            yield rest.end()
        return
    for stop in range(end + 1, min(end + _LONGEST, len(text)) + 1):
        if not _CHINESE.match(text[stop - 1]):
            return
        yield stop
