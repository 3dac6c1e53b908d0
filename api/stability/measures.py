"""Compares recorded answers, one query at a time and over a whole run. Pure.

Rule 1: differences that rounding makes do not count: two computations of one score may differ in their last digits, and
passages with the same score may then stand either way.
Rule 2: an answer that is degraded in either run is in recall's order. It counts as degraded, and is not compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from winnow.rerank.rank_correlation import kendall_tau_b, overlap, rank_biased_overlap
from winnow.retrieval.catalog.stability import PLACES_MAX, Answered, Measures, Place
from winnow.retrieval.measures import parse

ROUNDING: Final = 1e-4  # of a score; float32 on one machine moves it by 1e-6, bfloat16 on a server by 1e-3 and more
OVERLAP_DEPTH: Final = 10  # places
_NDCG: Final = parse("nDCG@10")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerChange:
    """How two answers to one query differ."""

    moved: bool  # beyond rounding
    top1: bool  # another chunk is first, beyond rounding
    overlap: float  # of the first ten places
    rbo: float
    tau: float | None  # None: fewer than two chunks are in both
    shifts: tuple[float, ...]  # absolute, of the chunks in both
    rescored: bool  # the same passage has another relevance


def compare(before: Answered, after: Answered) -> AnswerChange:
    """Compare two answers, neither of them degraded."""
    one, other = before.chunks, after.chunks
    shifts = tuple(_shifts(before, after))
    first = bool(one) != bool(other) or (bool(one) and _stands_apart(before, after, 0))
    moved = len(one) != len(other) or any(shift > ROUNDING for shift in shifts)
    return AnswerChange(
        moved=moved or any(_stands_apart(before, after, place) for place in range(len(one))),
        top1=first,
        overlap=overlap(one, other, OVERLAP_DEPTH),
        rbo=rank_biased_overlap(*_equally_long(one, other)),
        tau=_tau(one, other),
        shifts=shifts,
        rescored=_is_rescored(before, after),
    )


def is_moved(before: Answered, after: Answered) -> bool:
    """Whether the answers differ beyond rounding; a degraded answer is not compared."""
    return before.degraded is None and after.degraded is None and compare(before, after).moved


def moved_queries(before: Mapping[str, Answered], after: Mapping[str, Answered]) -> list[str]:
    """Return the queries of both runs whose answers moved."""
    return [query for query, answer in after.items() if query in before and is_moved(before[query], answer)]


def measure(
    before: Mapping[str, Answered],
    after: Mapping[str, Answered],
    judgments: Mapping[str, Mapping[str, int]] | None = None,
) -> Measures:
    """Measure how two runs differ over the queries of both. `judgments` are grades by document id, by query."""
    queries = [query for query in after if query in before]
    sound = [query for query in queries if before[query].degraded is None and after[query].degraded is None]
    changes = [compare(before[query], after[query]) for query in sound]
    shifts = [shift for change in changes for shift in change.shifts]
    judged = {query: grades for query, grades in (judgments or {}).items() if query in queries}
    return Measures(
        queries=len(sound),
        moved=sum(change.moved for change in changes),
        top1_change_rate=_mean([float(change.top1) for change in changes], 0.0),
        overlap=_mean([change.overlap for change in changes], 1.0),
        rbo=_mean([change.rbo for change in changes], 1.0),
        tau=_mean_if_any([change.tau for change in changes if change.tau is not None]),
        score_shift_mean=_mean_if_any(shifts),
        score_shift_max=max(shifts, default=None),
        degraded=_mean([float(after[query].degraded is not None) for query in queries], 0.0),
        degraded_before=_mean([float(before[query].degraded is not None) for query in queries], 0.0),
        ndcg=_ndcg(after, judged),
        ndcg_before=_ndcg(before, judged),
    )


def _shifts(before: Answered, after: Answered) -> Iterable[float]:
    """Differences of relevance; where one of the two was not reranked, of what ordered both."""
    there = {each.chunk: each for each in before.places}
    for place in after.places:
        old = there.get(place.chunk)
        if old is None:
            continue
        if old.relevance is not None and place.relevance is not None:
            yield abs(place.relevance - old.relevance)
        elif old.relevance is None and place.relevance is None and old.score is not None and place.score is not None:
            yield abs(place.score - old.score)


def _stands_apart(before: Answered, after: Answered, place: int) -> bool:
    """Whether this place holds another chunk, which had not the same score as the one that it replaced."""
    if place >= len(before.places) or place >= len(after.places):
        return True
    old, new = before.places[place], after.places[place]
    return old.chunk != new.chunk and not (_ties(before, old, new) and _ties(after, new, old))


def _ties(answer: Answered, held: Place, other: Place) -> bool:
    """Whether in this answer the other chunk scored as the one in the place.

    A chunk that is not recorded may only have tied with the last place of a full answer, and come just after it.
    """
    found = next((each for each in answer.places if each.chunk == other.chunk), None)
    if found is not None:
        return _is_same(held.score, found.score)
    is_cut = len(answer.places) == PLACES_MAX and _is_same(held.score, answer.places[-1].score)
    return is_cut and _is_same(held.score, other.score)


def _is_same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= ROUNDING


def _is_rescored(before: Answered, after: Answered) -> bool:
    there = {(each.chunk, each.passage): each.relevance for each in before.places}
    pairs = ((there.get((each.chunk, each.passage)), each.relevance) for each in after.places)
    return any(old is not None and new is not None and abs(new - old) > ROUNDING for old, new in pairs)


def _equally_long(one: Sequence[object], other: Sequence[object]) -> tuple[list[object], list[object]]:
    """Fill the shorter order with places that agree with nothing."""
    most = max(len(one), len(other))
    return (
        [*one, *(("missing before", place) for place in range(len(one), most))],
        [*other, *(("missing after", place) for place in range(len(other), most))],
    )


def _tau(one: Sequence[object], other: Sequence[object]) -> float | None:
    places = {chunk: place for place, chunk in enumerate(other)}
    common = [(-float(place), -float(places[chunk])) for place, chunk in enumerate(one) if chunk in places]
    if len(common) < 2:
        return None
    return kendall_tau_b([first for first, _ in common], [second for _, second in common])


def _ndcg(answers: Mapping[str, Answered], judged: Mapping[str, Mapping[str, int]]) -> float | None:
    if not any(grade > 0 for grades in judged.values() for grade in grades.values()):
        return None
    rankings = {query: list(dict.fromkeys(each.document_id for each in answers[query].places)) for query in judged}
    return _NDCG.mean(rankings, judged)


def _mean(values: Sequence[float], default: float) -> float:
    return math.fsum(values) / len(values) if values else default


def _mean_if_any(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
