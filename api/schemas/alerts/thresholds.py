"""Requests and answers about thresholds on ranking stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from winnow.api.fields import CollectionName, Number, Strict
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.catalog.stability import GuardedMeasure
from winnow.retrieval.catalog.stability_alerts import Thresholds
from winnow.retrieval.limits import GOLDEN_QUERIES_MAX
from winnow.retrieval.tenancy import TenantName

SCORE_SHIFT_MAX: Final = 1_000_000.0  # scores of recall have no upper end

Share = Annotated[float, Field(ge=0, le=1), Number]
Correlation = Annotated[float, Field(ge=-1, le=1), Number]

FIELDS: Final[Mapping[GuardedMeasure, str]] = {
    GuardedMeasure.TOP1_CHANGE_RATE: "top1_change_rate_max",
    GuardedMeasure.OVERLAP: "overlap_at_10_min",
    GuardedMeasure.RBO: "rbo_min",
    GuardedMeasure.TAU: "tau_b_min",
    GuardedMeasure.SCORE_SHIFT: "score_shift_max",
    GuardedMeasure.DEGRADED: "degraded_max",
}


class ThresholdsBody(Strict):
    """PUT /v1/stability/thresholds"""

    collection: CollectionName | None = Field(
        default=None,
        description="Collection that these thresholds are for; null: every collection without thresholds of its own.",
    )
    top1_change_rate_max: Share | None = Field(
        default=None, description="Most queries with another first passage, as a share."
    )
    overlap_at_10_min: Share | None = Field(default=None, description="Least mean overlap of the first ten places.")
    rbo_min: Share | None = Field(default=None, description="Least mean rank-biased overlap.")
    tau_b_min: Correlation | None = Field(default=None, description="Least mean Kendall's tau-b.")
    score_shift_max: Annotated[float, Field(ge=0, le=SCORE_SHIFT_MAX), Number] | None = Field(
        default=None, description="Largest shift of a single score."
    )
    degraded_max: Share | None = Field(default=None, description="Most degraded answers of the run, as a share.")
    queries_min: Annotated[int, Field(ge=1, le=GOLDEN_QUERIES_MAX), Number] = Field(
        default=1, description="A run that compared fewer queries is only checked for degraded answers."
    )

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if all(getattr(self, name) is None for name in FIELDS.values()):
            raise ValueError(f"set at least one of {', '.join(FIELDS.values())}")
        return self

    def thresholds(self, tenant: TenantName) -> Thresholds:
        given: dict[GuardedMeasure, float | None] = {measure: getattr(self, name) for measure, name in FIELDS.items()}
        return Thresholds(
            tenant=tenant,
            collection=self.collection,
            limits={measure: limit for measure, limit in given.items() if limit is not None},
            queries_min=self.queries_min,
        )


class OneThresholdsResponse(JsonObject):
    """The thresholds of a tenant, or of one of its collections; null: that measure is not watched."""

    collection: Annotated[str | None, Field(description="null: every collection without thresholds of its own.")]
    top1_change_rate_max: float | None
    overlap_at_10_min: float | None
    rbo_min: float | None
    tau_b_min: float | None
    score_shift_max: float | None
    degraded_max: float | None
    queries_min: int


class ThresholdsResponse(JsonObject):
    """All thresholds of a tenant."""

    thresholds: list[OneThresholdsResponse]


def thresholds_response(found: Sequence[Thresholds]) -> ThresholdsResponse:
    return {"thresholds": [_one(each) for each in found]}


def _one(thresholds: Thresholds) -> OneThresholdsResponse:
    limits = thresholds.limits
    return {
        "collection": thresholds.collection,
        "top1_change_rate_max": limits.get(GuardedMeasure.TOP1_CHANGE_RATE),
        "overlap_at_10_min": limits.get(GuardedMeasure.OVERLAP),
        "rbo_min": limits.get(GuardedMeasure.RBO),
        "tau_b_min": limits.get(GuardedMeasure.TAU),
        "score_shift_max": limits.get(GuardedMeasure.SCORE_SHIFT),
        "degraded_max": limits.get(GuardedMeasure.DEGRADED),
        "queries_min": thresholds.queries_min,
    }
