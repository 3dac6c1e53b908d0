"""What a ranking would have been with fewer reranked candidates: the service's own code over recorded scores."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Self

from bench.judged import JudgedCandidate, JudgedQuery
from winnow.rerank.adaptive_reranker import AdaptiveDepth
from winnow.rerank.ranking import merge_waves
from winnow.rerank.reranker import Ranked, RankedBy, Ranking
from winnow.rerank.stopping_rule import StoppingRule
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.measures import Measure
from winnow.retrieval.records import Candidate, Chunk
from winnow.retrieval.tenancy import DEFAULT_TENANT

TOP_K = 10
NDCG = Measure("nDCG", TOP_K)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Cost and quality of a depth, for one query or on the mean of several."""

    ndcg: float
    kept: float
    gain: float
    judged: float
    tokens: float

    @classmethod
    def mean(cls, several: Sequence[Self]) -> Self:
        return cls(**{each.name: fmean(getattr(one, each.name) for one in several) for each in fields(cls)})


class Recorded:
    """Returns the recorded score of each candidate. Implements `Reranker`."""

    name = "recorded"
    reads_instruction = True

    def __init__(self, judged: JudgedQuery, order: RankedBy) -> None:
        self._judged = judged
        self._order = order
        self.candidates = [_candidate(place, each) for place, each in enumerate(judged.candidates)]

    def changes_order(self, instruction: str) -> bool:  # noqa: ARG002  the contract's
        return True

    async def rank(
        self,
        query: str,  # noqa: ARG002
        candidates: Sequence[Candidate],
        *,
        instruction: str,  # noqa: ARG002
        tenant: str,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
        top_k: int | None = None,  # noqa: ARG002
    ) -> Ranking:
        said = [(each, self._judged.candidates[each.chunk.number]) for each in candidates]
        scored = [(each, one.relevance, one.relevance if self._is_relevance else one.score) for each, one in said]
        scored.sort(key=lambda row: (-row[2], row[0].recall_rank))
        return Ranking(
            ranked=tuple(
                Ranked(candidate=each, rank=rank, score=score, relevance=relevance)
                for rank, (each, relevance, score) in enumerate(scored, start=1)
            ),
            judged_by=self.name,
            ranked_by=self._order,
            tokens=self._judged.shared_tokens + sum({one.passage: one.tokens for _, one in said}.values()),
        )

    @property
    def _is_relevance(self) -> bool:
        return self._order is RankedBy.RELEVANCE


def _candidate(place: int, judged: JudgedCandidate) -> Candidate:
    """In recall's order; a chunk's number is its place."""
    chunk = Chunk(
        number=place,
        document_id=judged.document_id,
        ordinal=0,
        start=0,
        end=0,
        title="",
        text="",
        url=None,
        metadata={},
    )
    return Candidate(chunk=chunk, recall_rank=place + 1, similarity=judged.similarity)


def at_depth(query: JudgedQuery, order: RankedBy, depth: int | None) -> Figures:
    """Rerank the first `depth` at once, or all if None; the others follow, in recall's order."""
    judge = _judge(query, order)
    behind = [] if depth is None else judge.candidates[depth:]
    ranking = merge_waves([_ranked(judge, judge.candidates[:depth])], behind, query="")
    return _figures(query, ranking, _full(query, order))


def by_rule(query: JudgedQuery, order: RankedBy, rule: StoppingRule) -> Figures:
    """Rerank as the service would, for ten results."""
    judge = _judge(query, order)
    return _figures(query, _ranked(AdaptiveDepth(judge, rule), judge.candidates), _full(query, order))


@functools.cache
def _judge(query: JudgedQuery, order: RankedBy) -> Recorded:
    return Recorded(query, order)


@functools.cache
def _full(query: JudgedQuery, order: RankedBy) -> Ranking:
    judge = _judge(query, order)
    return _ranked(judge, judge.candidates)


def _ranked(reranker: Recorded | AdaptiveDepth, candidates: Sequence[Candidate]) -> Ranking:
    """Run to the result in one step, without an event loop: nothing here waits."""
    asked = reranker.rank("", candidates, instruction="", tenant=DEFAULT_TENANT, deadline=Deadline.never(), top_k=TOP_K)
    try:
        asked.send(None)
    except StopIteration as done:
        ranking: Ranking = done.value
        return ranking
    raise AssertionError("a recorded reranker never waits. This is a bug.")


def _figures(query: JudgedQuery, ranking: Ranking, full: Ranking) -> Figures:
    first, wanted = (set(_places(each)[:TOP_K]) for each in (ranking, full))
    documents = dict.fromkeys(each.candidate.chunk.document_id for each in ranking.ranked)
    return Figures(
        ndcg=NDCG.of(list(documents), query.grades),
        kept=len(first & wanted) / len(wanted),
        gain=_gain(query, ranking) / _gain(query, full),
        judged=ranking.judged,
        tokens=ranking.tokens / full.tokens,
    )


def _places(ranking: Ranking) -> list[int]:
    return [each.candidate.chunk.number for each in ranking.ranked]


def _gain(query: JudgedQuery, ranking: Ranking) -> float:
    """Gain by the scores of the full depth, including those not reranked in this ranking."""
    is_relevance = ranking.ranked_by is RankedBy.RELEVANCE
    said = [query.candidates[place] for place in _places(ranking)[:TOP_K]]
    scores = [each.relevance if is_relevance else each.score for each in said]
    return math.fsum(score / math.log2(place + 1) for place, score in enumerate(scores, start=1))
