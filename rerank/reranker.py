"""The contract of stage two, its records, and the reranker that keeps recall's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from winnow.retrieval.deadline import Deadline
from winnow.retrieval.model.folder import Mixture
from winnow.retrieval.records import Candidate

RECALL_ORDER: Final = "recall-order"  # reranker's name where nothing was reranked


class RankedBy(StrEnum):
    """The quantity that orders an answer, which is also its `score`."""

    RELEVANCE = "relevance"  # the reranker's score
    BLEND = "blend"  # a declared function of recall's score and relevance (rerank/ranking.py)
    RECALL_ORDER = "recall-order"  # recall's own order: similarity, unless lexical search took part


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A candidate in its final place."""

    candidate: Candidate
    rank: int  # 1 is best
    score: float | None  # the quantity of `ranked_by`; None if there is none (no reranker and no recall)
    relevance: float | None  # in [0, 1]; None if the candidate was not reranked
    truncated: bool = False  # the reranker read only the beginning of the passage
    fields: str = ""  # what the reranker read before title and text (retrieval/document_fields.py)
    unlimited: float | None = None  # the score before the limit for repeats (rerank/ranking.py); None: not limited
    demoted: bool = False  # an echo of the query: behind the others whatever its score (rerank/query_echo.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All candidates in order, the reranker that ordered them, and what that cost."""

    ranked: tuple[Ranked, ...]
    judged_by: str  # the reranker's name, or RECALL_ORDER
    ranked_by: RankedBy
    tokens: int = 0  # tokens computed by the reranker
    tokens_read: int = 0  # tokens of all prompts, those with a score from the cache included
    remembered: int = 0  # candidates whose score came from the cache
    mixture: Mixture | None = None  # the function of `RankedBy.BLEND`
    instruction_applied: bool = False  # whether the reranker read the instruction; false if nothing was reranked

    @property
    def judged(self) -> int:
        """Number of candidates that were reranked."""
        if self.judged_by == RECALL_ORDER:
            return 0
        return sum(each.relevance is not None for each in self.ranked)


class Reranker(Protocol):
    """Orders candidates by how well they answer the query under an instruction.

    Raises the `RerankError` leaves. Returns every candidate exactly once, or raises: never a part, never a score that
    was not computed. `tenant` asks the query: what one tenant's requests leave behind (a cache, a shared prompt on a
    server) must not be visible to another, not even in response times. `top_k` is how many places will be read; None is
    all.
    """

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str:
        """Changes whenever its scores could: another model, another prompt, another window."""
        ...

    @property
    def reads_instruction(self) -> bool:
        """Whether the instruction can change a score. If not, every ranking says `instruction_applied=False`."""
        ...

    def changes_order(self, instruction: str) -> bool:
        """Whether relevance has any weight under this instruction. If not, calling the reranker is pointless."""
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
    """Keeps recall's order; every candidate has no relevance."""

    name = RECALL_ORDER
    revision = ""  # there are no scores
    reads_instruction = False

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
