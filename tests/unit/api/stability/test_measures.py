"""What counts as moved: another order or other scores, beyond what rounding and ties do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from winnow.api.stability.measures import ROUNDING, compare, measure
from winnow.retrieval.catalog.stability import PLACES_MAX, Answered, Place


def answer(*places: tuple[str, float], degraded: str | None = None) -> Answered:
    return Answered(
        query_sha256="q",
        degraded=degraded,
        places=tuple(
            Place(document_id=name, ordinal=0, score=score, relevance=score, passage=name) for name, score in places
        ),
    )


def full(first: str, *, last: Sequence[tuple[str, float]]) -> Answered:
    """An answer of all recorded places, so that further ones may have been cut off."""
    between = [(f"m{number}", 0.8 - number / 100) for number in range(PLACES_MAX - 1 - len(last))]
    return answer((first, 0.9), *between, *last)


@pytest.mark.parametrize(
    ("before", "after", "moved", "top1"),
    [
        (answer(("a", 0.9), ("b", 0.5)), answer(("a", 0.9), ("b", 0.5)), False, False),
        (answer(("a", 0.9), ("b", 0.5)), answer(("a", 0.9 + ROUNDING / 2), ("b", 0.5)), False, False),
        (answer(("a", 0.9), ("b", 0.5)), answer(("a", 0.9 + ROUNDING * 2), ("b", 0.5)), True, False),
        (answer(("a", 0.9), ("b", 0.5)), answer(("b", 0.9), ("a", 0.5)), True, True),
        (answer(("a", 0.9), ("b", 0.9)), answer(("b", 0.9), ("a", 0.9)), False, False),  # a tie
        (answer(("a", 0.9), ("b", 0.5)), answer(("x", 0.9), ("b", 0.5)), True, True),  # another document, equally good
        (answer(("a", 0.9)), answer(("a", 0.9), ("b", 0.5)), True, False),
        (answer(), answer(("a", 0.9)), True, True),
        (answer(), answer(), False, False),
        (full("a", last=[("y", 0.1)]), full("a", last=[("z", 0.1)]), False, False),  # the other one came just after it
        (full("a", last=[("y", 0.1)]), full("a", last=[("z", 0.2)]), True, False),
        (full("a", last=[("y", 0.1)]), full("x", last=[("y", 0.1)]), True, True),  # it would have been recorded
    ],
)
def test_an_answer_moves_beyond_rounding_and_ties(
    before: Answered, after: Answered, *, moved: bool, top1: bool
) -> None:
    """In either direction."""
    for change in (compare(before, after), compare(after, before)):
        assert (change.moved, change.top1) == (moved, top1)


def test_degraded_answers_are_counted_apart() -> None:
    """They are in recall's order, whatever the reranker would have done."""
    good, degraded = answer(("a", 0.9), ("b", 0.5)), answer(("b", 0.2), ("a", 0.1), degraded="timeout")
    found = measure({"one": good, "two": good, "new": good}, {"one": good, "two": degraded})
    assert (found.queries, found.moved, found.overlap, found.degraded, found.degraded_before) == (1, 0, 1.0, 0.5, 0.0)


def test_scores_of_recall_are_compared_where_nothing_was_reranked() -> None:
    """A reranked answer and one that is not share no score."""
    reranked = answer(("a", 0.9))
    recalled = [
        Answered(query_sha256="q", places=(Place(
            document_id="a", ordinal=0, score=score, relevance=None, passage="a"
        ),))
        for score in (0.3, 0.5)
    ]  # fmt: skip
    assert compare(*recalled).shifts == pytest.approx((0.2,))
    assert compare(reranked, recalled[0]).shifts == ()
