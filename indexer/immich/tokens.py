"""Immich's own tokenisation of OCR text, so that its OCR filter finds what we write into `ocr_search`."""

import re
from itertools import pairwise

# What Immich counts as Chinese, Japanese or Korean.
_CJK = "\u4e00-\u9fff\uac00-\ud7af\u3040-\u309f\u30a0-\u30ff\u3400-\u4dbf"
_RUN = re.compile(f"([{_CJK}]+)|[^\0-\x20{_CJK}]+")


def tokens(text: str) -> list[str]:
    """Tokens of one line, as Immich makes them.

    Control characters and spaces up to U+0020 separate tokens. A run of one CJK character stays, a run of n becomes
    its n - 1 overlapping pairs. Any other run is one token, with its punctuation. Immich looks at UTF-16 code units.
    The result is the same, because all characters beyond U+FFFF are of the other kind, and so are both their units.
    """
    found: list[str] = []
    for run in _RUN.finditer(text):
        piece = run[0]
        if run[1] and len(piece) > 1:
            found += map("".join, pairwise(piece))
        else:
            found.append(piece)
    return found


def search_text(lines: list[str]) -> str:
    """What Immich stores in `ocr_search.text` for these lines."""
    return " ".join(token for line in lines for token in tokens(line))
