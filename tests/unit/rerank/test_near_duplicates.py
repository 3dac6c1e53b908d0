"""rerank/near_duplicates.py against loops over pairs: nothing is lost, none are kept twice, MMR is the textbook's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import diversity_oracle as oracle
from tests.contract.test_reranker import candidates_of
from winnow.rerank.near_duplicates import (
    Diversified,
    Measure,
    MmrPlace,
    cosine_similarities,
    diversify,
    mmr_order,
    scaled_relevances,
)
from winnow.rerank.reranker import Ranked
from winnow.retrieval.records import Collapse, Diversity, Vectors

PHRASES = ("the heron strikes", "at a fish", "in shallow water", "苍鹭站在浅水里", "等鱼", "AT A FISH!")
LIMITS = st.sampled_from([None, 0.0, 0.41, 0.6, 0.83, 0.99, 1.0])
WEIGHTS = st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.95])


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[Ranked], Vectors]:
    """A ranking with scores that fall, some equal, and vectors that often repeat."""
    texts = draw(st.lists(st.lists(st.sampled_from(PHRASES), max_size=4).map(" ".join), max_size=9))
    scores = sorted(draw(st.lists(st.sampled_from([0.9, 0.7, 0.4, 0.1]), min_size=len(texts), max_size=len(texts))))
    rows = draw(st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=len(texts), max_size=len(texts)))
    ranked = [
        Ranked(candidate=candidate, rank=rank, score=score, relevance=score)
        for rank, (candidate, score) in enumerate(zip(candidates_of(*texts), reversed(scores), strict=True), start=1)
    ]
    return ranked, np.array(rows, dtype=np.float32).reshape(len(texts), 3)


def numbers(ranked: Sequence[Ranked]) -> list[int]:
    return [each.candidate.chunk.number for each in ranked]


def near(ranked: Sequence[Ranked], vectors: Vectors, limits: Collapse) -> list[list[bool]]:
    """Which pairs are near-identical, pair by pair."""
    return [
        [
            (limits.cosine is not None and round(oracle.cosine(vectors[one], vectors[other]), 6) >= limits.cosine)
            or (
                limits.shingles is not None
                and round(oracle.jaccard(*(ranked[place].candidate.chunk.passage for place in (one, other))), 6)
                >= limits.shingles
            )
            for other in range(len(ranked))
        ]
        for one in range(len(ranked))
    ]


def placed(found: Diversified) -> dict[int, int]:
    """For each chunk the chunk that stands for it."""
    kept = {number: number for number in numbers(found.kept)}
    return kept | {
        each.ranked.candidate.chunk.number: keeper for keeper, group in found.collapsed.items() for each in group
    }


@settings(deadline=None, max_examples=300)
@given(made=rankings(), cosine=LIMITS, shingles=LIMITS)
def test_a_collapse_is_the_greedy_one(
    made: tuple[list[Ranked], Vectors], cosine: float | None, shingles: float | None
) -> None:
    """As loops over pairs find it: all are there once, the highest is kept, no two kept ones are near-identical, each
    collapsed one is near-identical to the kept one itself, and the kept keep their order, ranks and scores.
    """
    ranked, vectors = made
    limits = Collapse(cosine=cosine, shingles=shingles)
    found = diversify(ranked, Diversity(collapse=limits), vectors)
    alike = near(ranked, vectors, limits)
    expected = oracle.keepers(len(ranked), lambda one, other: alike[one][other])
    number = numbers(ranked)
    assert placed(found) == {number[place]: number[keeper] for place, keeper in enumerate(expected)}
    assert len(found.kept) + sum(map(len, found.collapsed.values())) == len(ranked)
    assert list(found.kept) == [each for place, each in enumerate(ranked) if expected[place] == place]
    kept = [place for place, keeper in enumerate(expected) if place == keeper]
    assert not any(alike[one][other] for one in kept for other in kept if one < other)
    assert all(alike[place][keeper] for place, keeper in enumerate(expected) if place != keeper)
    assert found.mmr == {}


@settings(deadline=None, max_examples=100)
@given(made=rankings(), cosine=LIMITS, shingles=LIMITS)
def test_a_collapsed_passage_tells_its_similarities(
    made: tuple[list[Ranked], Vectors], cosine: float | None, shingles: float | None
) -> None:
    """To the kept one, by each measure that was asked for; `by` names those that reach their limit."""
    ranked, vectors = made
    place_of = {number: place for place, number in enumerate(numbers(ranked))}
    found = diversify(ranked, Diversity(collapse=Collapse(cosine=cosine, shingles=shingles)), vectors)
    for keeper, group in found.collapsed.items():
        assert [each.ranked.rank for each in group] == sorted(each.ranked.rank for each in group)
        for each in group:
            places = place_of[each.ranked.candidate.chunk.number], place_of[keeper]
            assert places[0] > places[1]
            passages = [ranked[place].candidate.chunk.passage for place in places]
            expected = {
                Measure.COSINE: (each.cosine, cosine, oracle.cosine(*(vectors[place] for place in places))),
                Measure.SHINGLES: (each.shingles, shingles, oracle.jaccard(*passages)),
            }
            for told, limit, value in expected.values():
                assert told is None if limit is None else told == pytest.approx(value, abs=2e-6)
            reached = tuple(m for m, (told, limit, _) in expected.items() if limit is not None and (told or 0) >= limit)
            assert each.by == reached != ()


@settings(deadline=None, max_examples=300)
@given(
    relevances=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    values=st.lists(st.floats(-1, 1).map(lambda value: round(value, 6)), min_size=64, max_size=64),
    weight=st.floats(0, 1),
)
def test_mmr_is_the_textbooks_greedy(relevances: list[float], values: list[float], weight: float) -> None:
    """The same order as the loop over the definition, and the greatest cosine to those before."""
    size = len(relevances)
    matrix = np.array(values).reshape(8, 8)[:size, :size]
    matrix = np.maximum(matrix, matrix.T)
    order, similarities = mmr_order(np.array(relevances), matrix, weight)
    assert order == oracle.mmr(relevances, lambda one, other: float(matrix[one, other]), weight)
    assert similarities == [
        max((float(matrix[place, before]) for before in order[:at]), default=None) for at, place in enumerate(order)
    ]


@settings(deadline=None, max_examples=100)
@given(made=rankings(), weight=WEIGHTS, shingles=LIMITS)
def test_mmr_orders_what_is_kept(made: tuple[list[Ranked], Vectors], weight: float, shingles: float | None) -> None:
    """From vectors and scores: each one is the best of those left, as the definition says, up to rounding."""
    ranked, vectors = made
    wanted = Diversity(collapse=Collapse(shingles=shingles), mmr_lambda=weight)
    before = diversify(ranked, replace(wanted, mmr_lambda=None), vectors).kept
    after = diversify(ranked, wanted, vectors).kept
    assert sorted(numbers(after)) == sorted(numbers(before))
    rows = dict(zip(numbers(ranked), vectors.tolist(), strict=True))
    scores = [each.score or 0.0 for each in before]
    least, most = min(scores, default=0.0), max(scores, default=0.0)
    relevances = {
        number: 1.0 if most == least else (score - least) / (most - least)
        for number, score in zip(numbers(before), scores, strict=True)
    }
    order = numbers(after)
    for at, chosen in enumerate(order):
        value = {
            number: weight * relevances[number]
            - (1 - weight) * max((oracle.cosine(rows[number], rows[each]) for each in order[:at]), default=0.0)
            for number in order[at:]
        }
        assert value[chosen] == pytest.approx(max(value.values()), abs=1e-5)


@settings(deadline=None, max_examples=100)
@given(made=rankings(), demoted=st.integers(0, 9))
def test_lambda_one_changes_nothing(made: tuple[list[Ranked], Vectors], demoted: int) -> None:
    """Also with equal scores, and with demoted passages at the end, whose scores may be higher."""
    ranked, vectors = made
    ranked = ranked[demoted:] + [replace(each, demoted=True) for each in ranked[:demoted]]
    found = diversify(ranked, Diversity(mmr_lambda=1.0), np.concatenate([vectors[demoted:], vectors[:demoted]]))
    assert list(found.kept) == ranked


def test_demoted_passages_stay_last() -> None:
    """However different they are from the rest: MMR is not a way around `demote_query_echo`."""
    ranked = [
        Ranked(candidate=candidate, rank=rank, score=1.0 - rank / 10, relevance=None, demoted=rank > 2)
        for rank, candidate in enumerate(candidates_of("a", "b", "c", "d"), start=1)
    ]
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    found = diversify(ranked, Diversity(mmr_lambda=0.0), vectors)
    assert list(found.kept) == ranked
    assert found.mmr.keys() == {0, 1}


def test_mmr_prefers_what_is_different() -> None:
    """The second copy comes after the other subject, and tells why; the first has nothing before it."""
    ranked = [
        Ranked(candidate=candidate, rank=rank, score=score, relevance=score)
        for rank, (candidate, score) in enumerate(
            zip(candidates_of("copy", "copy", "other", "last"), (0.9, 0.88, 0.7, 0.1), strict=True), start=1
        )
    ]
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    found = diversify(ranked, Diversity(mmr_lambda=0.5), vectors)
    assert numbers(found.kept) == [0, 2, 1, 3]
    assert found.mmr[0].similarity is None
    assert (found.mmr[1].rank_before, found.mmr[1].similarity) == (2, 1.0)
    assert found.mmr[2].relevance == pytest.approx(0.75)


def test_one_passage_and_none_are_answers_too() -> None:
    """The only one is kept and has its place in MMR; of nothing, nothing is kept."""
    wanted = Diversity(collapse=Collapse(cosine=0.9, shingles=0.6), mmr_lambda=0.5)
    (candidate,) = candidates_of("a")
    only = Ranked(candidate=candidate, rank=1, score=0.4, relevance=None)
    found = diversify([only], wanted, np.ones((1, 2), dtype=np.float32))
    assert (found.kept, found.collapsed) == ((only,), {})
    assert found.mmr == {candidate.chunk.number: MmrPlace(rank_before=1, relevance=1.0, similarity=None)}
    assert diversify([], wanted, np.empty((0, 2), dtype=np.float32)).kept == ()


def test_there_are_no_chains() -> None:
    """B is like A and C is like B; C is not like A, so it is kept."""
    ranked = [
        Ranked(candidate=candidate, rank=rank, score=None, relevance=None)
        for rank, candidate in enumerate(candidates_of("a", "b", "c"), start=1)
    ]
    angles = np.radians([0.0, 20.0, 40.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = diversify(ranked, Diversity(collapse=Collapse(cosine=0.9)), vectors)
    assert numbers(found.kept) == [0, 2]
    assert numbers([each.ranked for each in found.collapsed[0]]) == [1]


def test_the_same_vector_is_identical_at_any_length() -> None:
    """A cosine of 1 is reached in spite of rounding, also by vectors stored with less precision."""
    vectors = np.random.default_rng(3).normal(size=(50, 1_024)).astype(np.float16).astype(np.float32)
    assert (np.diag(cosine_similarities(vectors)) == 1.0).all()
    assert (cosine_similarities(np.zeros((2, 3), dtype=np.float32)) == 0.0).all()


def test_relevance_is_scaled_to_the_best_and_the_last() -> None:
    """Scores without bounds too (BM25); equal ones are all 1; a missing score is the lowest."""
    assert scaled_relevances([30.0, 20.0, 10.0]).tolist() == [1.0, 0.5, 0.0]
    assert scaled_relevances([0.3, 0.3]).tolist() == [1.0, 1.0]
    assert scaled_relevances([0.9, 0.5, None]).tolist() == [1.0, 0.0, 0.0]
    assert scaled_relevances([]).tolist() == []
