"""How well a model finds photos by words that are known to fit them: R@10, and whether two models really differ."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

FIRST = 10  # photos of a ranking that count
_RESAMPLES = 2000
_ENDS = (2.5, 97.5)  # per cent: of a 95 % interval


def recalls(questions: Array, photos: Array, fitting: Sequence[frozenset[int]]) -> npt.NDArray[np.float64]:
    """R@10 of each question: the share of the photos that fit it, of 10 at most, that are among the first 10.

    Args:
        questions: (q, d), one vector for each.
        photos: (n, d), each of length 1.
        fitting: which photos fit each question, at least one.

    Returns:
        (q,), 0 to 1.
    """
    first = np.argsort(-(questions @ photos.T), axis=1, kind="stable")[:, :FIRST]
    pairs = zip(fitting, first.tolist(), strict=True)
    return np.array([len(fits.intersection(row)) / min(len(fits), FIRST) for fits, row in pairs], dtype=np.float64)


def interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean of paired `differences`, at least one, by the bootstrap's percentiles.

    Source: B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. The same differences
    always give the same interval.
    """
    drawn = np.random.default_rng(0).integers(0, len(differences), (_RESAMPLES, len(differences)))
    low, high = np.percentile(differences[drawn].mean(axis=1), _ENDS)
    return float(low), float(high)
