"""A ranking orders by the quantity it names, holds every candidate once, and ties keep recall's order."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.ranking import Mixture, Order, changes_order, make_ranking, mixture_for
from winnow.rerank.relevance import relevance_of
from winnow.rerank.reranker import RankedBy
from winnow.retrieval.records import Candidate, Chunk

ORDER = Order(
    plain=Mixture(recall_weight=0.6, relevance_weight=0.0, bias=-3.0),
    instructed=Mixture(recall_weight=0.6, relevance_weight=0.3, bias=-3.0),
)


def candidate(number: int, similarity: float | None = None, standing: float | None = None) -> Candidate:
    chunk = Chunk(
        number=number, document_id=f"d{number}", ordinal=0, start=0, end=1, title="", text="x", url=None, metadata={}
    )
    return Candidate(chunk=chunk, recall_rank=number + 1, similarity=similarity, standing=standing)


@given(logits=st.lists(st.sampled_from([-3.0, 0.0, 0.5, 0.5, 4.0]), max_size=12))
def test_relevance_orders_and_recall_breaks_ties(logits: list[float]) -> None:
    """Python's stable sort over recall's order is the oracle."""
    candidates = [candidate(number, similarity=0.3) for number in range(len(logits))]
    ranking = make_ranking(candidates, logits, judged_by="judge", tokens=7)
    expected = sorted(range(len(logits)), key=lambda number: -logits[number])
    assert [each.candidate.chunk.number for each in ranking.ranked] == expected
    assert [each.rank for each in ranking.ranked] == list(range(1, len(logits) + 1))
    assert [each.score for each in ranking.ranked] == [relevance_of(logits[number]) for number in expected]
    assert all(each.score == each.relevance for each in ranking.ranked)
    assert (ranking.judged_by, ranking.ranked_by, ranking.tokens) == ("judge", RankedBy.RELEVANCE, 7)


def test_ties_are_broken_by_recall_rank_and_not_by_position() -> None:
    """Whoever hands the candidates over in another order gets the same ranking."""
    ranking = make_ranking([candidate(2), candidate(0), candidate(1)], [1.0, 1.0, 1.0], judged_by="judge")
    assert [each.candidate.recall_rank for each in ranking.ranked] == [1, 2, 3]


@settings(deadline=None)
@given(
    standings=st.lists(st.floats(-4, 12), min_size=1, max_size=20),
    weights=st.tuples(st.floats(0, 3), st.floats(0, 3)).filter(lambda pair: max(pair) > 0),
    draw=st.randoms(use_true_random=False),
)
def test_a_mixture_orders_by_the_declared_function(
    standings: list[float], weights: tuple[float, float], draw: random.Random
) -> None:
    """The formula written out is the oracle; relevance stands beside it as the judge said it."""
    recall, relevance = weights
    mixture = Mixture(recall_weight=recall, relevance_weight=relevance, bias=-1.5)
    logits = [draw.uniform(-9, 9) for _ in standings]
    candidates = [candidate(number, standing=standing) for number, standing in enumerate(standings)]
    ranking = make_ranking(candidates, logits, judged_by="judge", mixture=mixture)
    expected = [
        1 / (1 + math.exp(1.5 - recall * standing - relevance * logit))
        for standing, logit in zip(standings, logits, strict=True)
    ]
    assert ranking.ranked_by is RankedBy.BLEND
    for each in ranking.ranked:
        number = each.candidate.chunk.number
        assert each.score == pytest.approx(expected[number])
        assert each.relevance == relevance_of(logits[number])
    keys = [(-(each.score or 0.0), each.candidate.recall_rank) for each in ranking.ranked]
    assert keys == sorted(keys)


@settings(deadline=None)
@given(standings=st.lists(st.floats(-4, 30), min_size=1, max_size=20), draw=st.randoms(use_true_random=False))
def test_without_weight_relevance_changes_nothing(standings: list[float], draw: random.Random) -> None:
    """The order is recall's, whatever the judge says."""
    falling = sorted(standings, reverse=True)
    candidates = [candidate(number, standing=standing) for number, standing in enumerate(falling)]
    logits = [draw.uniform(-30, 30) for _ in falling]
    ranking = make_ranking(candidates, logits, judged_by="judge", mixture=ORDER.plain)
    assert [each.candidate.recall_rank for each in ranking.ranked] == list(range(1, len(falling) + 1))


def test_the_instruction_chooses_the_weights() -> None:
    """The default instruction is none; without a declared order relevance alone orders, and always has weight."""
    assert mixture_for(ORDER, DEFAULT_INSTRUCTION) == ORDER.plain
    assert mixture_for(ORDER, "Prefer Chinese.") == ORDER.instructed
    assert mixture_for(None, DEFAULT_INSTRUCTION) is None
    asked = [(order, text) for order in (ORDER, None) for text in (DEFAULT_INSTRUCTION, "Prefer Chinese.")]
    assert [changes_order(*each) for each in asked] == [False, True, True, True]


def test_without_a_recall_relevance_orders() -> None:
    """One candidate without a recall score is enough: two kinds of score in one order compare nothing."""
    given = [candidate(0, standing=0.9), candidate(1)]
    ranking = make_ranking(given, [0.0, 2.0], judged_by="judge", mixture=ORDER.instructed)
    assert ranking.ranked_by is RankedBy.RELEVANCE
    assert [each.score for each in ranking.ranked] == [relevance_of(2.0), 0.5]


def test_a_cut_passage_is_marked_where_it_ends_up() -> None:
    """The mark moves with its candidate."""
    ranking = make_ranking([candidate(0), candidate(1)], [0.0, 1.0], judged_by="judge", truncated=[True, False])
    assert [(each.candidate.chunk.number, each.truncated) for each in ranking.ranked] == [(1, False), (0, True)]
