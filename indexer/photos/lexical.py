"""The words of a photo as numbers, for the dimensions of Immich's vector column that the CLIP model leaves free.

A text is the sum of one pseudo-random direction for each of its tokens, made as long as 1. The direction of a token is
for ever: dimension i is +1 where bit i of SHAKE-128 of the token's UTF-8 is set (the most significant bit of each byte
first) and -1 where it is not, so a wider column only goes on where a narrower one ends. After Lin and Lin, "A Dense
Representation Framework for Lexical and Semantic Matching" (2023), with hashed directions in place of slices.

Tokens come from our own tokeniser alone, never from zhparser: every server gives the same vectors. They are the pairs
and, at 2/5 of their weight, the single characters of Chinese; of everything else the triples and the whole word.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from indexer.text import tokens
from indexer.text.normalise import HAN

Vector = npt.NDArray[np.float32]

VERSION = 3  # raised when the same text would give other numbers: the vectors of an older version are written again

_PAIR, _SINGLE = 5, 2  # whole numbers, whose sums are the same on every machine
_TRIPLE = 3
_HAN = re.compile(f"([{HAN}]+)")
_PREFIX = re.compile(r"\s*[oｏ][cｃ][rｒ]\s*[:：]", re.IGNORECASE)


def words_only(query: str) -> str | None:
    """What is left of a query after the prefix `ocr:`, in any width and case; None without it."""
    prefix = _PREFIX.match(query)
    return None if prefix is None else query[prefix.end() :]


def weights(text: str) -> dict[str, int]:
    """The tokens of a text and what each weighs in it, however often it is there."""
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
    """The sum of the directions of weighted tokens: (size,) float32 of length 1, or zeros where there are none."""
    heavy = np.array(list(found.values()), dtype=np.float32)
    # +1 and -1 as twice 1 and 0 less 1: whole numbers, which float32 adds up exactly in any order.
    total = (2 * (heavy @ _bits(list(found), size)) - heavy.sum()).astype(np.int64)
    length = np.sqrt(float(total @ total))
    unit: Vector = (total / length if length else total).astype(np.float32)
    return unit


def part(text: str, size: int) -> Vector:
    """What a photo with that visible text has in `size` free dimensions."""
    return direction(weights(text), size)


def question(text: str, size: int) -> Vector:
    """What a person asks who types `text`: as `part`, by single characters only where there is no pair."""
    found = weights(text)
    return direction({token: weight for token, weight in found.items() if weight > _SINGLE} or found, size)


def _bits(found: Sequence[str], size: int) -> Vector:
    width = (size + 7) // 8
    stream = b"".join(hashlib.shake_128(token.encode()).digest(width) for token in found)
    bits = np.unpackbits(np.frombuffer(stream, dtype=np.uint8)).reshape(len(found), 8 * width)[:, :size]
    return bits.astype(np.float32)
