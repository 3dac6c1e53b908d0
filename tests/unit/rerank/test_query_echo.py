"""rerank/query_echo.py: passages that hold little but the query come last; others are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.test_reranker import candidates_of
from winnow.rerank.query_echo import demote_echoes, is_echo
from winnow.rerank.ranking import make_ranking

QUERY = "how long do I have to return a pair of shoes"
FRAGE = "网上买的鞋子多少天之内可以退货"
OTHER = "The canteen on the second floor opens at half past eleven, and on Fridays there is soup."
ANSWER = "Shoes may go back within thirty days; a pair that was worn is exchanged only. The return label is in the box."


@pytest.mark.parametrize(
    "passage",
    [
        f"{OTHER} {QUERY} {QUERY} {QUERY}",
        f"{QUERY} {OTHER} {QUERY.upper()}! {QUERY.replace(' ', chr(0x2003))}?",
        f"{OTHER} {QUERY[:40]} and {QUERY[10:]} {QUERY}",
        QUERY,
        " ".join([QUERY] * 5),
    ],
)
def test_copies_of_the_query_are_found(passage: str) -> None:
    """However they are set apart, in capitals or in parts, beside text about something else or alone."""
    assert is_echo(QUERY, passage)


@pytest.mark.parametrize("passage", [f"二楼的食堂十一点半开门。{FRAGE * 3}", f"{FRAGE}{FRAGE}", FRAGE])
def test_chinese_copies_are_found(passage: str) -> None:
    assert is_echo(FRAGE, passage)


@pytest.mark.parametrize(
    ("query", "passage"),
    [
        (QUERY, ANSWER),
        (QUERY, f"{QUERY}? {ANSWER}"),
        (QUERY, f"{QUERY}? {ANSWER} So, {QUERY}? Thirty days."),
        (QUERY, OTHER),
        (QUERY, ""),
        (FRAGE, f"{FRAGE}?鞋子签收后三十天之内可以退货，网上买的也一样。"),
        ("return shoes", "return shoes return shoes"),
    ],
)
def test_answers_are_left_alone(query: str, passage: str) -> None:
    """Also those that repeat the question before they answer it, and queries too short to be copied."""
    assert not is_echo(query, passage)


@settings(deadline=None)
@given(texts=st.lists(st.sampled_from([QUERY, ANSWER, OTHER, f"{OTHER} {QUERY * 3}"]), max_size=8))
def test_a_ranking_keeps_everything_but_the_place_of_echoes(texts: list[str]) -> None:
    """Both groups keep their order; scores, relevances and candidates are the same."""
    before = make_ranking(candidates_of(*texts), [float(-len(text)) for text in texts], judged_by="judge")
    after = demote_echoes(QUERY, before)
    expected = [each for each in before.ranked if not is_echo(QUERY, each.candidate.chunk.passage)]
    expected += [each for each in before.ranked if is_echo(QUERY, each.candidate.chunk.passage)]
    assert [each.candidate for each in after.ranked] == [each.candidate for each in expected]
    assert [(each.score, each.relevance) for each in after.ranked] == [
        (each.score, each.relevance) for each in expected
    ]
    assert [each.rank for each in after.ranked] == list(range(1, len(texts) + 1))
    assert [each.demoted for each in after.ranked] == [
        is_echo(QUERY, each.candidate.chunk.passage) for each in after.ranked
    ]
