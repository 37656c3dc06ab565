"""The words of a photo as a vector, for the dimensions of Immich's vector column that the CLIP model leaves free.

A text is the sum of one pseudo-random direction for each of its tokens, scaled to length 1. The direction of a token
never changes: dimension i is +1 where bit i of SHAKE-128 of the token's UTF-8 is set (the most significant bit of each
byte first), otherwise -1. So a wider column continues a narrower one. After Lin and Lin, "A Dense Representation
Framework for Lexical and Semantic Matching" (2023), with hashed directions in place of slices.

The tokens come from our own tokeniser, never from zhparser, so that every server computes the same vectors. For Chinese
they are pairs of characters and, with 2/5 of their weight, single characters. For all else: triples and whole words.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from indexer.text import tokens
from indexer.text.normalise import HAN

Vector = npt.NDArray[np.float32]

VERSION = 3  # raised when the same text would give other numbers: older vectors are then written again

_PAIR, _SINGLE = 5, 2  # whole numbers: their sums are the same on every machine
_TRIPLE = 3
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
    heavy = np.array(list(found.values()), dtype=np.float32)
    # +1 and -1 are computed as 2 * bit - 1. These are whole numbers, so float32 adds them exactly in any order.
    total = (2 * (heavy @ _bits(list(found), size)) - heavy.sum()).astype(np.int64)
    length = np.sqrt(float(total @ total))
    unit: Vector = (total / length if length else total).astype(np.float32)
    return unit


def part(text: str, size: int) -> Vector:
    """The vector, in `size` free dimensions, of a photo with that visible text."""
    return direction(weights(text), size)


def question(text: str, size: int) -> Vector:
    """The vector of a query `text`: as `part`, but single characters count only in a query without any pair."""
    found = weights(text)
    return direction({token: weight for token, weight in found.items() if weight > _SINGLE} or found, size)


def _bits(found: Sequence[str], size: int) -> Vector:
    width = (size + 7) // 8
    stream = b"".join(hashlib.shake_128(token.encode()).digest(width) for token in found)
    bits = np.unpackbits(np.frombuffer(stream, dtype=np.uint8)).reshape(len(found), 8 * width)[:, :size]
    return bits.astype(np.float32)
