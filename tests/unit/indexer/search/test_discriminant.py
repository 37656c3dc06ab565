import os
import random
import subprocess
import sys

import numpy as np
import pytest

from indexer.photos import lexical
from indexer.photos.vectors import as_column, scales
from indexer.search.discriminant import Background

SIZE = 511
ALPHABET = [chr(0x4E00 + number) for number in range(300)]


def library(seed: int, count: int, word: str = "", every: int = 1) -> np.ndarray:
    """Texts of 40 characters drawn like words are, a few of them often; each `every`th says `word`."""
    choose = random.Random(seed)
    often = [1 / (rank + 3) for rank in range(len(ALPHABET))]
    texts = ["".join(choose.choices(ALPHABET, often, k=40)) for _ in range(count)]
    return np.stack(
        [
            lexical.part(text[:20] + word + text[20:] if not number % every else text, SIZE)
            for number, text in enumerate(texts)
        ]
    )


def found(question: np.ndarray, right: np.ndarray, wrong: np.ndarray, count: int) -> float:
    """Of the first `count` photos, the part that is right."""
    scores = np.concatenate([right, wrong]) @ question
    return float((np.argsort(-scores)[:count] < len(right)).mean())


@pytest.mark.parametrize("matches", [1, 5, 40, 150])
def test_photos_that_match_come_first_also_in_a_library_that_has_grown(matches):
    before, wrong = library(1, matches, "龘靐"), library(2, 3000)
    background = Background.of(wrong[:1000], ["ann"] * 1000)
    question = background.question(before, ["ann"] * matches)
    assert found(question, before, wrong, min(10, matches)) == 1
    grown = np.concatenate([before, library(3, matches // 2, "龘靐")]) if matches > 1 else before
    more = np.concatenate([wrong, library(4, 1500)])
    assert found(question, grown, more, min(10, matches)) == 1
    if matches < 40:
        return
    page = set(np.argsort(-(np.concatenate([grown, more]) @ question))[:100])
    new = set(range(matches, min(len(grown), 100)))
    assert len(new & page) >= len(new) / 2, "most photos that came later are on the first page as well"


def test_it_beats_the_plain_sum_of_directions():
    right, wrong = library(1, 5, "龘靐"), library(2, 3000)
    plain = lexical.question("龘靐", SIZE)
    sharpened = Background.of(wrong[:1000], ["ann"] * 1000).question(right, ["ann"] * 5)
    assert found(plain, right, wrong, 5) < found(sharpened, right, wrong, 5) == 1


def test_scores_are_1_for_matches_and_0_for_the_rest():
    right, wrong = library(1, 20, "龘靐"), library(2, 1000)
    background = Background.of(wrong, ["ann"] * 1000)
    question = background.question(right, ["ann"] * 20)
    assert (right @ question).mean() - (wrong @ question).mean() == pytest.approx(1, abs=1e-3)


def test_one_owner_does_not_decide_for_another():
    """Bob's two photos are reached as surely beside Ann's two hundred as alone."""
    ann, bob, wrong = library(1, 198, "龘靐"), library(2, 2, "龘靐"), library(3, 2000)
    owners = ["ann"] * 198 + ["bob"] * 2
    background = Background.of(wrong, ["ann"] * 1900 + ["bob"] * 100)
    rows = np.concatenate([ann, bob])
    fair = background.question(rows, owners)
    unfair = background.question(rows, ["ann"] * 200)
    assert found(fair, bob, wrong[1900:], 2) == 1
    assert (bob @ fair).mean() / (ann @ fair).mean() > (bob @ unfair).mean() / (ann @ unfair).mean()


def test_a_library_of_which_nothing_is_known():
    right, wrong = library(1, 3, "龘靐"), library(2, 1000)
    assert found(Background.unknown(SIZE).question(right, ["ann"] * 3), right, wrong, 3) == 1


def test_a_library_of_photos_all_alike():
    rows = np.tile(library(1, 1), (50, 1))
    background = Background.of(rows, ["ann"] * 50)
    assert np.isfinite(background.question(rows[:3], ["ann"] * 3)).all()


def test_photos_that_come_later_are_near_those_that_were_known():
    """Immich keeps an answer: of 25 photos that match it knew 20. Without the words' own direction one came 244th."""
    width, photos = 1024, 1000
    for seed in range(3):
        choose = random.Random(seed)
        often = [1 / (rank + 5) for rank in range(len(ALPHABET))]
        texts = ["".join(choose.choices(ALPHABET, often, k=choose.randint(10, 60))) for _ in range(photos)]
        word = ALPHABET[40 + 3 * seed] + ALPHABET[70 + seed]
        for number in choose.sample(range(photos), 25):
            place = choose.randint(0, len(texts[number]))
            texts[number] = texts[number][:place] + word + texts[number][place:]
        matches = [number for number, text in enumerate(texts) if word in text]
        late = choose.sample(matches, 5)
        pictures = np.random.default_rng(seed).standard_normal((photos, 512)).astype(np.float32)
        pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
        columns = [as_column(picture, width, text) for picture, text in zip(pictures, texts, strict=True)]
        rows = np.stack(columns) * scales(width, 512)
        seen = np.array([number for number in range(photos) if number not in late])
        others = ~np.isin(seen, matches)
        words = np.zeros(width, dtype=np.float32)
        words[512:-1] = lexical.question(word, width - 513)
        background = Background.of(rows[seen], ["ann"] * len(seen))
        known = rows[seen[~others]]
        question = background.question(known, ["ann"] * len(known), words=words, others=others)
        order = list(np.argsort(-(rows @ question)))
        assert set(order[:10]) <= set(matches)
        places = sorted(order.index(number) + 1 for number in late)
        assert places[2] <= len(matches), places
        assert places[-1] <= 4 * len(matches), places


def test_nearly_alike_photos_are_told_apart():
    """Bursts of one scene, of which some say a word: there is room for it in fewer photos than dimensions."""
    choose = np.random.default_rng(1)
    scenes = choose.standard_normal((20, 512))[choose.integers(20, size=300)]
    rows = (scenes + 0.02 * choose.standard_normal((300, 512))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    others = np.arange(300) >= 20
    background = Background.of(rows, ["ann"] * 300)
    assert found(background.question(rows[:20], ["ann"] * 20), rows[:20], rows[20:], 20) < 1
    assert found(background.question(rows[:20], ["ann"] * 20, others=others), rows[:20], rows[20:], 20) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_the_gateways_algebra_has_one_thread():
    """Threads of OpenBLAS wait for each other by spinning: beside an indexer a question took five times as long."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    program = "import os, gateway.app; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_what_was_whitened_for_one_question_changes_no_other():
    rows, words = library(2, 600), lexical.question("龘靐", SIZE)
    others = np.arange(600) >= 5
    asked = Background.of(rows, ["ann"] * 600)
    asked.question(rows[10:14], ["ann"] * 4, words=words, others=np.arange(600) >= 14)
    asked.toward(words)
    fresh = Background.of(rows, ["ann"] * 600).question(rows[:5], ["ann"] * 5, words=words, others=others)
    again = asked.question(rows[:5], ["ann"] * 5, words=words, others=others)
    assert again == pytest.approx(fresh, abs=1e-5)
