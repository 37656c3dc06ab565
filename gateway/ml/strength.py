"""How strongly the words of a search count beside its meaning, in Immich's own search box.

Immich ranks by one vector. The more words count in it, the more they also disturb the order of photos without them. So
they count as little as is enough for the few photos that have them to come first.
"""

from statistics import NormalDist

import numpy as np

from gateway.library import Vector

FEW = 25  # if so few photos of a user have the words of a search, they come first
_CLEAR = 0.2  # so much nearer by words than any other photo they are taken to be at least, of 1
_HALVINGS = 10  # to find the weight


def enough(direction: Vector, meaning: Vector, matches: Vector, others: Vector, photos: int) -> float:
    """The least weight of `direction` with which all matches come before all other photos.

    Args:
        direction: of the words, (n,): the matches are 1 above other photos on average.
        meaning: the model's vector of the search, (m,): the first dimensions of photos.
        matches: the photos that have the words, (photos, n).
        others: a sample of the other photos, (photos, n).
        photos: how many others there are.
    """
    if not len(others):
        return 0
    size = len(meaning)
    near, said = others[:, :size] @ meaning, others @ direction
    matches_near, matches_said = matches[:, :size] @ meaning, matches @ direction
    # Enough even if the one nearest by meaning is also the one nearest by words.
    gained = np.maximum(matches_said - said.max(), _CLEAR)
    low, high = 0.0, float(((_highest(near, photos) - matches_near) / gained).max())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (matches_near + middle * matches_said).min() > _highest(near + middle * said, photos):
            high = middle
        else:
            low = middle
    return max(high, 0)


def of_wordless(direction: Vector, others: Vector) -> float:
    """The last number of `direction` with which others with and without text are equally near on average.

    `direction` (n,) and `others` (photos, n), of which the last number is 0 in a photo with text.
    """
    worded = others[:, -1] == 0
    if worded.all() or not worded.any():
        return 0
    scores = others[:, :-1] @ direction[:-1]
    return float((scores[worded].mean() - scores[~worded].mean()) / others[~worded, -1].mean())


def _highest(scores: Vector, photos: int) -> float:
    """The highest score of so many photos, of which these are a sample: at least what a normal distribution has."""
    share = 1 / max(2 * photos, 2 * len(scores))
    return float(max(scores.max(), scores.mean() - NormalDist().inv_cdf(share) * scores.std()))
