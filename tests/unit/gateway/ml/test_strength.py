"""How strongly words count beside the meaning."""

import numpy as np
import pytest

from gateway.ml import strength
from gateway.ml.strength import enough

MODEL, PHOTOS = 64, 3000


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("matching", "words"), [(1, 32), (4, 32), (10, 32), (25, 64)])
@pytest.mark.parametrize("sampled", [PHOTOS, 1000])
def test_the_few_photos_with_the_words_come_first(matching, words, sampled):
    chance = np.random.default_rng(matching)
    parts = [unit(chance.normal(size=(PHOTOS, size))) for size in (MODEL, words)]
    direction = np.concatenate([np.zeros(MODEL), unit(chance.normal(size=words))]).astype(np.float32)
    photos = np.concatenate(parts, axis=1)
    photos[:matching, MODEL:] += direction[MODEL:] - 0.3 * photos[:matching, MODEL:]
    meaning = unit(chance.normal(size=MODEL))
    matches, others = photos[:matching], photos[matching:]
    weight = enough(direction, meaning, matches, others[:sampled], len(others))

    def last(weight: float) -> int:
        scores = photos[:, :MODEL] @ meaning + weight * photos @ direction
        return int((scores > scores[:matching].min()).sum()) + 1

    assert last(weight) == matching
    assert last(0.5 * weight) > matching, "and no stronger than that takes"


def test_photos_that_are_near_already_need_nothing():
    meaning = np.array([1, 0], dtype=np.float32)
    photos = np.array([[1, 0, 1], *([[0, 1, 0]] * 20)], dtype=np.float32)
    direction = np.array([0, 0, 1], dtype=np.float32)
    assert enough(direction, meaning, photos[:1], photos[1:], 20) == 0
    assert enough(direction, meaning, photos[:1], photos[:0], 0) == 0


def test_photos_with_and_without_text_are_equally_near():
    photos = np.array([[0.5, 0], [0.7, 0], [0.1, 0.8]], dtype=np.float32)
    direction = np.array([1, 0], dtype=np.float32)
    direction[-1] = strength.of_wordless(direction, photos)
    scores = photos @ direction
    assert scores[:2].mean() == pytest.approx(scores[2])
    assert strength.of_wordless(direction, photos[:2]) == strength.of_wordless(direction, photos[2:]) == 0
