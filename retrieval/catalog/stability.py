"""Ranking stability: golden sets, their runs, and samples of live searches. Records and rules.

A golden set is a list of queries of one collection. A run answers all of them; the first run is the baseline, and later
runs are compared with it. A sample is the answer of a live search, recorded beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from winnow.retrieval.catalog.stability_schedules import Schedule
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import TenantName

PLACES_MAX: Final = 20  # recorded places of an answer
SAMPLES_PER_TENANT_MAX: Final = 20_000  # rows; the newest are kept
SAMPLE_AGE_MAX: Final = timedelta(days=90)
RUNS_PER_SET_MAX: Final = 200  # the newest, and the baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A chunk in its place of an answer. The chunk is named by its document and its position in it."""

    document_id: str
    ordinal: int
    score: float | None  # the quantity that ordered the answer
    relevance: float | None  # None if it was not reranked
    passage: str  # beginning of the SHA-256 of what the reranker reads: fields, title and text

    @property
    def chunk(self) -> tuple[str, int]:
        return self.document_id, self.ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingState:
    """Everything known that may decide an order. Two answers with equal states should be equal."""

    store_version: int
    documents: str = ""  # digest of all documents; empty if it was not computed
    generation: str | None  # None: every vector was compared from the store
    index: str  # its recipe and parameters; an approximate index also has its generation's name
    embedder: str  # name, revision, dimension, prompt format
    reranker: str | None  # name and revision; None if the collection's is not configured
    instruction: str  # NAME@VERSION, or that it was a text
    instruction_sha256: str  # of its text and its embedding task
    recall: RecallMode
    candidates: int
    settings: str = ""  # of collection and service: depth, fields, diversity, order
    runtime: str = ""  # what computes: devices, number types, servers, versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The recorded answer to one query, best first."""

    query_sha256: str
    places: tuple[Place, ...]  # at most `PLACES_MAX`
    degraded: str | None = None  # why it is in recall's order although reranking was wanted

    @property
    def chunks(self) -> tuple[tuple[str, int], ...]:
        return tuple(each.chunk for each in self.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenQuery:
    """A query to replay, with grades by document id if it was judged."""

    query: str
    judgments: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSet:
    """A named set of queries over one of the tenant's own collections."""

    tenant: TenantName
    name: str
    collection: str
    created_at: datetime  # UTC
    candidates: int | None = None  # None: the service's default
    recall: RecallMode | None = None  # likewise
    instruction: str | None = None  # NAME or NAME@VERSION; None: the collection's, or the tenant's
    baseline: int | None = None  # number of a run; None before the first
    schedule: Schedule | None = None  # None: replayed on demand, and after changes
    queries: int = 0
    judged: int = 0  # of these queries


class Trigger(StrEnum):
    """What started a run. The first two were asked for; the service starts the others itself."""

    REQUEST = "request"
    COMMAND = "command"
    SCHEDULE = "schedule"
    MODEL = "model"  # another reranker or embedder answers
    INSTRUCTION = "instruction"  # another one, or another version, applies
    PUBLICATION = "publication"  # another generation of the index serves
    RUNTIME = "runtime"  # other devices, number types, servers, or another winnow


class Factor(StrEnum):
    """What an order depends on, as far as a state tells it apart."""

    DOCUMENTS = "documents"
    MODEL = "model"
    INSTRUCTION = "instruction"
    INDEX = "index"
    SETTINGS = "settings"
    NUMERICS = "numerics"  # devices, number types, servers, versions


class CauseKind(StrEnum):
    """Why a run differs from its baseline."""

    DOCUMENTS = "documents"
    MODEL = "model"
    INSTRUCTION = "instruction"
    INDEX = "index"
    SETTINGS = "settings"
    NUMERICS = "numerics"
    UNEXPLAINED = "unexplained"


class Proof(StrEnum):
    """How a cause was found."""

    ELIMINATION = "elimination"  # it changed, and nothing else that changed explains the difference
    REPLAY = "replay"  # the difference goes away with the old one
    TOGETHER = "together"  # it changed with others that cannot be told apart: none of their old states is left


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause of a difference."""

    kind: CauseKind
    proof: Proof
    before: str  # what it was in the baseline's state
    after: str
    share: float | None = (
        None  # of the moved answers, those that are as in the baseline with the old one; None: unknown
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """How two runs differ: means over the queries that neither answered degraded."""

    queries: int  # compared
    moved: int  # with another order or another score, beyond what rounding does
    top1_change_rate: float
    overlap: float  # of the first ten places
    rbo: float  # p = 0.9, of the recorded places
    tau: float | None  # Kendall's tau-b of the chunks in both; None if no answer has two of them
    score_shift_mean: float | None  # absolute, of relevance; of the score where nothing was reranked
    score_shift_max: float | None
    degraded: float  # share of the later run's answers
    degraded_before: float
    ndcg: float | None = None  # nDCG@10 of the later run; None without judgments
    ndcg_before: float | None = None


class GuardedMeasure(StrEnum):
    """A measure that may have a threshold."""

    TOP1_CHANGE_RATE = "top1_change_rate"
    OVERLAP = "overlap_at_10"
    RBO = "rbo"
    TAU = "tau_b"
    SCORE_SHIFT = "score_shift"  # the largest
    DEGRADED = "degraded"  # share of the run's answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A measure of a run beyond its threshold."""

    measure: GuardedMeasure
    value: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One replay of a golden set."""

    number: int
    tenant: TenantName
    golden: str
    collection: str
    at: datetime  # UTC
    state: RankingState
    baseline: int | None  # compared with this run; None: it is the first
    is_baseline: bool = False  # now
    measures: Measures | None = None  # None: it was compared with nothing
    changed: tuple[Factor, ...] = ()  # since the baseline
    causes: tuple[Cause, ...] = ()  # empty: nothing moved
    breaches: tuple[Breach, ...] = ()  # of the thresholds that held when it was stored
    trigger: Trigger = Trigger.REQUEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A query whose answer moved, with both answers."""

    query: str
    before: Answered
    after: Answered
    rbo: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRule:
    """Which share of a tenant's searches is recorded."""

    tenant: TenantName
    share: float = 0.0  # in [0, 1]
    keep_queries: bool = False  # store texts, not only keyed digests
    digest_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A recorded live search."""

    tenant: TenantName
    collection: str
    at: datetime  # UTC
    query_digest: str  # HMAC-SHA-256 under the tenant's key
    query: str | None  # None unless the tenant keeps queries
    state: RankingState
    places: tuple[Place, ...]
    degraded: str | None
    number: int = 0  # ascending; 0 before it is stored
