import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pgvector import HalfVector, Vector

from indexer.photos import lexical
from indexer.photos.vectors import SHARE, as_column, as_query, fingerprint, halved, received, room, scales


def signs(token: str, size: int) -> str:
    return "".join("-+"[int(x > 0)] for x in lexical.direction({token: 1}, size))


def clip_vector(seed: int, dimensions: int = 512) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def test_directions_are_for_ever():
    """Libraries are full of them: if this fails, the old directions are right."""
    assert signs("发票", 24) == "+-+--+-+++-++-+++-+-+-+-"
    assert signs("票", 24) == "-+++++--+-++-++-+++-+---"
    assert signs("发票", 1023).startswith(signs("发票", 511))


def test_what_a_text_weighs():
    assert lexical.weights("发票NO12345 a") == {
        **{"发": 2, "票": 2, "发票": 5},
        **{"no1": 5, "o12": 5, "123": 5, "234": 5, "345": 5, "no12345": 5, "a": 5},
    }


@pytest.mark.parametrize(("one", "other"), [("發票", "发票"), ("ＡＢＣ１２", "abc12"), ("增值\n税", "增值税")])
def test_one_text_in_two_spellings(one, other):
    assert (lexical.part(one, 511) == lexical.part(other, 511)).all()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("ocr:发票", "发票"),
        ("OCR：发票", "发票"),
        (" Ｏｃｒ ： 发票 ", " 发票 "),
        ("ocr:", ""),
        ("ocr发票", None),
        ("my ocr:发票", None),
        ("发票", None),
    ],
)
def test_the_prefix(query, words):
    assert lexical.words_only(query) == words


def test_a_question_is_nearest_to_what_says_it():
    texts = ["增值税专用发票", "上海市出租汽车", "NO 0623 1234", "好", ""]
    parts = np.stack([lexical.part(text, 511) for text in texts])
    for query, right in [("发票", 0), ("出租", 1), ("062", 2), ("票", 0), ("好", 3)]:
        assert (parts @ lexical.question(query, 511)).argmax() == right
    assert not lexical.question("!?", 511).any()


def test_facts_are_no_text():
    parts = np.stack(
        [lexical.part("上海站", 511), lexical.part("", 511, ["发票", "Shanghai"]), lexical.part("好", 511)]
    )
    text, facts, _ = parts @ lexical.question("发票", 511)
    assert abs(facts - text) < 0.15, "`ocr:` asks for the text alone"
    scores = parts @ lexical.question_of_facts("发票", 511)
    assert scores.argmax() == 1
    scores = parts @ lexical.question_of_facts("上海", 511, ["shanghai"])
    assert scores.argmax() == 1, "what is there, under its other name"
    assert abs(scores[0] - scores[2]) < 0.15, "not what says it"


def test_facts_leave_most_of_the_vector_to_the_text():
    alone = lexical.part("增值税发票", 1023)
    described, named = ["外婆家的火锅", "IMG_0001.jpg"], ["", "IMG_0001.jpg", "Shanghai"]
    assert float(alone @ lexical.part("增值税发票", 1023, described)) == pytest.approx(np.sqrt(0.8), abs=0.05)
    assert float(alone @ lexical.part("增值税发票", 1023, named)) == pytest.approx(np.sqrt(0.95), abs=0.05)
    for facts, share in ((described, 0.5), (named, 0.25), (["外婆家的火锅"], 0.25)):
        without = lexical.part("", 1023, facts)
        assert float(without @ without) == pytest.approx(share, abs=0.05)
    assert (lexical.part("增值税发票", 1023, ["", "!?"]) == alone).all()
    assert (lexical.part("", 1023, ["", "a", "b"]) == lexical.part("", 1023, ["", "b", "a", "b"])).all()


@pytest.mark.parametrize("facts", [[], ["", "IMG_0001.jpg"], ["外婆家", "IMG_0001.jpg"]])
@pytest.mark.parametrize("text", ["", "发票", "x" * 5000, "\0\ud800😀"])
@pytest.mark.parametrize("width", [512, 513, 514, 640, 1024, 1536])
def test_the_stored_vectors_are_of_one_length(text, facts, width):
    vector = clip_vector(1)
    column = as_column(vector, width, text, facts).astype(np.float64)
    head = halved(vector).astype(np.float64)
    more = 1 + SHARE if room(width, 512) else 1
    assert column @ column == pytest.approx(more * (head @ head), rel=1e-9)
    assert (column[:512] == head).all()


def test_a_vector_that_does_not_fit():
    with pytest.raises(ValueError, match="does not fit"):
        as_column(clip_vector(1, 768), 512, "x")


@given(
    texts=st.lists(st.text(alphabet="发票增值税abc123 ", max_size=40), min_size=2, max_size=20),
    width=st.sampled_from([640, 1024, 1536]),
    seed=st.integers(0, 1000),
)
def test_a_question_of_the_model_alone_ranks_as_the_model_does(texts, width, seed):
    vectors = [clip_vector(seed * 100 + number) for number in range(len(texts))]
    query = clip_vector(seed + 10**6)
    alone = [cosine(as_query(query, 512), halved(vector)) for vector in vectors]
    beside = [
        cosine(as_query(query, width), as_column(vector, width, text, texts[:number]))
        for number, (vector, text) in enumerate(zip(vectors, texts, strict=True))
    ]
    assert np.allclose(np.array(beside) * np.sqrt(1 + SHARE), alone, rtol=0, atol=1e-9)


def test_duplicates_stay_duplicates():
    """Immich calls photos within 0.01 duplicates: what they say moves them by a hundredth of that at most."""
    vector = clip_vector(1)
    one, other = as_column(vector, 1024, "第一页的文字"), as_column(vector, 1024, "another page")
    assert 1 - cosine(one, other) < 1e-4
    described, bare = as_column(vector, 1024, "", ["外婆家", "a.jpg"]), as_column(vector, 1024, "", ["", "b.jpg"])
    assert 1 - cosine(described, bare) < 1e-4
    different = 1 - cosine(halved(clip_vector(2)), halved(vector))
    alike = as_column(clip_vector(2), 1024, "", ["外婆家", "a.jpg"])
    assert 1 - cosine(described, alike) == pytest.approx(different, abs=1e-4), (
        "the same description makes no duplicates"
    )


def test_vectors_on_their_way():
    column = as_column(clip_vector(1), 1024, "发票")
    assert (Vector.from_text(Vector(column).to_text()).to_numpy() == column).all()
    sent = len(column).to_bytes(2, "big") + b"\0\0" + column.astype(">f4").tobytes()
    assert Vector(column).to_binary() == sent
    assert (received(sent) == column).all()
    half = halved(clip_vector(1))
    assert (HalfVector.from_text(HalfVector(half).to_text()).to_numpy() == half).all()
    assert (received((512).to_bytes(2, "big") + b"\0\0" + half.astype(">f2").tobytes()) == half).all()
    with pytest.raises(ValueError, match="invalid length"):
        received(sent[:-1])
    assert fingerprint(column) != fingerprint(as_column(clip_vector(1), 1024, "发"))


def test_scales_make_both_parts_of_one_length():
    column = as_column(clip_vector(1), 1024, "发票") * scales(1024, 512)
    assert np.linalg.norm(column[512:]) == pytest.approx(1, rel=1e-3)
    assert np.linalg.norm(column[:512]) == pytest.approx(1, rel=1e-3)
    assert (scales(512, 512) == 1).all()
