"""Texts as n-grams with positions, so that any piece of a text is found as a phrase of its n-grams.

A run is a sequence of letters and digits of any script. The canonical form of a text is its runs, separated by one
space, so all punctuation and white space is equal. A document is the tsvector of all pairs of neighbouring characters
of the canonical form, including spaces, each with its position. So a piece of n >= 2 characters is the phrase of its
n - 1 pairs. Single characters are in the document too, and every three characters in a row of words and numbers, both
without positions. Chinese is written without spaces, so white space beside a Chinese character (a wrapped line, the
space around a number, two boxes) does not end a run.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from indexer.text.normalise import HAN, fold

VERSION = 4  # raised when the same text would give another document: older documents are then made again

# The limits of a tsvector.
LAST_POSITION = 16383
MOST_POSITIONS = 255
_ENOUGH = 7 * (MOST_POSITIONS + 1)  # characters of at least so many positions, with their weights and commas
_LONGEST_WORD = 64
_LONGEST_TEXT = 150_000  # bytes: their lexemes always fit into the largest tsvector, 1 MB. No photo has more text

_RUN = re.compile(f"[^\\W_]+(?:(?:(?<=[{HAN}])\\s+|\\s+(?=[{HAN}]))[^\\W_]+)*")
_WORD = re.compile(f"[^\\W_{HAN}]+")
_LATIN = "a-z\u00df-\u024f"
_HYPHENATED = re.compile(f"([{_LATIN}]+)[-\u2010][ \t]*\n[ \t]*([{_LATIN}]+)")
_LARGE, _MEDIUM = 0.04, 0.02  # heights of lines, as fractions of the picture's height


@dataclass(frozen=True)
class Canonical:
    """The runs of several lines, with one space before, between and after them; and the line of each character."""

    text: str
    lines: tuple[int, ...]


@dataclass(frozen=True)
class Document:
    """A text prepared for searching.

    `ngrams` is the literal of a tsvector. `overflow` is None, or the canonical form of a text that is too long or too
    repetitive for one. Then all its n-grams are there, but not their positions.
    """

    ngrams: str
    overflow: str | None


def runs(text: str) -> list[str]:
    """The runs of letters and digits of a text, folded, in order."""
    return ["".join(run.split()) for run in _RUN.findall(fold(text))]


def canonical(text: str) -> str:
    """The runs of a text with one space between them."""
    return " ".join(runs(text))


def triples(text: str) -> list[str]:
    """All three characters in a row that are not Chinese. Numbers need them: pairs of digits are too common."""
    return [word[at : at + 3] for word in _WORD.findall(text) for at in range(len(word) - 2)]


def locate(lines: Sequence[str]) -> Canonical:
    """The canonical form of a photo's lines.

    A word that is hyphenated at the end of a line is added once more, whole, at the end.
    """
    text = fold("\n".join([line.replace("\n", " ") for line in lines]))
    line_of = [number for number, line in enumerate(text.split("\n")) for _ in range(len(line) + 1)]
    characters, places = [" "], [0]

    def add(*spans: tuple[int, int]) -> None:
        for start, end in spans:
            pieces = text[start:end].split()
            characters.extend(pieces)
            if len(pieces) == 1:
                places.extend(line_of[start:end])
            else:
                places.extend([line_of[index] for index in range(start, end) if not text[index].isspace()])
        characters.append(" ")
        places.append(places[-1])

    for match in _RUN.finditer(text):
        add(match.span())
    for match in _HYPHENATED.finditer(text):
        add(match.span(1), match.span(2))
    return Canonical("".join(characters), tuple(places))


def document(lines: Sequence[str], *, heights: Sequence[float] | None = None, marks: Sequence[str] = ()) -> Document:
    """The document of a photo's lines.

    Args:
        lines: in reading order.
        heights: of the lines, as fractions of the picture's height. Large lines weigh A, smaller ones B and C. Without
            heights all weigh A.
        marks: more lexemes, without position. Each contains a space, so no text has it, and has over two characters.
    """
    whole = locate(lines)
    form = whole.text.encode()[:_LONGEST_TEXT].decode(errors="ignore")
    weights = ["A"] * (len(lines) or 1) if heights is None else [_weight(height) for height in heights] or ["A"]
    # Positions are collected as texts: so many lists would keep Python's garbage collector busy.
    places = dict.fromkeys(form.replace(" ", ""), "")
    pairs = [one + other for one, other in pairwise(form)]
    overflow = len(pairs) > LAST_POSITION
    found = [f"{number}{weights[line]}" for number, line in enumerate(whole.lines[1 : LAST_POSITION + 1], 1)]
    for pair, place in zip(pairs, found, strict=False):
        where = places.get(pair)
        if not where:
            places[pair] = place
        elif len(where) < _ENOUGH:
            places[pair] = f"{where},{place}"
    for pair in pairs[LAST_POSITION:]:
        places.setdefault(pair, "")
    for match in _WORD.finditer(form):
        word = match[0]
        for triple in triples(word):
            places.setdefault(triple, "")
        # Its position is one where no pair of the same two letters is.
        if len(word) <= _LONGEST_WORD and match.end() < LAST_POSITION:
            place, where = f"{match.end() + 1}D", places.get(word)
            places[word] = f"{where},{place}" if where else place
    for lexeme, where in places.items():
        if len(where) > 2 * MOST_POSITIONS and where.count(",") >= MOST_POSITIONS:
            overflow = True
            places[lexeme] = ",".join(where.split(",")[:MOST_POSITIONS])
    lexemes = [f"'{lexeme}':{where}" if where else f"'{lexeme}'" for lexeme, where in places.items()]
    lexemes += [f"'{mark}'" for mark in marks]
    return Document(" ".join(lexemes), form if overflow else None)


def _weight(height: float) -> str:
    return "A" if height >= _LARGE else "B" if height >= _MEDIUM else "C"
