"""The words of a photo as a vector, for the dimensions of Immich's vector column that the CLIP model leaves free.

They are the words of the text in the photo, and those of its facts: its description, its place, its file name. A text
is the sum of one pseudo-random direction for each of its tokens, scaled to length 1. The direction of a token
never changes: dimension i is +1 where bit i of SHAKE-128 of the token's UTF-8 is set (the most significant bit of each
byte first), otherwise -1. So a wider column continues a narrower one. After Lin and Lin, "A Dense Representation
Framework for Lexical and Semantic Matching" (2023), with hashed directions in place of slices.

The tokens come from our own tokeniser, never from zhparser, so that every server computes the same vectors. For Chinese
they are pairs of characters and, with 2/5 of their weight, single characters. For all else: triples and whole words.

Tokens of facts have directions of their own. So a query can ask for the text alone, or for both.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from indexer.text import tokens
from indexer.text.normalise import HAN

Vector = npt.NDArray[np.float32]
Total = npt.NDArray[np.int64]

VERSION = 5  # raised when the same text would give other numbers: older vectors are then written again

_PAIR, _SINGLE = 5, 2  # whole numbers: their sums are the same on every machine
_TRIPLE = 3
_FACT = "+"  # what the tokens of facts begin with. No token of a text does
# The parts of the squared length that a description has, and all other facts. Beside a text, which has the rest, they
# must be small, because nearly every photo has other facts: they disturb searches for texts.
_BESIDE_TEXT = (0.15, 0.05)
_WITHOUT_TEXT = (0.25, 0.25)
_HAN = re.compile(f"([{HAN}]+)")
_PREFIX = re.compile(r"\s*[oｏ][cｃ][rｒ]\s*[:：]", re.IGNORECASE)


def words_only(query: str) -> str | None:
    """The query after the prefix `ocr:`, in any width and case. None without the prefix."""
    prefix = _PREFIX.match(query)
    return None if prefix is None else query[prefix.end() :]


def weights(text: str) -> dict[str, int]:
    """The tokens of a text, each with its weight, however often it occurs."""
    found: dict[str, int] = {}
    for run in tokens.runs(text):
        for number, piece in enumerate(_HAN.split(run)):
            if number % 2:  # Chinese
                found.update(dict.fromkeys(piece, _SINGLE))
                found.update((piece[start : start + 2], _PAIR) for start in range(len(piece) - 1))
            elif piece:
                found.update((piece[start : start + _TRIPLE], _PAIR) for start in range(len(piece) - _TRIPLE + 1))
                found[piece] = _PAIR
    return found


def direction(found: dict[str, int], size: int) -> Vector:
    """The sum of the directions of weighted tokens: (size,) float32 of length 1, or zeros without tokens."""
    return _unit(_total(found, size))


def part(text: str, size: int, facts: Sequence[str] = ()) -> Vector:
    """The vector, in `size` free dimensions, of a photo with that visible text and these facts.

    The first of the facts is its description, empty where it has none. The vector's length is 1. Without text it is
    shorter, so that such photos disturb searches for texts less.
    """
    said = _total(weights(text), size)
    known = [
        (share, total)
        for share, some in zip(_BESIDE_TEXT if said.any() else _WITHOUT_TEXT, (facts[:1], facts[1:]), strict=True)
        if (total := _total(_facts(some), size)).any()
    ]
    if not known:
        return _unit(said)
    whole = np.zeros(size)
    for share, total in known:
        whole += math.sqrt(share) * (total / _length(total))
    if said.any():
        whole += math.sqrt(1 - math.fsum(share for share, _ in known)) * (said / _length(said))
        whole /= math.sqrt(math.fsum(whole * whole))  # the parts are nearly orthogonal, but not quite
    vector: Vector = whole.astype(np.float32)
    return vector


def question(text: str, size: int) -> Vector:
    """The vector of a query for photos that say `text`. Single characters count only in a query without any pair."""
    return direction(_asked(text), size)


def question_of_facts(text: str, size: int, names: Iterable[str] = ()) -> Vector:
    """The same for photos whose facts say `text`. `names`: what else they may say instead."""
    known = {_FACT + token: weight for token, weight in _asked(text).items()}
    return direction(known | _facts(names), size)


def _asked(text: str) -> dict[str, int]:
    found = weights(text)
    return {token: weight for token, weight in found.items() if weight > _SINGLE} or found


def _facts(values: Iterable[str]) -> dict[str, int]:
    return {_FACT + token: weight for value in values for token, weight in weights(value).items()}


def _total(found: dict[str, int], size: int) -> Total:
    heavy = np.array(list(found.values()), dtype=np.float32)
    # +1 and -1 are computed as 2 * bit - 1. These are whole numbers, so float32 adds them exactly in any order.
    total: Total = (2 * (heavy @ _bits(list(found), size)) - heavy.sum()).astype(np.int64)
    return total


def _length(total: Total) -> float:
    return math.sqrt(float(total @ total))


def _unit(total: Total) -> Vector:
    length = _length(total)
    unit: Vector = (total / length if length else total).astype(np.float32)
    return unit


def _bits(found: Sequence[str], size: int) -> Vector:
    width = (size + 7) // 8
    stream = b"".join(hashlib.shake_128(token.encode()).digest(width) for token in found)
    bits = np.unpackbits(np.frombuffer(stream, dtype=np.uint8)).reshape(len(found), 8 * width)[:, :size]
    return bits.astype(np.float32)
