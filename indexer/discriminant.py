"""The question that tells photos that match some words from the others: linear discriminant analysis, per query.

The photos that match come from the exact index. What they are told from is not sought anew for every query: a sample
of the library, taken now and then, gives the mean and the covariance of everything that does not match. Whitening with
it is what weighing words by rarity would be, and it weighs combinations too. (Fisher 1936; regularised as in Friedman,
"Regularized Discriminant Analysis", 1989.)
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]

_FEWEST = 10  # matches up to which each of them is reached; of more, what they have in common
_RIDGE = 0.1  # how far from each match the answer may stay, for few


@dataclass(frozen=True)
class Background:
    """What photos of the library look like: `mean` (n,), `inverse` (n, n) of the regularised covariance."""

    mean: Vector
    inverse: Matrix

    @classmethod
    def of(cls, rows: Matrix, owners: Sequence[Hashable]) -> Self:
        """From a sample (photos, n), of which each owner's part counts the same."""
        share = _shares(owners)
        mean = share @ rows
        centred = (rows - mean) * np.sqrt(share)[:, None]
        covariance = centred.T @ centred
        covariance[np.diag_indices_from(covariance)] += max(np.trace(covariance) / len(covariance), 1e-6)
        return cls(mean, np.linalg.inv(covariance))

    @classmethod
    def unknown(cls, size: int) -> Self:
        """Of a library of which nothing is known."""
        return cls(np.zeros(size, dtype=np.float32), np.eye(size, dtype=np.float32))

    def question(self, matches: Matrix, owners: Sequence[Hashable]) -> Vector:
        """The direction (n,) along which `matches` (photos, n) stand at 1 on average and the background at 0.

        Ridge regression in its dual form, each owner's matches counting the same. Few are reached one by one; the more
        there are the nearer it comes to their mean, which unseen photos with the same words share.
        """
        rows = matches - self.mean
        count, share = len(rows), _shares(owners)
        white = rows @ self.inverse
        kernel = white @ rows.T
        slack = _RIDGE * max(1.0, count / _FEWEST) ** 2 * np.trace(kernel) / count
        kernel[np.diag_indices(count)] += (slack / (count * share)).astype(np.float32)
        direction = np.linalg.solve(kernel, np.ones(count)) @ white
        return self.scaled(direction.astype(np.float32), matches, owners)

    def scaled(self, direction: Vector, matches: Matrix, owners: Sequence[Hashable]) -> Vector:
        """`direction` made so long that `matches` are 1 above the background on average; zeros where they are not."""
        above = float(_shares(owners) @ ((matches - self.mean) @ direction))
        return direction / np.float32(above) if above > 0 else np.zeros_like(direction)


def _shares(owners: Sequence[Hashable]) -> Vector:
    """What each row counts: all together 1, each owner's the same."""
    counts: dict[Hashable, int] = {}
    for owner in owners:
        counts[owner] = counts.get(owner, 0) + 1
    return np.array([1 / (len(counts) * counts[owner]) for owner in owners], dtype=np.float32)
