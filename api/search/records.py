"""The records of searches and trials: what the HTTP routes and the command line ask, and what they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from winnow.api.library.instructions import AppliedInstruction, NamedInstruction
from winnow.rerank.highlight import Highlights
from winnow.rerank.near_duplicates import Diversified
from winnow.rerank.reranker import Ranked, Ranking
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval import errors
from winnow.retrieval.catalog.calibrations import Calibration
from winnow.retrieval.chat.conversation import Conversation
from winnow.retrieval.chat.rewriting import Rewriting
from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.records import Collapse, RecallMode
from winnow.retrieval.search.context import Context
from winnow.retrieval.search.recall import Recalled
from winnow.retrieval.tenancy import TenantName


class OnRerankFailure(StrEnum):
    """What to answer when the reranker fails."""

    DEGRADE = "degrade"  # recall's order, and the reason
    ERROR = "error"


class DegradeReason(StrEnum):
    """Why an answer is in recall's order although reranking was requested. The list is closed."""

    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    BREAKER_OPEN = "breaker_open"


class RerankSkipped(StrEnum):
    """Why the reranker did not run although nothing failed. The list is closed."""

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
    """One search."""

    tenant: TenantName
    collection: str  # the tenant's own, or `owner/name` of one that was granted to it
    query: str
    top_k: int
    candidates: int | None = None  # None: the service's default
    recall: RecallMode | None = None  # likewise
    depth: Depth | None = None  # likewise
    where: Filter | None = None  # which documents may answer; None is all
    rerank: bool = True
    rerank_always: bool = False  # also where relevance has no weight, for the relevance of each result
    instruction: str | NamedInstruction | None = None
    key_instruction: str | None = None  # the default of the caller's key
    min_relevance: float | None = None  # applies only to reranked answers
    calibrated: bool = False  # the minimum is the collection's calibrated threshold
    group_by_document: bool = False
    chunks_per_document: int | None = None  # the best are shown; only where grouped; None: all candidates
    demote_query_echo: bool | None = None  # puts passages that only repeat the query last; None: as the collection says
    collapse: Collapse | None = None  # leaves out near-identical passages; None: as the collection says
    mmr_lambda: float | None = None  # likewise
    further: tuple[str, ...] = ()  # queries whose candidates are fused with those of `query`
    conversation: Conversation | None = (
        None  # `query` is its last turn until it is rewritten (api/search/conversing.py)
    )
    rewrites: bool = True  # whether a chat model may be asked
    rewriting: Rewriting | None = None  # how `query` was made of the conversation
    highlight: bool = False  # finds the sentences that carry the relevance of what is shown
    neighbours: int = 0  # chunks of context on either side of each chunk
    on_rerank_failure: OnRerankFailure = OnRerankFailure.DEGRADE

    @property
    def queries(self) -> tuple[str, ...]:
        """Each once, the main query first: the reranker judges by it."""
        return tuple(dict.fromkeys((self.query, *self.further)))

    @property
    def has_minimum(self) -> bool:
        """Whether passages of low relevance are left out."""
        return self.calibrated or self.min_relevance is not None

    @property
    def wants_relevance(self) -> bool:
        """Whether the answer has to have relevance scores."""
        return self.rerank and (self.rerank_always or self.has_minimum)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialQuestion:
    """One search, and the instructions to rank its candidates under."""

    tenant: TenantName
    collection: str  # as in a search
    query: str
    wanted: tuple[NamedInstruction | None, ...]  # None: the one that the collection's searches use now
    top_k: int
    candidates: int | None = None
    recall: RecallMode | None = None
    where: Filter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """A stage that was requested and failed."""

    stage: str
    reason: DegradeReason


class LeftOutReason(StrEnum):
    """Why passages have no highlights. The list is closed."""

    TOKEN_LIMIT = "token_limit"  # noqa: S105  their sentences exceed the limit of tokens
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    BREAKER_OPEN = "breaker_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlighted:
    """The highlights of an answer."""

    found: Highlights
    reason: LeftOutReason | None  # None: no passage is left out
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One result, in its place."""

    rank: int
    best: Ranked
    others: tuple[Ranked, ...] = ()  # further chunks of the same document, best first; only where grouped


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one search."""

    id: str
    collection: str
    queries: tuple[str, ...]  # the main query first
    rewriting: Rewriting | None  # None: the question was no conversation
    instruction: AppliedInstruction
    recalled: Recalled
    ranking: Ranking  # all candidates, in their order before anything is collapsed or ordered by MMR
    degraded: Degraded | None
    rerank_skipped: RerankSkipped | None
    reranker: str | None  # the collection's, whether it ran or not; None: it is not configured
    results: tuple[Result, ...]
    contexts: Mapping[int, Context]  # by chunk number, of all results; empty where none was requested
    rerank_ms: float | None  # None: the reranker did not run
    total_ms: float
    diversified: Diversified | None = None  # None: neither a collapse nor MMR is wanted
    diversify_ms: float | None = None  # likewise
    highlights: Highlighted | None = None  # None: not wanted

    @property
    def rerank_tokens(self) -> int:
        """Tokens that the reranker computed, also for highlights."""
        return self.ranking.tokens + (0 if self.highlights is None else self.highlights.found.tokens)

    fields: FieldChoice = NO_CHOICE  # that the reranker reads before title and text
    is_calibrated: bool = False  # the question wanted the calibrated threshold
    calibration: Calibration | None = None  # where it did; None also if the reranker is not configured

    def passes(self, ranked: Ranked) -> bool:
        """Whether a passage reaches the calibrated threshold. Without a relevance score it does not."""
        least = self.calibration
        return least is not None and ranked.relevance is not None and ranked.relevance >= least.threshold
