"""Which of these candidates answer the query: the contract of stage two, and the reranker that judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import Candidate

RECALL_ORDER: Final = "recall-order"  # the judge's name where nobody judged


class RankedBy(StrEnum):
    """The quantity that an answer is ordered by, which is also its `score`."""

    RELEVANCE = "relevance"  # what the reranker said
    BLEND = "blend"  # a declared function of recall's score and relevance (rerank/ranking.py)
    RECALL_ORDER = "recall-order"  # what recall ordered by: similarity, unless it went by words too


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A candidate in its final place."""

    candidate: Candidate
    rank: int  # 1 is best
    score: float | None  # the quantity of `ranked_by`; None where there is none (no judge and no recall)
    relevance: float | None  # in [0, 1]; None = nobody judged it
    truncated: bool = False  # the judge read only the beginning of the passage
    demoted: bool = False  # an echo of the query: behind the others whatever its score (rerank/query_echo.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All candidates in order, who judged them, and what that cost."""

    ranked: tuple[Ranked, ...]
    judged_by: str  # the reranker's name, or RECALL_ORDER
    ranked_by: RankedBy
    tokens: int = 0  # tokens computed by the reranker
    remembered: int = 0  # candidates whose judgement was not computed again

    @property
    def judged(self) -> int:
        """How many of the candidates have a judgement."""
        return sum(each.relevance is not None for each in self.ranked)


class Reranker(Protocol):
    """Orders candidates by how well they answer the query under an instruction.

    Raises the `RerankError` leaves. It returns every candidate exactly once, or raises: never a part, never a score
    that nobody computed. `tenant` is whose question it is: what one tenant's judging left behind (a cache, a shared
    prompt on a server) must not be seen by another, not even in the time that an answer takes. `top_k` is how many
    places will be looked at; None is all.
    """

    @property
    def name(self) -> str: ...

    def changes_order(self, instruction: str) -> bool:
        """Whether what it says has any weight under this instruction. Where not, nothing is gained by asking it."""
        ...

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        instruction: str,
        tenant: str,
        deadline: Deadline,
        top_k: int | None = None,
    ) -> Ranking: ...


class RecallOrder:
    """Keeps recall's order, and says so."""

    name = RECALL_ORDER

    def changes_order(self, instruction: str) -> bool:  # noqa: ARG002  the contract's
        return False

    async def rank(
        self,
        query: str,  # noqa: ARG002  the contract's
        candidates: Sequence[Candidate],
        *,
        instruction: str,  # noqa: ARG002
        tenant: str,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
        top_k: int | None = None,  # noqa: ARG002
    ) -> Ranking:
        ranked = tuple(
            Ranked(
                candidate=candidate,
                rank=rank,
                score=candidate.similarity if candidate.recall_score is None else candidate.recall_score,
                relevance=None,
            )
            for rank, candidate in enumerate(candidates, start=1)
        )
        return Ranking(ranked=ranked, judged_by=RECALL_ORDER, ranked_by=RankedBy.RECALL_ORDER)
