"""retrieval/search/fusion.py: two orders become one, whatever their scores are made of."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.search.fusion import Fused, fused
from winnow.retrieval.store.contract import LexicalHits

COSINES = st.integers(-1_000, 1_000).map(lambda number: number / 1_000)
SCORES = st.integers(1, 6_000).map(lambda number: number / 100)


def near_of(found: dict[int, float]) -> Hits:
    return Hits(numbers=_numbers(found), similarities=_values(found))


def worded_of(found: dict[int, float]) -> LexicalHits:
    return LexicalHits(numbers=_numbers(found), scores=_values(found))


def _numbers(found: dict[int, float]) -> ChunkNumbers:
    return np.array(list(found), dtype=np.int64)


def _values(found: dict[int, float]) -> Vectors:
    return np.array(list(found.values()), dtype=np.float32)


@st.composite
def searches(draw: st.DrawFn) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
    """(cosine of every chunk, the nearest of them, BM25 of those found by their words)"""
    cosines = draw(st.dictionaries(st.integers(0, 40), COSINES, max_size=20))
    words = draw(st.dictionaries(st.sampled_from(sorted(cosines)), SCORES)) if cosines else {}
    nearest = sorted(cosines, key=lambda number: -cosines[number])[: draw(st.integers(0, 20))]
    return cosines, {number: cosines[number] for number in nearest}, words


def fuse(cosines: dict[int, float], near: dict[int, float], words: dict[int, float], *, asked: int = 20) -> Fused:
    similarities = _values({number: cosines[number] for number in words})
    return fused(near_of(near), worded_of(words), similarities, asked=asked, k=100)


@given(found=searches())
def test_every_chunk_that_was_found_comes_once_with_what_it_scored(
    found: tuple[dict[int, float], dict[int, float], dict[int, float]],
) -> None:
    """Scores descend; a BM25 score is there exactly where the search by words found the chunk."""
    cosines, near, words = found
    both = fuse(cosines, near, words)
    assert sorted(both.numbers.tolist()) == sorted(near.keys() | words.keys())
    assert np.isfinite(both.scores).all()
    assert (np.diff(both.scores) <= 0).all()
    for number, similarity, score in zip(both.numbers.tolist(), both.similarities, both.lexical_scores, strict=True):
        assert similarity == np.float32(cosines[number])
        assert (score == np.float32(words[number])) if number in words else np.isnan(score)


@given(found=searches(), seed=st.randoms(use_true_random=False))
def test_the_order_in_which_hits_come_does_not_matter(
    found: tuple[dict[int, float], dict[int, float], dict[int, float]], seed: random.Random
) -> None:
    """To the last bit."""
    cosines, near, words = found
    straight = fuse(cosines, near, words)
    mixed = [dict(seed.sample(list(each.items()), len(each))) for each in (near, words)]
    other = fuse(cosines, *mixed)
    np.testing.assert_array_equal(straight.numbers, other.numbers)
    np.testing.assert_array_equal(straight.scores, other.scores)


@given(found=searches(), asked=st.integers(1, 20))
def test_a_chunk_that_is_as_good_in_both_is_never_behind(
    found: tuple[dict[int, float], dict[int, float], dict[int, float]], asked: int
) -> None:
    """One that both found stands before any other that is no nearer and matches no better; ties go by number."""
    cosines, near, words = found
    both = fuse(cosines, near, words, asked=asked)
    place = {number: at for at, number in enumerate(both.numbers.tolist())}
    for one in near.keys() & words.keys():
        for other in place.keys() - {one}:
            scored = np.float32(words.get(other, 0.0))
            if cosines[other] <= cosines[one] and scored <= np.float32(words[one]):
                behind = place[one] > place[other]
                assert not behind or (both.scores[place[one]] == both.scores[place[other]] and one > other)


@given(found=searches())
def test_one_search_without_hits_leaves_the_order_of_the_other(
    found: tuple[dict[int, float], dict[int, float], dict[int, float]],
) -> None:
    """Neither side needs the other."""
    cosines, near, words = found
    by_meaning = fuse(cosines, near, {})
    assert by_meaning.numbers.tolist() == sorted(near, key=lambda number: (-np.float32(near[number]), number))
    by_words = fuse(dict.fromkeys(words, 0.5), {}, words)
    assert by_words.numbers.tolist() == sorted(words, key=lambda number: (-np.float32(words[number]), number))


def test_nothing_found_is_nothing() -> None:
    """And no division by nothing."""
    assert fuse({}, {}, {}).numbers.tolist() == []


def test_a_list_that_was_cut_says_what_the_others_may_have_scored() -> None:
    """Beyond the end of a full list a chunk is taken to have scored as its last; beyond a short one it has no word."""
    cosines = {1: 0.9, 2: 0.8, 3: 0.7}
    words = {2: 5.0, 3: 4.0}
    full, short = fuse(cosines, cosines, words, asked=2), fuse(cosines, cosines, words, asked=3)
    score_full = dict(zip(full.numbers.tolist(), full.scores, strict=True))
    score_short = dict(zip(short.numbers.tolist(), short.scores, strict=True))
    assert score_full[1] - score_full[3] > 0
    assert score_full[1] > score_short[1]


def test_only_the_best_are_kept() -> None:
    """As many as were wanted."""
    near = dict.fromkeys(range(10), 0.5)
    best = fused(near_of(near), worded_of({}), np.empty(0, dtype=np.float32), asked=10, k=3)
    assert best.numbers.tolist() == [0, 1, 2]


def test_a_word_that_one_chunk_holds_leads_to_it() -> None:
    """However little its meaning has to do with the query: nobody types an error code by chance."""
    near = {number: 0.5 - 0.001 * number for number in range(300)}
    found = fused(near_of(near), worded_of({999: 3.0}), np.array([-0.2], dtype=np.float32), asked=300, k=10)
    assert found.numbers.tolist() == [999, *range(9)]
