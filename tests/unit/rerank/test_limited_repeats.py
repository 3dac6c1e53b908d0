"""rerank/ranking.py: what a mixture gives to passages that repeat the query; all others are left alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.test_reranker import candidates_of
from winnow.rerank.query_echo import repeats_query
from winnow.rerank.ranking import Mixture, make_ranking, merge_waves, mixed
from winnow.rerank.relevance import logit_of, relevance_of
from winnow.rerank.reranker import Ranked, Ranking
from winnow.retrieval.records import Chunk

QUERY = "how long do I have to return a pair of shoes"
FRAGE = "网上买的鞋子多少天之内可以退货"
OTHER = "The canteen on the second floor opens at half past eleven, and on Fridays there is soup."
ANSWER = "Shoes may go back within thirty days; a pair that was worn is exchanged only. The return label is in the box."
COPIES = f"{OTHER} {QUERY} {QUERY} {QUERY}"
PLAIN = Mixture(recall_weight=0.3, relevance_weight=0.3, bias=-4.5)

STANDINGS = st.one_of(st.sampled_from([-1.0, 0.0, 2.5]), st.floats(-3, 25))
LOGITS = st.one_of(st.sampled_from([-4.0, 0.0, 3.0]), st.floats(-9, 9))
ROWS = st.lists(st.tuples(st.sampled_from([COPIES, ANSWER, OTHER, QUERY]), STANDINGS, LOGITS), max_size=9)

Row = tuple[str, float, float]


def ranked(rows: Sequence[Row], *, query: str = QUERY, mixture: Mixture = PLAIN) -> Ranking:
    candidates = [
        replace(each, standing=standing)
        for each, (_, standing, _) in zip(candidates_of(*(text for text, _, _ in rows)), rows, strict=True)
    ]
    return make_ranking(candidates, [logit for _, _, logit in rows], judged_by="judge", query=query, mixture=mixture)


def by_number(ranking: Ranking) -> list[Ranked]:
    return sorted(ranking.ranked, key=lambda each: each.candidate.chunk.number)


def chunk(text: str, *, title: str = "") -> Chunk:
    return candidates_of(text, title=title)[0].chunk


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (QUERY, COPIES),
        (QUERY, f"{QUERY} {OTHER} {QUERY.upper()}!"),
        (QUERY, f"{QUERY.title()}? -- {QUERY.replace(' ', chr(0x2003))}"),
        (QUERY, f"{OTHER} shoes of pair a return to have I do long how, how long return a pair of shoes do I have to"),
        (QUERY, f"how long also do I also have to also return a also pair of shoes. {OTHER}" * 2),
        (QUERY, f"{OTHER} {'do I have to return a pair of shoes ' * 2}"),
        (FRAGE, f"二楼的食堂十一点半开门。{FRAGE}周五有汤。{FRAGE}"),
        (FRAGE, f"{FRAGE}!!{FRAGE.replace('多少', '多 少')}"),
        (FRAGE, f"網上買的鞋子多少天之內可以退貨{FRAGE}"),
    ],
)
def test_repetitions_are_found(query: str, text: str) -> None:
    """Two copies and more, in capitals, with signs or single words between, shuffled, or cut."""
    assert repeats_query(query, chunk(text))


@pytest.mark.parametrize(
    ("query", "title", "text"),
    [
        (QUERY, "", ANSWER),
        (QUERY, "", f"{OTHER} {QUERY}"),
        (QUERY, QUERY, f"{QUERY}? {ANSWER}"),
        (FRAGE, FRAGE, f"{FRAGE}?鞋子签收后三十天之内可以退货。"),
        ("kubernetes", "Kubernetes", "Kubernetes, Kubernetes and again Kubernetes."),
        ("dense vector search", "", "Dense vector search, dense vector search and dense vector search."),
        ("机器学习", "", "机器学习、机器学习与机器学习。"),
        (
            "劳动合同何时终止？",
            "",
            "用人单位应当在解除或者终止劳动合同时出具解除或者终止劳动合同的证明，劳动合同终止。",
        ),
        (
            "check if a list is empty",
            "",
            "Return a list. The list is a list of lists, and a list is a sequence. Is it a list?",
        ),
        ("", "", "text"),
        (QUERY, "", ""),
    ],
)
def test_answers_and_names_do_not_repeat_it(query: str, title: str, text: str) -> None:
    """A question may stand in the title and once in the text, and a name as often as it likes."""
    assert not repeats_query(query, chunk(text, title=title))


def expected_score(rows: Sequence[Row], place: int, repeating: Sequence[bool]) -> float:
    """The two limits, written out over all candidates."""
    _, standing, logit = rows[place]
    score = mixed(PLAIN, logit, standing)
    if not repeating[place]:
        return score
    relevances = [relevance_of(each) for _, _, each in rows]
    keys = [(relevances[number], rows[number][1], -number) for number in range(len(rows))]
    others = [number for number in range(len(rows)) if not repeating[number]]
    beaten = [rows[number][1] for number in others if keys[number] < keys[place]]
    limit = max(beaten, default=min(standing for _, standing, _ in rows))
    score = min(score, mixed(PLAIN, logit_of(relevances[place]), min(standing, limit)))
    if others:
        best = max(others, key=keys.__getitem__)
        if keys[place] < keys[best]:
            score = min(score, math.nextafter(mixed(PLAIN, rows[best][2], rows[best][1]), 0.0))
    return score


@settings(deadline=None)
@given(rows=ROWS)
def test_the_limits_are_those_over_all_candidates(rows: list[Row]) -> None:
    """Only few texts are read, and the scores are those of reading all; the order follows from the scores."""
    repeating = [repeats_query(QUERY, chunk(text)) for text, _, _ in rows]
    ranking = ranked(rows)
    for place, each in enumerate(by_number(ranking)):
        wanted = expected_score(rows, place, repeating)
        assert each.score == pytest.approx(wanted, rel=1e-12)
        assert each.relevance == relevance_of(rows[place][2])
        assert (each.unlimited is None) or (repeating[place] and each.unlimited == mixed(PLAIN, *rows[place][:0:-1]))
    keys = [(-(each.score or 0.0), each.candidate.recall_rank) for each in ranking.ranked]
    assert keys == sorted(keys)


@settings(deadline=None)
@given(rows=ROWS)
def test_no_repetition_is_above_the_most_relevant_other(rows: list[Row]) -> None:
    """Whatever its recall score. If it is itself the most relevant of all, it keeps its place."""
    ranking, before = ranked(rows), ranked(rows, query="")
    others = [each for each in ranking.ranked if not repeats_query(QUERY, each.candidate.chunk)]
    best = max(others, key=lambda each: each.relevance or 0.0, default=None)
    for each in ranking.ranked:
        if each not in others and best is not None and (each.relevance or 0.0) < (best.relevance or 0.0):
            assert each.rank > best.rank
    top = max(ranking.ranked, key=lambda each: each.relevance or 0.0, default=None)
    if top is not None and sum(each.relevance == top.relevance for each in ranking.ranked) == 1:
        place = {each.candidate.chunk.number: each.rank for each in before.ranked}
        assert top.rank <= place[top.candidate.chunk.number]


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from([ANSWER, OTHER, QUERY]), STANDINGS, LOGITS), max_size=9))
def test_without_a_repetition_nothing_changes(rows: list[Row]) -> None:
    """To the bit: the ranking is the one that knows no query."""
    assert ranked(rows) == ranked(rows, query="")


@settings(deadline=None)
@given(rows=ROWS)
def test_a_reranker_without_weight_limits_nothing(rows: list[Row]) -> None:
    mixture = Mixture(recall_weight=1.0, relevance_weight=0.0, bias=0.0)
    assert ranked(rows, mixture=mixture) == ranked(rows, query="", mixture=mixture)


@settings(deadline=None)
@given(rows=ROWS.filter(bool), cuts=st.lists(st.integers(0, 9), max_size=3))
def test_waves_are_merged_into_the_order_of_all(rows: list[Row], cuts: list[int]) -> None:
    """A limit within a wave does not outlive it."""
    whole = ranked(rows)
    given_order = [each.candidate for each in by_number(whole)]
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    waves = [
        make_ranking(
            given_order[start:end],
            [logit for _, _, logit in rows[start:end]],
            judged_by="judge",
            query=QUERY,
            mixture=PLAIN,
        )
        for start, end in pairwise(bounds)
    ]
    assert merge_waves(waves, query=QUERY).ranked == whole.ranked
