"""Requests and answers about ranking stability: golden sets, runs, sampling."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import Field, StrictBool

from winnow.api.fields import CollectionName, InstructionReference, Number, QueryText, Strict
from winnow.api.schemas.response import JsonObject
from winnow.api.schemas.stability_schedule import ScheduleResponse, schedule_response
from winnow.rerank.rank_correlation import RBO_PERSISTENCE
from winnow.retrieval.catalog.stability import (
    Answered,
    Breach,
    Cause,
    GoldenQuery,
    GoldenSet,
    Measures,
    Moved,
    RankingState,
    Run,
    SamplingRule,
)
from winnow.retrieval.catalog.stability_alerts import SIDES
from winnow.retrieval.limits import CANDIDATES_MAX, COLLECTION_NAME_PATTERN, GOLDEN_QUERIES_MAX
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import TenantName

RUNS_LISTED: Final = 50
RUNS_LISTED_MAX: Final = 200
MOVED_SHOWN_MAX: Final = 50  # queries of a run that are shown with both answers
JUDGMENTS_MAX: Final = 1_000  # documents of one query
GRADE_MAX: Final = 1_000
RUN_NUMBER_MAX: Final = 2**31 - 1  # both databases hold it


SetName = Annotated[str, Field(pattern=COLLECTION_NAME_PATTERN, examples=["everyday"])]
Grade = Annotated[int, Field(ge=0, le=GRADE_MAX), Number]
Judgments = Annotated[dict[str, Grade], Field(max_length=JUDGMENTS_MAX)]


class GoldenQueryBody(Strict):
    """A query of a golden set."""

    query: QueryText
    judgments: Judgments | None = Field(
        default=None, description="Grades by document id, if the query was judged; 0 is not relevant."
    )


class GoldenSetBody(Strict):
    """POST /v1/stability/golden"""

    name: SetName
    collection: CollectionName
    queries: Annotated[list[GoldenQueryBody], Field(min_length=1, max_length=GOLDEN_QUERIES_MAX)] = Field(
        description="Queries to add. One that the set already has gets the judgments given here."
    )
    candidates: Annotated[int, Field(ge=1, le=CANDIDATES_MAX), Number] | None = Field(
        default=None, description="Candidates per search; null: the service's default. Only for a new set."
    )
    recall: RecallMode | None = Field(
        default=None, description="How candidates are found; null: the service's default. Only for a new set."
    )
    instruction: InstructionReference | None = Field(
        default=None,
        description="NAME or NAME@VERSION; null: the one that the collection's searches use. Only for a new set.",
    )

    def golden_set(self, tenant: TenantName) -> GoldenSet:
        return GoldenSet(
            tenant=tenant,
            name=self.name,
            collection=self.collection,
            created_at=datetime.now(UTC),
            candidates=self.candidates,
            recall=self.recall,
            instruction=self.instruction,
        )

    @property
    def golden_queries(self) -> list[GoldenQuery]:
        return [GoldenQuery(query=each.query, judgments=each.judgments) for each in self.queries]


class RunBody(Strict):
    """POST /v1/stability/runs"""

    name: SetName
    rebase: StrictBool = Field(default=False, description="Make this run the baseline of later ones.")


class SamplingBody(Strict):
    """PUT /v1/stability/sampling"""

    share: Annotated[float, Field(ge=0, le=1), Number] = Field(
        description="Share of the tenant's searches to record, in [0, 1]."
    )
    keep_queries: StrictBool = Field(
        default=False, description="Store query texts, not only keyed digests. false deletes texts stored before."
    )


class GoldenSetResponse(JsonObject):
    """A golden set."""

    name: str
    collection: str
    queries: int
    judged: Annotated[int, Field(description="Queries with judgments.")]
    candidates: int | None
    recall: RecallMode | None
    instruction: str | None
    baseline: Annotated[int | None, Field(description="Number of the run that others are compared with.")]
    schedule: Annotated[ScheduleResponse | None, Field(description="null: replayed on demand, and after changes.")]
    created_at: datetime


class GoldenSetsResponse(JsonObject):
    """The golden sets of a tenant."""

    sets: list[GoldenSetResponse]


class StateResponse(JsonObject):
    """What the answers were made with."""

    store_version: int
    documents: Annotated[str, Field(description="SHA-256 over the ids and contents of all documents; may be empty.")]
    generation: str | None
    index: str
    embedder: str
    reranker: str | None
    instruction: str
    instruction_sha256: str
    recall: RecallMode
    candidates: int
    settings: str
    runtime: str


class MeasuresResponse(JsonObject):
    """How two runs differ: means over the queries that neither answered degraded."""

    queries: int
    moved: Annotated[int, Field(description="Queries with another order or other scores, beyond rounding.")]
    top1_change_rate: float
    overlap_at_10: float
    rbo: Annotated[float, Field(description=f"Rank-biased overlap of the first 20 places, p = {RBO_PERSISTENCE}.")]
    tau_b: Annotated[float | None, Field(description="Kendall's tau-b of the chunks in both answers.")]
    score_shift_mean: Annotated[float | None, Field(description="Absolute, of relevance, or of recall's score.")]
    score_shift_max: float | None
    degraded: Annotated[float, Field(description="Share of the answers that were degraded.")]
    degraded_before: float
    ndcg_at_10: Annotated[float | None, Field(description="null without judgments.")]
    ndcg_at_10_before: float | None


class CauseResponse(JsonObject):
    """Why a run differs from its baseline."""

    kind: Annotated[
        str,
        Field(description="documents, model, instruction, index, settings, numerics, or unexplained."),
    ]
    proof: Annotated[
        str,
        Field(
            description="replay: the difference goes away with the old one; elimination: nothing else that changed "
            "explains it; together: it cannot be told apart from others that changed."
        ),
    ]
    before: str
    after: str
    share: Annotated[
        float | None, Field(description="Of the moved queries, the share that is as before with the old one.")
    ]


class BreachResponse(JsonObject):
    """A measure beyond its threshold."""

    measure: Annotated[str, Field(description="top1_change_rate, overlap_at_10, rbo, tau_b, score_shift or degraded.")]
    value: float
    limit: float
    side: Annotated[str, Field(description="max or min: the side of the limit on which the value should stay.")]


class RunResponse(JsonObject):
    """A run of a golden set."""

    number: int
    name: Annotated[str, Field(description="Of the golden set.")]
    collection: str
    at: datetime
    trigger: Annotated[
        str,
        Field(
            description="What started it: request or command; the service itself by schedule, or after a change of "
            "model, instruction, index (publication) or runtime."
        ),
    ]
    is_baseline: bool
    baseline: Annotated[int | None, Field(description="Number of the run that it was compared with.")]
    measures: Annotated[MeasuresResponse | None, Field(description="null for the first run.")]
    changed: Annotated[list[str], Field(description="What differs from the baseline's state.")]
    causes: Annotated[list[CauseResponse], Field(description="Empty if nothing moved.")]
    breaches: Annotated[list[BreachResponse], Field(description="Of the thresholds that held then.")]
    state: StateResponse


class RunsResponse(JsonObject):
    """Runs, newest first."""

    runs: list[RunResponse]


class StablePlaceResponse(JsonObject):
    """A chunk in its place."""

    document_id: str
    ordinal: int
    score: float | None
    relevance: float | None


class MovedResponse(JsonObject):
    """A query whose answer moved. Both answers hold their first 20 places, best first."""

    query: str
    rbo: float
    before: list[StablePlaceResponse]
    after: list[StablePlaceResponse]


class RunReportResponse(JsonObject):
    """A run, with the queries that moved most."""

    run: RunResponse
    moved: Annotated[list[MovedResponse], Field(description=f"The lowest RBO first; at most {MOVED_SHOWN_MAX}.")]


class SamplingResponse(JsonObject):
    """Which share of a tenant's searches is recorded."""

    share: float
    keep_queries: bool


def golden_set_response(golden: GoldenSet) -> GoldenSetResponse:
    return {
        "name": golden.name,
        "collection": golden.collection,
        "queries": golden.queries,
        "judged": golden.judged,
        "candidates": golden.candidates,
        "recall": golden.recall,
        "instruction": golden.instruction,
        "baseline": golden.baseline,
        "schedule": None if golden.schedule is None else schedule_response(golden.schedule),
        "created_at": golden.created_at,
    }


def golden_sets_response(sets: Sequence[GoldenSet]) -> GoldenSetsResponse:
    return {"sets": [golden_set_response(each) for each in sets]}


def run_response(run: Run) -> RunResponse:
    return {
        "number": run.number,
        "name": run.golden,
        "collection": run.collection,
        "at": run.at,
        "trigger": run.trigger,
        "is_baseline": run.is_baseline,
        "baseline": run.baseline,
        "measures": None if run.measures is None else measures_response(run.measures),
        "changed": [factor.value for factor in run.changed],
        "causes": [cause_response(each) for each in run.causes],
        "breaches": [breach_response(each) for each in run.breaches],
        "state": state_response(run.state),
    }


def runs_response(runs: Sequence[Run]) -> RunsResponse:
    return {"runs": [run_response(each) for each in runs]}


def run_report_response(run: Run, moved: Sequence[Moved]) -> RunReportResponse:
    return {"run": run_response(run), "moved": [moved_response(each) for each in moved[:MOVED_SHOWN_MAX]]}


def sampling_response(rule: SamplingRule) -> SamplingResponse:
    return {"share": rule.share, "keep_queries": rule.keep_queries}


def measures_response(measures: Measures) -> MeasuresResponse:
    return {
        "queries": measures.queries,
        "moved": measures.moved,
        "top1_change_rate": measures.top1_change_rate,
        "overlap_at_10": measures.overlap,
        "rbo": measures.rbo,
        "tau_b": measures.tau,
        "score_shift_mean": measures.score_shift_mean,
        "score_shift_max": measures.score_shift_max,
        "degraded": measures.degraded,
        "degraded_before": measures.degraded_before,
        "ndcg_at_10": measures.ndcg,
        "ndcg_at_10_before": measures.ndcg_before,
    }


def cause_response(cause: Cause) -> CauseResponse:
    return {
        "kind": cause.kind.value,
        "proof": cause.proof.value,
        "before": cause.before,
        "after": cause.after,
        "share": cause.share,
    }


def breach_response(breach: Breach) -> BreachResponse:
    return {
        "measure": breach.measure.value,
        "value": breach.value,
        "limit": breach.limit,
        "side": SIDES[breach.measure].value,
    }


def state_response(state: RankingState) -> StateResponse:
    return {
        "store_version": state.store_version,
        "documents": state.documents,
        "generation": state.generation,
        "index": state.index,
        "embedder": state.embedder,
        "reranker": state.reranker,
        "instruction": state.instruction,
        "instruction_sha256": state.instruction_sha256,
        "recall": state.recall,
        "candidates": state.candidates,
        "settings": state.settings,
        "runtime": state.runtime,
    }


def moved_response(moved: Moved) -> MovedResponse:
    return {
        "query": moved.query,
        "rbo": moved.rbo,
        "before": places_response(moved.before),
        "after": places_response(moved.after),
    }


def places_response(answered: Answered) -> list[StablePlaceResponse]:
    return [
        {
            "document_id": each.document_id,
            "ordinal": each.ordinal,
            "score": each.score,
            "relevance": each.relevance,
        }
        for each in answered.places
    ]
