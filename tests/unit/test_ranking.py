"""A ranking orders by the quantity it names, holds every candidate once, and ties keep recall's order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.judgement import relevance_of
from rerank.ranking import Blend, blended, ranking_of
from rerank.reranker import RankedBy
from retrieval.records import Candidate, Chunk

BLEND = Blend(embedder="tiny-embed", relevance_weight=0.5, similarity_weight=8.0, bias=-4.0)


def candidate(number: int, similarity: float | None = None) -> Candidate:
    chunk = Chunk(
        number=number, document_id=f"d{number}", ordinal=0, start=0, end=1, title="", text="x", url=None, metadata={}
    )
    return Candidate(chunk=chunk, recall_rank=number + 1, similarity=similarity)


@given(logits=st.lists(st.sampled_from([-3.0, 0.0, 0.5, 0.5, 4.0]), max_size=12))
def test_relevance_orders_and_recall_breaks_ties(logits: list[float]) -> None:
    """Python's stable sort over recall's order is the oracle."""
    candidates = [candidate(number, similarity=0.3) for number in range(len(logits))]
    ranking = ranking_of(candidates, logits, judged_by="judge", tokens=7)
    expected = sorted(range(len(logits)), key=lambda number: -logits[number])
    assert [each.candidate.chunk.number for each in ranking.ranked] == expected
    assert [each.rank for each in ranking.ranked] == list(range(1, len(logits) + 1))
    assert [each.score for each in ranking.ranked] == [relevance_of(logits[number]) for number in expected]
    assert all(each.score == each.relevance for each in ranking.ranked)
    assert (ranking.judged_by, ranking.ranked_by, ranking.tokens) == ("judge", RankedBy.RELEVANCE, 7)


def test_ties_are_broken_by_recall_rank_and_not_by_position() -> None:
    """Whoever hands the candidates over in another order gets the same ranking."""
    ranking = ranking_of([candidate(2), candidate(0), candidate(1)], [1.0, 1.0, 1.0], judged_by="judge")
    assert [each.candidate.recall_rank for each in ranking.ranked] == [1, 2, 3]


def test_a_blend_orders_by_the_declared_function() -> None:
    """score = sigmoid(0.5 logit + 8 similarity - 4), and relevance beside it is what the judge said."""
    candidates = [candidate(0, similarity=0.9), candidate(1, similarity=0.2)]
    ranking = ranking_of(candidates, [0.0, 2.0], judged_by="judge", blend=BLEND)
    assert ranking.ranked_by is RankedBy.BLEND
    assert [each.candidate.chunk.number for each in ranking.ranked] == [0, 1]
    assert [each.score for each in ranking.ranked] == pytest.approx([relevance_of(3.2), relevance_of(-1.4)])
    assert [each.relevance for each in ranking.ranked] == pytest.approx([0.5, relevance_of(2.0)])
    assert blended(BLEND, 2.0, 0.2) == pytest.approx(relevance_of(-1.4))


def test_without_similarities_nothing_is_blended() -> None:
    """One candidate without a similarity is enough: two kinds of score in one order compare nothing."""
    ranking = ranking_of([candidate(0, 0.9), candidate(1)], [0.0, 2.0], judged_by="judge", blend=BLEND)
    assert ranking.ranked_by is RankedBy.RELEVANCE
    assert [each.score for each in ranking.ranked] == [relevance_of(2.0), 0.5]


def test_a_cut_passage_is_marked_where_it_ends_up() -> None:
    """The mark moves with its candidate."""
    ranking = ranking_of([candidate(0), candidate(1)], [0.0, 1.0], judged_by="judge", truncated=[True, False])
    assert [(each.candidate.chunk.number, each.truncated) for each in ranking.ranked] == [(1, False), (0, True)]
