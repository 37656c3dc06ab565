"""The pieces of a text by which other texts are compared with it."""

import re
from collections.abc import Sequence

from indexer.text.normalise import HAN
from indexer.text.tokens import canonical

_PARTS = re.compile(f"[{HAN}]+|[^\\W_{HAN}]+")
_SIZE = 3  # characters in a row of Chinese


def pieces_of(lines: Sequence[str], most: int) -> list[str]:
    """At most `most` pieces, from everywhere in the text, in canonical form (see tokens.py), each once.

    A piece is three characters in a row of Chinese, a shorter run of them, or a word or number of three characters or
    more. A single character says nothing.
    """
    found: dict[str, None] = {}
    for line in lines:
        for part in _PARTS.findall(canonical(line)):
            chinese = re.match(f"[{HAN}]", part)
            if chinese and len(part) > 1:
                found |= dict.fromkeys(part[at : at + _SIZE] for at in range(max(len(part) - _SIZE, 0) + 1))
            elif len(part) >= _SIZE:
                found[part] = None
    pieces = list(found)
    step = max(len(pieces) / most, 1)
    return [pieces[int(number * step)] for number in range(min(len(pieces), most))]
