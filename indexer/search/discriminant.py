"""The question that tells photos that match some words from the others: linear discriminant analysis, per query.

The photos that match come from the exact index. What they are told from is not sought anew for every query: a sample
of the library gives the mean and the covariance of everything that does not match. Whitening with it is what weighing
words by rarity would be, and it weighs combinations too. (Fisher 1936; regularised as in Friedman, "Regularized
Discriminant Analysis", 1989.)

Half of the answer is what the matches have in common, and half the direction of the words themselves, which photos that
come later share. Then the sampled photos that would come too near are pushed away one by one: a support vector machine
in the whitened space, whose constraints are found by looking for those that are violated. (Joachims, Finley and Yu,
"Cutting-Plane Training of Structural SVMs", 2009.)
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

_FEWEST = 10  # matches up to which the common direction reaches each of them; of more, what they have in common
_RIDGE = 0.1  # how far from each match the common direction may stay, for few
_EACH = 50  # matches up to which the answer reaches each of them
_SLACK = 0.02  # how far from each it may stay
_GAP = 0.6  # a photo that comes nearer than so far below the matches is pushed away, to
_FAR = 0.1
_BATCH = 128  # photos pushed away in one round, the nearest first
_MODEL = np.float32(1.5)  # how much the model's part counts: less leads worse through an HNSW index
_ENOUGH = 4  # rounds, if all matches then come before all others
_ROUNDS = 10  # if they do not


@dataclass(frozen=True)
class Background:
    """What photos of the library look like.

    `rows` (photos, n) is a sample of them, `mean` (n,) theirs, `inverse` (n, n) of their regularised covariance.
    """

    rows: Matrix
    mean: Vector
    inverse: Matrix
    # What was whitened of `rows` so far, for other questions: photos that come too near often come near again.
    _white: dict[int, Vector] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, rows: Matrix, owners: Sequence[Hashable]) -> Self:
        """From a sample (photos, n), of which each owner's part counts the same."""
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
        """Of a library of which nothing is known."""
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
        """The direction (n,) along which `matches` (photos, n) stand at 1 on average and the background at 0.

        Each owner's matches count the same.

        Args:
            matches: photos that match, at least one.
            owners: whose they are.
            words: the direction (n,) of what was asked, which photos that match will share; None where it has none.
            dimensions: how many at the beginning are the CLIP model's, which words say nothing of. There all of the
                answer is what the matches have in common: an HNSW index, whose graph follows the model, is led by it.
            others: which of `rows` are known not to match; None where nobody knows.
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
        """The direction of words (n,) that no photo says, with the sampled photos that come nearest pushed away."""
        false = _largest(self.rows @ words - self.mean @ words, _BATCH)
        if not (len(false) and words.any()):
            return words
        return self._sampled(false).pushed(words, np.zeros(len(false)), np.full(len(false), _SLACK))

    def scaled(self, direction: Vector, matches: Matrix, owners: Sequence[Hashable]) -> Vector:
        """`direction` made so long that `matches` are 1 above the background on average; zeros where they are not."""
        above = float(_shares(owners) @ ((matches - self.mean) @ direction))
        return direction / np.float32(above) if above > 0 else np.zeros_like(direction)

    def _common(self, found: "_Rows", share: Vector) -> Vector:
        """Ridge regression in its dual form: few rows are reached one by one, of more their mean."""
        count = len(share)
        slack = _RIDGE * max(1.0, count / _FEWEST) ** 2 / (count * share)
        return found.pushed(np.zeros_like(self.mean), np.ones(count), slack)

    def _apart(self, start: Vector, found: "_Rows", share: Vector, others: Mask) -> Vector:
        """`start`, changed as little as keeps every match above every one of `others`, while that is possible."""
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
        """Some of `rows`."""
        rows: Matrix = self.rows[places] - self.mean
        new = [number for number, place in enumerate(places.tolist()) if place not in self._white]
        self._white.update(zip(places[new].tolist(), rows[new] @ self.inverse, strict=True))
        white = np.stack([self._white[place] for place in places.tolist()])
        return _Rows(rows, white, white @ rows.T)


@dataclass(frozen=True)
class _Rows:
    """Photos, less the mean: `rows` (photos, n), the same whitened, and `kernel` (photos, photos), their products."""

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
        """`start`, changed as little as brings each of `rows` to its target, give or take its share of `slack`."""
        kernel = self.kernel.astype(np.float64)
        diagonal = np.diag_indices_from(kernel)
        kernel[diagonal] += slack * max(np.trace(kernel) / len(kernel), 1e-12)
        change = np.linalg.solve(kernel, targets - self.rows @ start).astype(np.float32) @ self.white
        return (start + change).astype(np.float32)


def _largest(scores: Vector, count: int) -> Places:
    """Where the `count` largest finite scores stand, in no order."""
    found = np.argpartition(-scores, count)[:count] if len(scores) > count else np.arange(len(scores))
    return found[np.isfinite(scores[found])]


def _shares(owners: Sequence[Hashable]) -> Vector:
    """What each row counts: all together 1, each owner's the same."""
    counts: dict[Hashable, int] = {}
    for owner in owners:
        counts[owner] = counts.get(owner, 0) + 1
    return np.array([1 / (len(counts) * counts[owner]) for owner in owners], dtype=np.float32)
