"""Words and meaning in one order: what must hold whatever the candidates are."""

from uuid import UUID

import pytest

from indexer.errors import QueryError
from indexer.search.fusion import fuse
from indexer.search.hybrid import SearchRequest
from indexer.search.meaning import Near
from indexer.search.words import Candidate
from indexer.settings import Settings

DEFAULT = Settings.model_fields["search_text_weight"].default
A, B, C, D, E = (UUID(int=number) for number in range(5))


def texts(*scored: tuple[UUID, float], forgiven: bool = False) -> list[Candidate]:
    return [Candidate(asset, score, forgiven) for asset, score in scored]


def nears(*scored: tuple[UUID, float]) -> list[Near]:
    return [Near(asset, similarity) for asset, similarity in scored]


def test_one_side_alone_keeps_its_order():
    words, meaning = texts((A, 0.9), (B, 0.2), (C, 0.1)), nears((C, 0.31), (A, 0.3), (B, -0.2))
    for weight in (0, DEFAULT, 1):
        assert list(fuse(words, [], weight)) == [A, B, C]
        assert list(fuse([], meaning, weight)) == [C, A, B]
    assert fuse([], [], DEFAULT) == {}


def test_the_best_match_is_on_top_whatever_the_vectors_say():
    meaning = nears((A, 0.99), (B, 0.5), (C, 0.1))
    assert next(iter(fuse(texts((E, 0.001)), meaning, DEFAULT))) == E
    assert next(iter(fuse(texts((C, 0.5), (E, 0.1)), meaning, DEFAULT))) == C
    assert list(fuse(texts((E, 0.5)), meaning, 0))[:2] == [A, B], "unless words weigh nothing"


def test_without_a_match_among_them_the_order_is_that_of_the_vectors():
    order = list(fuse(texts((D, 0.5)), nears((B, 0.9), (A, 0.8), (C, 0.1)), DEFAULT))
    assert [asset for asset in order if asset != D] == [B, A, C]


def test_a_match_that_is_near_too_comes_before_one_that_is_not():
    assert list(fuse(texts((A, 0.5), (B, 0.5)), nears((C, 0.9), (B, 0.8), (D, 0)), DEFAULT))[:2] == [B, A]


def test_what_was_misread_does_not_displace_what_is_nearest():
    order = list(fuse(texts((A, 0.5), forgiven=True), nears((B, 0.9), (C, 0.2), (D, 0.1)), DEFAULT))
    assert order[:2] == [B, A]


def test_matches_in_the_script_that_was_typed_come_first_among_matches_and_take_no_other_place():
    words = [*texts((A, 0.5)), Candidate(B, 0.9, forgiven=False, as_typed=False), *texts((C, 0.1))]
    meaning = nears((D, 0.9), (B, 0.8), (E, 0.1))
    for weight in (0, 0.1, DEFAULT, 1):
        fused = fuse(words, meaning, weight)
        order = list(fused)
        assert order.index(A) < order.index(B), weight
        assert order.index(C) < order.index(B), weight
        scores = [found.score for found in fused.values()]
        assert scores == sorted(scores, reverse=True), weight
        before = list(fuse([Candidate(text.asset_id, text.score, forgiven=False) for text in words], meaning, weight))
        assert [asset in (D, E) for asset in order] == [asset in (D, E) for asset in before], weight


def test_scores_are_shares_and_equal_candidates_divide_nothing_by_nothing():
    fused = fuse(texts((A, 0.0), (B, 0.0)), nears((A, 0.3), (C, 0.3)), DEFAULT)
    assert all(0 <= score.score <= 1 for score in fused.values())
    assert (fused[B].meaning, fused[C].words) == (None, None)


@pytest.mark.parametrize("typed", ["ocr:发票", "ocr: 发票", "OCR：发票", " Ocr : 发票 "])
def test_ocr_in_front_asks_for_words_alone(typed):
    for mode in ("hybrid", "clip", "ocr"):
        wish = SearchRequest.parse(typed, mode)
        assert (wish.text, wish.mode, wish.by_meaning) == ("发票", "ocr", False)


@pytest.mark.parametrize("typed", ["发票ocr:", "ocr", "比例 1:2", "ocr发票"])
def test_which_is_not_in_front_is_a_word_like_others(typed):
    assert SearchRequest.parse(typed, "hybrid") == SearchRequest(typed, "hybrid")


def test_what_a_vector_knows_nothing_of():
    assert SearchRequest.parse("发票", "hybrid").by_meaning
    assert not SearchRequest.parse("发票 -餐饮", "hybrid").by_meaning
    assert SearchRequest.parse("发票 -餐饮", "clip").by_meaning
    assert not SearchRequest.parse("发票", "clip").words
    with pytest.raises(QueryError):
        _ = SearchRequest.parse("-餐饮", "ocr").words
