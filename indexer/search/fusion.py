"""Merges two rankings: photos found by words and photos found by meaning.

Each side's scores are scaled over its candidates and weighted. Reciprocal rank fusion uses ranks only. Scores tell
more: a sign with exactly the words of the query differs from a page that contains them somewhere. A literal match comes
before a photo that only shows the thing. Among literal matches those in the script of Chinese that was typed come
first. On a labelled library both methods are equally good (`python -m bench fusion`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from indexer.search.meaning import Near
from indexer.search.words import Candidate

_LITERAL = 0.5  # score of the weakest literal match: the best has 1
_FORGIVEN = 0.95  # score of a match with a misread character: less than that of the nearest photo


@dataclass(frozen=True)
class Fused:
    """A photo's score and its two parts, words and meaning, 0 to 1 each. None where it was not found that way."""

    score: float
    words: float | None
    meaning: float | None


def fuse(texts: Sequence[Candidate], nears: Sequence[Near], weight: float) -> dict[UUID, Fused]:
    """Merge both kinds of candidates (each best first), best first. `weight` is the weight of the words, 0 to 1.

    Photos without these words keep the order of `nears`. Among the photos with them, those that match as they are
    written take the first of their places, of these those in the script that was typed, and of these those with
    better places of the words.
    """
    best = max((text.score for text in texts), default=0) or 1
    words = {text.asset_id: _LITERAL + (1 - _LITERAL) * text.score / best for text in texts}
    better = {text.asset_id: (text.pinyin, not text.as_typed, -text.grade) for text in texts}
    weights = {text.asset_id: weight_of(text, weight) for text in texts}
    top, bottom = (nears[0].similarity, nears[-1].similarity) if nears else (0, 0)
    meaning = {near.asset_id: 1 - (top - near.similarity) / ((top - bottom) or 1) for near in nears}
    fused = {}
    for asset in dict.fromkeys([*words, *meaning]):
        said, shown = words.get(asset), meaning.get(asset)
        score = weights.get(asset, 0) * (said or 0) + (1 - weight) * (shown or 0)
        fused[asset] = Fused(score, said, shown)
    order = sorted(fused, key=lambda asset: -fused[asset].score)
    places = iter(sorted((asset for asset in order if asset in words), key=better.__getitem__))
    ranked = [next(places) if asset in words else asset for asset in order]
    scores = [fused[asset].score for asset in order]
    return {asset: replace(fused[asset], score=score) for asset, score in zip(ranked, scores, strict=True)}


def weight_of(text: Candidate, weight: float) -> float:
    """The weight of a match by words, where a literal match has `weight`."""
    return _FORGIVEN * min(weight, 1 - weight) if text.forgiven else weight
