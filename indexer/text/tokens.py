"""Texts as n-grams with positions, so that any piece of a text is found as a phrase of its n-grams.

A run is a stretch of letters and digits of any script. Every character of a run has a position and stands there with
its successor (a bigram); the last one stands alone. A query of n >= 2 characters is the phrase of its n - 1 bigrams, a
single character is a prefix. Chinese is written without spaces, so white space between two Chinese characters (a line
that wraps) does not end a run.
"""

import re

from indexer.text.normalise import normalise

VERSION = 1  # raised when the same text would give another document: documents of an older version are made again
_LAST_POSITION = 16383  # what a tsvector can hold

_HAN = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_WRAP = re.compile(f"(?<=[{_HAN}])\\s+(?=[{_HAN}])")
_RUN = re.compile(r"[^\W_]+")


def runs(text: str) -> list[str]:
    """The runs of letters and digits of a text, normalised, in order."""
    return _RUN.findall(_WRAP.sub("", normalise(text)))


def document(text: str) -> str:
    """A text as the literal of a tsvector of its n-grams."""
    places: dict[str, list[int]] = {}
    position = 1
    for run in runs(text):
        for start in range(len(run)):
            if position <= _LAST_POSITION:
                places.setdefault(run[start : start + 2], []).append(position)
            position += 1
        position += 1  # no phrase reaches over the end of a run
    return " ".join(f"'{gram}':{','.join(map(str, where))}" for gram, where in places.items())


def query(text: str) -> str | None:
    """A person's words as the literal of a tsquery that matches documents with each of them; None if there are none.

    Only letters and digits get into it, each n-gram quoted: nothing a person types is read as an operator.
    """
    phrases = []
    for run in dict.fromkeys(runs(text)):
        if len(run) == 1:
            phrases.append(f"'{run}':*A")
        else:
            grams = [f"'{run[start : start + 2]}':A" for start in range(len(run) - 1)]
            phrases.append("(" + " <-> ".join(grams) + ")")
    return " & ".join(phrases) or None
