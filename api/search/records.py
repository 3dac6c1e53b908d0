"""What a search asks for and what its answer holds: the records that cross between search, HTTP and command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from winnow.api.library.instructions import AppliedInstruction, NamedInstruction
from winnow.rerank.reranker import Ranked, Ranking
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval import errors
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.records import RecallMode
from winnow.retrieval.search.context import Context
from winnow.retrieval.search.recall import Recalled
from winnow.retrieval.tenancy import TenantName


class OnRerankFailure(StrEnum):
    """What the caller wants where stage two fails."""

    DEGRADE = "degrade"  # recall's order, and the reason
    ERROR = "error"


class DegradeReason(StrEnum):
    """Why an answer is in recall's order although a judgement was asked for. The list is closed."""

    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    BREAKER_OPEN = "breaker_open"


class RerankSkipped(StrEnum):
    """Why the reranker was not asked, and nothing failed. The list is closed."""

    NOT_REQUESTED = "not_requested"  # by `rerank: false`
    NO_WEIGHT = "no_weight"  # relevance has no weight under this instruction (rerank/ranking.py)
    NO_CANDIDATES = "no_candidates"


REASONS: Final[Mapping[type[errors.WinnowError], DegradeReason]] = {
    errors.RerankTimeout: DegradeReason.TIMEOUT,
    errors.RerankOverloaded: DegradeReason.OVERLOADED,
    errors.RerankUnavailable: DegradeReason.UNAVAILABLE,
    errors.RerankBreakerOpen: DegradeReason.BREAKER_OPEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One search, as the caller means it."""

    tenant: TenantName
    collection: str  # one of the tenant's own, or `owner/name` of one that it was granted
    query: str
    top_k: int
    candidates: int | None = None  # None leaves the number to the service
    recall: RecallMode | None = None  # likewise
    depth: Depth | None = None  # likewise
    where: Filter | None = None  # which documents may answer; None is all
    rerank: bool = True
    rerank_always: bool = False  # also where relevance has no weight: for the relevance of each result
    instruction: str | NamedInstruction | None = None
    min_relevance: float | None = None  # only where somebody judged
    group_by_document: bool = False
    chunks_per_document: int | None = None  # shown of each, the best; only where grouped; None is all candidates
    demote_query_echo: bool | None = None  # passages that hold little but the query come last; None: as the collection
    neighbours: int = 0  # chunks of context shown on either side of each chunk
    on_rerank_failure: OnRerankFailure = OnRerankFailure.DEGRADE

    @property
    def wants_relevance(self) -> bool:
        """Whether an answer without relevance would not be what was asked for."""
        return self.rerank and (self.rerank_always or self.min_relevance is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """A stage that was asked for and did not happen."""

    stage: str
    reason: DegradeReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One place of the answer."""

    rank: int
    best: Ranked
    others: tuple[Ranked, ...] = ()  # further chunks of the same document, best first; only where grouped


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is told about a question."""

    id: str
    collection: str
    instruction: AppliedInstruction
    recalled: Recalled
    ranking: Ranking  # all candidates, in their final order
    degraded: Degraded | None
    rerank_skipped: RerankSkipped | None
    reranker: str | None  # the one that the collection uses, asked or not; None where it is not configured
    results: tuple[Result, ...]
    contexts: Mapping[int, Context]  # by chunk number, of everything in `results`; empty where none was asked for
    rerank_ms: float | None  # None where no judge was called
    total_ms: float
