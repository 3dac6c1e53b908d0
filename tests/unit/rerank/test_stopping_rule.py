"""The rest is skipped by the stated rule only, and what was judged is ranked as if it had been judged at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.logit_reranker import JudgesByLogit
from winnow.rerank.adaptive_reranker import AdaptiveDepth
from winnow.rerank.ranking import Mixture, make_ranking, merge_waves
from winnow.rerank.relevance import logit_of, relevance_of
from winnow.rerank.reranker import RankedBy, Ranking, RecallOrder
from winnow.rerank.stopping_rule import TOP_K_MARGIN, WAVE, Line, Places, Seen, StoppingRule
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankTimeout, RerankUnavailable
from winnow.retrieval.records import Candidate, Chunk

MIXTURE = Mixture(recall_weight=1.0, relevance_weight=0.5, bias=-4.0)
LOGITS = st.lists(st.sampled_from([-6.0, -3.0, 0.0, 0.5, 0.5, 4.0]) | st.floats(-9, 9), min_size=1, max_size=90)
SCORES = st.floats(0.001, 0.999)


def scripted(logits: Sequence[float], mixture: Mixture | None = None, *, fails_at: int | None = None) -> JudgesByLogit:
    """Judges by a list of logits, one for each chunk number."""
    return JudgesByLogit(lambda _, each: logits[each.chunk.number], name="scripted", mixture=mixture, fails_at=fails_at)


def candidates(count: int, *, similarity: float | None = 0.9, step: float = 0.005) -> list[Candidate]:
    """In recall's order, each a little less near than the one before."""
    return [
        Candidate(
            chunk=Chunk(
                number=number,
                document_id=f"d{number}",
                ordinal=0,
                start=0,
                end=1,
                title="",
                text="x",
                url=None,
                metadata={},
            ),
            recall_rank=number + 1,
            similarity=None if similarity is None else similarity - step * number,
            standing=None if similarity is None else 3.0 - 0.1 * number,
        )
        for number in range(count)
    ]


async def ranked(inner: JudgesByLogit | RecallOrder, count: int, *, top_k: int | None = 10, **rule: float) -> Ranking:
    return await asked(inner, candidates(count), top_k=top_k, **rule)


async def asked(
    inner: JudgesByLogit | RecallOrder, given_ones: Sequence[Candidate], *, top_k: int | None = 10, **rule: float
) -> Ranking:
    adaptive = AdaptiveDepth(inner, StoppingRule(**rule))  # type: ignore[arg-type]
    return await adaptive.rank("q", given_ones, instruction="i", tenant="t", deadline=Deadline.never(), top_k=top_k)


@given(count=st.integers(0, 1_000), top_k=st.integers(1, 200), first=st.integers(1, 50))
def test_waves_go_to_the_end_and_begin_with_the_least(count: int, top_k: int, first: int) -> None:
    """No parameter makes the first wave smaller than twice what is shown."""
    ends = list(StoppingRule(wave=first).waves(count, top_k=top_k))
    assert ends[-1] == count
    assert ends[0] >= min(count, first, TOP_K_MARGIN * top_k)
    assert ends[0] >= min(count, TOP_K_MARGIN * top_k)
    assert all(one < other for one, other in pairwise(ends))


@given(logits=LOGITS, top_k=st.integers(1, 40), epsilon=st.sampled_from([0.0, 0.005, 0.1, 1e9]))
async def test_the_least_is_always_judged(logits: list[float], top_k: int, epsilon: float) -> None:
    """However large epsilon is; and whatever is shown was judged."""
    ranking = await ranked(scripted(logits), len(logits), top_k=top_k, epsilon=epsilon)
    assert ranking.judged >= min(len(logits), max(WAVE, TOP_K_MARGIN * top_k))
    assert all(each.relevance is not None for each in ranking.ranked[:top_k])


@given(logits=LOGITS, mixture=st.sampled_from([None, MIXTURE]), top_k=st.integers(1, 12))
async def test_epsilon_nothing_is_the_full_ranking(logits: list[float], mixture: Mixture | None, top_k: int) -> None:
    """Ties, mixtures and all: the waves leave no trace but in what they cost."""
    inner = scripted(logits, mixture)
    ranking = await ranked(inner, len(logits), top_k=top_k, epsilon=0.0, wave=7)
    full = make_ranking(candidates(len(logits)), logits, judged_by="scripted", mixture=mixture)
    assert (ranking.ranked, ranking.judged_by, ranking.ranked_by) == (full.ranked, full.judged_by, full.ranked_by)
    assert ranking.tokens == 10 * len(inner.calls) + len(logits)


@given(logits=LOGITS, mixture=st.sampled_from([None, MIXTURE]), epsilon=st.floats(0, 0.3))
async def test_what_was_judged_is_in_order_and_the_rest_behind_it(
    logits: list[float], mixture: Mixture | None, epsilon: float
) -> None:
    """The rest keeps recall's order, and nobody invents a score for it."""
    ranking = await ranked(scripted(logits, mixture), len(logits), top_k=3, epsilon=epsilon, wave=5)
    head, tail = ranking.ranked[: ranking.judged], ranking.ranked[ranking.judged :]
    judged = candidates(len(logits))[: ranking.judged]
    assert head == make_ranking(judged, logits[: len(judged)], judged_by="scripted", mixture=mixture).ranked
    assert [each.candidate.recall_rank for each in tail] == list(range(len(judged) + 1, len(logits) + 1))
    assert {(each.score, each.relevance, each.truncated) for each in tail} <= {(None, None, False)}
    assert [each.rank for each in ranking.ranked] == list(range(1, len(logits) + 1))


async def test_it_ends_early_where_similarity_tells_and_not_where_it_does_not() -> None:
    """Logits that follow similarity leave nothing to find; the same ones without any order do."""
    follows = [4.0 - 0.15 * number for number in range(100)]
    shuffled = np.random.default_rng(5).permutation(follows).tolist()
    assert (await ranked(scripted(follows), 100)).judged == WAVE
    assert (await ranked(scripted(shuffled), 100)).judged > WAVE


async def test_it_goes_on_where_nothing_good_was_found() -> None:
    """Ten good answers are enough; ten bad ones are not, with the same scatter around them."""
    scatter = np.random.default_rng(5).normal(0.0, 1.5, 100)
    assert (await ranked(scripted((6.0 + scatter).tolist()), 100)).judged == WAVE
    assert (await ranked(scripted((-6.0 + scatter).tolist()), 100)).judged == 100


@pytest.mark.parametrize(("similarity", "top_k"), [(None, 10), (0.9, None)])
async def test_without_a_similarity_or_a_top_k_everything_is_judged_at_once(
    similarity: float | None, top_k: int | None
) -> None:
    """There is nothing to foretell from, or no place that would be the last one looked at."""
    inner = scripted([1.0] * 80)
    ranking = await asked(inner, candidates(80, similarity=similarity), top_k=top_k, epsilon=1e9)
    assert (ranking.judged, inner.calls) == (80, [80])


async def test_a_later_wave_that_fails_fails_the_whole() -> None:
    """What was judged before an accident is not passed off as an answer."""
    inner = scripted([0.0] * 100, fails_at=1)
    with pytest.raises(RerankTimeout):
        await ranked(inner, 100, epsilon=0.0)
    assert inner.calls == [WAVE]


async def test_who_judges_nothing_is_asked_for_all() -> None:
    """Recall's order stays recall's order: no judgement, no conclusion from it."""
    ranking = await ranked(RecallOrder(), 60, epsilon=1e9)
    assert [each.candidate.recall_rank for each in ranking.ranked] == list(range(1, 61))
    assert (ranking.judged, ranking.ranked_by) == (0, RankedBy.RECALL_ORDER)
    assert all(each.score is not None for each in ranking.ranked)


def test_scores_of_two_kinds_are_never_in_one_order() -> None:
    """A blend and a relevance compare nothing."""
    both = [
        make_ranking(candidates(3), [0.0] * 3, judged_by="j", mixture=MIXTURE),
        make_ranking(candidates(3), [0.0] * 3, judged_by="j"),
    ]
    with pytest.raises(RerankUnavailable, match="blend of j, relevance of j"):
        merge_waves(both, query="")


@given(scores=st.lists(SCORES, min_size=1, max_size=15), new=SCORES, top_k=st.integers(1, 12))
def test_a_rise_is_the_difference_of_two_gains(scores: list[float], new: float, top_k: int) -> None:
    """Sorting again, with the new score among them, is the oracle."""

    def gain(some: list[float]) -> float:
        best = sorted(some, reverse=True)[:top_k]
        return math.fsum(score / math.log2(place + 1) for place, score in enumerate(best, start=1))

    places = Places.of(scores, top_k)
    assert places.gain == pytest.approx(gain(scores))
    expected = gain([*scores, new]) - gain(scores) if len(scores) >= top_k else None
    if expected is not None:
        assert places.rise(new) == pytest.approx(expected, abs=1e-12)
        assert places.rise(new) >= -1e-12


def test_a_line_is_the_one_of_least_squares() -> None:
    """numpy is the oracle, and far from what was seen the spread grows."""
    generator = np.random.default_rng(8)
    x = generator.uniform(0.3, 0.8, 30)
    y = 5.0 * x - 2.0 + generator.normal(0.0, 0.5, 30)
    line = Line.through(list(zip(x.tolist(), y.tolist(), strict=True)))
    slope, start = np.polyfit(x, y, 1)
    middle, spread = line.predict(0.1)
    assert middle == pytest.approx(slope * 0.1 + start)
    assert spread > line.predict(0.55)[1] > 0.0
    falling = Line.through(list(zip(x.tolist(), (-y).tolist(), strict=True)))
    assert falling.predict(0.1)[0] == pytest.approx(-y.mean())


@given(score=SCORES, similarity=st.floats(-1, 1), count=st.integers(3, 40))
def test_what_is_all_alike_is_foretold_to_stay_so(score: float, similarity: float, count: int) -> None:
    """No scatter and no width: no division by nothing, and no reason to go on."""
    seen = [Seen(similarity=similarity, score=score)] * count
    assert StoppingRule().is_enough(seen, [similarity] * 10, top_k=2)
    assert relevance_of(logit_of(score)) == pytest.approx(score)
