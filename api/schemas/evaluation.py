"""What `winnow eval` writes: its JSON object, and the lines of --per-query."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class EvalComparison(TypedDict):
    """One measure of two runs over the same queries: `run` minus `against`."""

    measure: str
    run: str
    against: str
    mean: float
    low: float  # the 95 % interval of the mean, by a paired bootstrap
    high: float
    p: float  # of the paired randomisation test, two-sided
    p_holm: float  # corrected by Holm's method over all pairs of the measure
    exact: bool  # p counts all patterns of signs, not draws
    draws: int  # of the test, unless it is exact, and of the bootstrap
    seed: int
    queries: int


class EvalQuery(TypedDict):
    """One line of `winnow eval --per-query`."""

    id: str
    text: str
    runs: dict[str, dict[str, float]]  # name of the run -> measure -> value
    differences: dict[str, dict[str, float]]  # the same minus the first run's, for all others


class EvalSetting(TypedDict):
    """The setting of a run."""

    order: str  # recall, answer or relevance
    collection: str
    embedder: str
    recall: str
    candidates: int  # that are reranked; 0 where nothing is
    depth: str
    instruction: dict[str, Any]
    instruction_text: str
    rerank_fields: list[str]


class EvalPercentiles(TypedDict):
    """Percentiles over the queries, in milliseconds."""

    p50: float
    p90: float
    p99: float


class EvalTimings(TypedDict):
    """How long each stage of a search takes, asked one query at a time; None: the run has no such stage."""

    embed: EvalPercentiles
    recall: EvalPercentiles
    fetch: EvalPercentiles
    rerank: EvalPercentiles | None
    total: EvalPercentiles


class EvalTokens(TypedDict):
    """Tokens that the models compute for a query, on average."""

    embed: float
    rerank: float


class EvalCurve(TypedDict):
    """A figure as something grows: `measure` has the value `y` at the same place of `x`."""

    measure: str
    x: list[int]
    y: list[float]


class EvalDifferences(TypedDict):
    """How the queries differ from the first run by the first measure."""

    against: str
    measure: str
    edges: list[float]  # of the bins, one more than counts; queries without a difference are in none
    counts: list[int]
    wins: int
    ties: int
    losses: int


class EvalMovement(TypedDict):
    """Where the relevant documents stand in the first run (rows) and in this one (columns), by bands of ranks."""

    against: str
    bands: list[str]
    counts: list[list[int]]
    up: int  # documents
    down: int
    same: int


class EvalRun(TypedDict):
    """A run. A run from elsewhere has figures, and no setting and times."""

    name: str
    reranker: str | None
    instruction_applied: bool
    metrics: dict[str, float]
    setting: EvalSetting | None
    timings: EvalTimings | None
    tokens: EvalTokens | None
    cost_per_1000: float | None  # queries, in the currency of the price
    by_cutoff: EvalCurve  # the first measure at other depths
    by_reranked: EvalCurve | None  # the first measure, had fewer candidates been reranked; None: nothing was
    differences: EvalDifferences | None  # None: it is the first run
    movement: EvalMovement | None  # likewise


class EvalExtreme(TypedDict):
    """A query with one of the largest differences to the first run, by the first measure."""

    run: str
    against: str
    measure: str
    id: str
    text: str
    before: float
    after: float
    difference: float


class EvalResponse(TypedDict):
    """The JSON object of `winnow eval`."""

    runs: list[EvalRun]
    collection: str
    folder: str | None
    queries: int
    documents: int
    chunks: int
    candidates: int
    embedder: str
    reranker: str
    rerankers: list[str]
    instruction: dict[str, Any]
    rerank_fields: list[str]
    seconds: float
    gpu_hour_price: float | None
    comparisons: list[EvalComparison]
    extremes: list[EvalExtreme]
