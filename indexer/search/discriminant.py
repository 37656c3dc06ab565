"""The query vector that separates photos that match some words from all others: linear discriminant analysis per query.

The matching photos come from the exact text index. The other photos are described by a sample of the library, taken
once and not for each query: its mean and covariance. Whitening with the covariance has the effect of weighting words by
rarity, and also weights combinations of words. (Fisher 1936; regularised as in Friedman, "Regularized Discriminant
Analysis", 1989.)

Half of the result is what the matches have in common. The other half is the direction of the words themselves, which
later photos with these words share. Then sampled photos that would come too near are pushed away one by one: a support
vector machine in the whitened space, whose constraints are found by looking for violated ones. (Joachims, Finley and
Yu, "Cutting-Plane Training of Structural SVMs", 2009.)
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.floating]

_FEWEST = 10  # up to so many matches the common direction reaches each of them, for more it is their mean
_RIDGE = 0.1  # for few matches: how far from each the common direction may stay
_EACH = 50  # up to so many matches the result reaches each of them
_SLACK = 0.02  # how far from each the result may stay
_GAP = 0.6  # a photo that is less than so far below the matches is pushed away, to
_FAR = 0.1
_BATCH = 128  # photos pushed away in one round, the nearest first
_MODEL = np.float32(1.5)  # weight of the model's part: with less, an HNSW index finds fewer of the matches
_ENOUGH = 4  # rounds, if all matches then come before all other photos
_ROUNDS = 10  # rounds, if they do not


@dataclass(frozen=True)
class Background:
    """A statistical description of the library's photos.

    `rows` (photos, n) is a sample, `mean` (n,) its mean, `inverse` (n, n) the inverse of its regularised covariance.
    """

    rows: Matrix
    mean: Vector
    inverse: Matrix
    # The whitened `rows` computed so far, kept for other queries: the same photos often come too near again.
    _white: dict[int, Vector] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, rows: Matrix, owners: Sequence[Hashable]) -> Self:
        """From a sample (photos, n). Each owner's photos together have the same weight."""
        if not len(rows):
            return cls.unknown(rows.shape[1])
        share = _shares(owners)
        mean = share @ rows
        centred = (rows - mean) * np.sqrt(share)[:, None]
        covariance = centred.T @ centred
        covariance[np.diag_indices_from(covariance)] += max(np.trace(covariance) / len(covariance), 1e-6)
        return cls(rows, mean, np.linalg.inv(covariance))

    @classmethod
    def unknown(cls, size: int) -> Self:
        """For a library of which nothing is known."""
        none = np.zeros((0, size), dtype=np.float32)
        return cls(none, np.zeros(size, dtype=np.float32), np.eye(size, dtype=np.float32))

    def question(
        self,
        matches: Matrix,
        owners: Sequence[Hashable],
        *,
        words: Vector | None = None,
        dimensions: int = 0,
        others: Mask | None = None,
    ) -> Vector:
        """The direction (n,) along which `matches` (photos, n) are at 1 on average and the background at 0.

        Each owner's matches together have the same weight.

        Args:
            matches: photos that match, at least one.
            owners: the owner of each.
            words: the direction (n,) of the query's words, which later matching photos will share. None without one.
            dimensions: how many dimensions at the beginning are the CLIP model's. Words have no part in them, so there
                the whole result is what the matches have in common. An HNSW index, whose graph mostly follows the
                model, is guided by it.
            others: which of `rows` are known not to match. None if that is not known.
        """
        share = _shares(owners)
        found = _Rows.of(matches - self.mean, self.inverse)
        start = self._common(found, share)
        if words is not None:
            named = self.scaled(words, matches, owners)
            if named.any():
                common = self.scaled(start, matches, owners)
                start = np.float32(0.5) * (common + named)
                start[:dimensions] = _MODEL * common[:dimensions]
        if others is not None:
            start = self._apart(start, found, share, others)
        return self.scaled(start, matches, owners)

    def toward(self, words: Vector) -> Vector:
        """The direction (n,) of words that no photo has. The sampled photos that come nearest are pushed away."""
        false = _largest(self.rows @ words - self.mean @ words, _BATCH)
        if not (len(false) and words.any()):
            return words
        return self._sampled(false).pushed(words, np.zeros(len(false)), np.full(len(false), _SLACK))

    def scaled(self, direction: Vector, matches: Matrix, owners: Sequence[Hashable]) -> Vector:
        """`direction`, scaled so that `matches` are 1 above the background on average. Zeros if they are not above."""
        above = float(_shares(owners) @ ((matches - self.mean) @ direction))
        return direction / np.float32(above) if above > 0 else np.zeros_like(direction)

    def _common(self, found: "_Rows", share: Vector) -> Vector:
        """Ridge regression in its dual form. Of few rows each is reached, of more rows their mean."""
        count = len(share)
        slack = _RIDGE * max(1.0, count / _FEWEST) ** 2 / (count * share)
        return found.pushed(np.zeros_like(self.mean), np.ones(count), slack)

    def _apart(self, start: Vector, found: "_Rows", share: Vector, others: Mask) -> Vector:
        """`start`, changed as little as possible so that every match is above all `others`, while that is possible."""
        count = len(share)
        held = found
        targets: Numbers = np.maximum(1, found.rows @ start)
        slack: Numbers = _SLACK * max(1.0, count / _EACH) ** 2 / (count * share)
        pushed = np.zeros(len(self.rows), dtype=np.bool_)
        direction = start
        for number in range(_ROUNDS):
            direction = held.pushed(start, targets, slack)
            lowest = float((found.rows @ direction).min())
            scores = np.where(others, self.rows @ direction - self.mean @ direction, -np.inf)
            if number >= _ENOUGH and scores.max(initial=-np.inf) < lowest:
                break
            false = _largest(np.where(pushed, -np.inf, scores), _BATCH)
            false = false[scores[false] > min(1.0, lowest) - _GAP]
            if not len(false):
                break
            pushed[false] = True
            held = held.and_(self._sampled(false))
            targets = np.concatenate([targets, np.full(len(false), _FAR)])
            slack = np.concatenate([slack, np.full(len(false), _SLACK)])
        return direction

    def _sampled(self, places: Places) -> "_Rows":
        """Those of `rows`."""
        rows: Matrix = self.rows[places] - self.mean
        new = [number for number, place in enumerate(places.tolist()) if place not in self._white]
        self._white.update(zip(places[new].tolist(), rows[new] @ self.inverse, strict=True))
        white = np.stack([self._white[place] for place in places.tolist()])
        return _Rows(rows, white, white @ rows.T)


@dataclass(frozen=True)
class _Rows:
    """Photos minus the mean: `rows` (photos, n), the same whitened, and `kernel` (photos, photos), their products."""

    rows: Matrix
    white: Matrix
    kernel: Matrix

    @classmethod
    def of(cls, rows: Matrix, inverse: Matrix) -> Self:
        white: Matrix = rows @ inverse
        kernel: Matrix = white @ rows.T
        return cls(rows, white, kernel)

    def and_(self, more: "_Rows") -> "_Rows":
        """Both together."""
        between = self.white @ more.rows.T
        kernel = np.concatenate(
            [np.concatenate([self.kernel, between], axis=1), np.concatenate([between.T, more.kernel], axis=1)]
        )
        return _Rows(np.concatenate([self.rows, more.rows]), np.concatenate([self.white, more.white]), kernel)

    def pushed(self, start: Vector, targets: Numbers, slack: Numbers) -> Vector:
        """`start`, changed as little as possible so that each of `rows` is within its `slack` of its target."""
        kernel = self.kernel.astype(np.float64)
        diagonal = np.diag_indices_from(kernel)
        kernel[diagonal] += slack * max(np.trace(kernel) / len(kernel), 1e-12)
        change = np.linalg.solve(kernel, targets - self.rows @ start).astype(np.float32) @ self.white
        return (start + change).astype(np.float32)


def _largest(scores: Vector, count: int) -> Places:
    """The positions of the `count` largest finite scores, unordered."""
    found = np.argpartition(-scores, count)[:count] if len(scores) > count else np.arange(len(scores))
    return found[np.isfinite(scores[found])]


def _shares(owners: Sequence[Hashable]) -> Vector:
    """The weight of each row. All together have 1, and each owner's rows the same part of it."""
    counts: dict[Hashable, int] = {}
    for owner in owners:
        counts[owner] = counts.get(owner, 0) + 1
    return np.array([1 / (len(counts) * counts[owner]) for owner in owners], dtype=np.float32)
