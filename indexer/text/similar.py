"""Finds where a text contains a phrase with at most one character misread, missing or added.

This is shift-and with one error. Each character of the text costs a few operations on integers with as many bits as the
phrase has characters, whatever the text is. (Wu and Manber, "Fast Text Searching Allowing Errors", 1992.)
"""

from collections.abc import Iterator


def says(phrase: str, text: str) -> bool:
    """Whether a piece of `text` equals `phrase` with at most one error."""
    return next(spans(phrase, text), None) is not None


def spans(phrase: str, text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of such pieces, in order, not overlapping. `phrase` has at least two characters."""
    size, half = len(phrase), len(phrase) // 2
    if phrase[:half] not in text and phrase[half:] not in text:  # one error can change only one half
        return
    masks: dict[str, int] = {}
    for place, character in enumerate(phrase):
        masks[character] = masks.get(character, 0) | 1 << place
    last = 1 << size - 1
    begin, end = 0, 0
    exact, near = 0, 1  # bit i: the text read so far ends with the first i + 1 characters, without or with an error
    while end < len(text):
        mask = masks.get(text[end], 0)
        before = exact
        exact = (exact << 1 | 1) & mask
        near = (near << 1 | 1) & mask | before | before << 1 | exact << 1 | 1
        end += 1
        if near & last:
            piece = _best(phrase, text, begin, end)
            yield piece
            begin = end = piece[1]
            exact, near = 0, 1


def _best(phrase: str, text: str, begin: int, end: int) -> tuple[int, int]:
    """The best piece that ends where the first one does, or a character later: so far the last may just be missing."""
    size = len(phrase)
    found = [
        (_errors(phrase, text[start:stop]), abs(stop - start - size), start, stop)
        for stop in (end, end + 1)
        for start in (stop - size, stop - size + 1, stop - size - 1)
        if begin <= start and stop <= len(text)
    ]
    _, _, start, stop = min(found)
    return start, stop


def _errors(one: str, other: str) -> int:
    """0 or 1, or 2 for more."""
    if one == other:
        return 0
    pairs = zip(one, other, strict=False)
    at = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    rests = (one[at:], other[at + 1 :]), (one[at + 1 :], other[at:]), (one[at + 1 :], other[at + 1 :])
    return 1 if any(a == b for a, b in rests) else 2
