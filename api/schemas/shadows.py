"""Requests and answers about shadows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, StrictBool

from winnow.api.fields import CollectionName, InstructionReference, Number, Strict
from winnow.api.library.content import VersionNumber
from winnow.api.library.shadow_report import PairReport, ShadowReport, Spread
from winnow.api.library.shadows import ShadowWish
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.catalog.shadows import Comparison, Place, Shadow

SHARE_DEFAULT: Final = 0.1  # of the searches


class ShadowBody(Strict):
    """PUT /v1/instructions/{name}/shadow"""

    version: VersionNumber = Field(description="Version of this instruction to try, usually a draft.")
    share: Annotated[float, Field(ge=0, le=1), Number] = Field(
        default=SHARE_DEFAULT, description="Share of the searches under `live`, in [0, 1]; 0 pauses the shadow."
    )
    live: InstructionReference | None = Field(
        default=None,
        description="Instruction of the searches that the shadow covers: NAME, NAME@VERSION, or `default` for the "
        "model card's. null or left out: this instruction.",
    )
    collection: CollectionName | None = Field(
        default=None, description="Cover only its searches. null or left out: all of the tenant's own."
    )
    keep_queries: StrictBool = Field(default=False, description="Store query texts, not only their SHA-256.")

    @property
    def wish(self) -> ShadowWish:
        return ShadowWish(
            version=self.version,
            share=self.share,
            live=self.live,
            collection=self.collection,
            keep_queries=self.keep_queries,
        )


class ShadowResponse(JsonObject):
    """A shadow: which searches are reranked a second time, and with which version."""

    name: Annotated[str, Field(description="Instruction in the shadow.")]
    version: int
    live: Annotated[str, Field(description="Instruction of the searches that it covers.")]
    share: Annotated[float, Field(description="Share of those searches, in [0, 1].")]
    collection: Annotated[str | None, Field(description="null means all collections of the tenant.")]
    keep_queries: Annotated[bool, Field(description="Whether query texts are stored, not only their SHA-256.")]
    started_at: datetime


class ShadowsResponse(JsonObject):
    """The shadows of a tenant."""

    shadows: list[ShadowResponse]


class SpreadResponse(JsonObject):
    """The distribution of a measure over all searches."""

    mean: float
    p10: float
    p50: float
    p90: float


class PlaceResponse(JsonObject):
    """A chunk."""

    document_id: str
    ordinal: int


class ExampleResponse(JsonObject):
    """One search, reranked twice. Both orders hold their first 20 places, best first."""

    at: datetime
    collection: str
    query_sha256: str
    query: Annotated[str | None, Field(description="null unless the shadow keeps queries.")]
    candidates: int
    overlap: float
    tau: float | None
    rbo: float
    top_changed: bool
    live_order: list[PlaceResponse]
    shadow_order: list[PlaceResponse]


class PairResponse(JsonObject):
    """Comparison of two versions."""

    live: str
    shadow: str
    text_sha256: Annotated[
        str,
        Field(
            description="SHA-256 of the shadow's text, and of the collection's `rerank_fields` if it has any: a draft "
            "or the fields may have changed since then."
        ),
    ]
    searches: int
    overlap: Annotated[
        SpreadResponse | None, Field(description="Share of the first ten places that hold the same chunks.")
    ]
    tau: Annotated[
        SpreadResponse | None, Field(description="Kendall's tau-b of all candidates; null if no search had an order.")
    ]
    rbo: Annotated[SpreadResponse | None, Field(description="Rank-biased overlap, extrapolated, p = 0.9.")]
    top_changed: Annotated[float, Field(description="Share of the searches with another first candidate.")]
    most_changed: Annotated[list[ExampleResponse], Field(description="The lowest RBO first.")]


class ShadowReportResponse(JsonObject):
    """The report of a shadow."""

    name: str
    shadow: Annotated[ShadowResponse | None, Field(description="null if the shadow has ended; its report remains.")]
    pairs: Annotated[list[PairResponse], Field(description="The last compared pair first.")]


def shadow_response(shadow: Shadow) -> ShadowResponse:
    return {
        "name": shadow.name,
        "version": shadow.version,
        "live": shadow.live,
        "share": shadow.share,
        "collection": shadow.collection,
        "keep_queries": shadow.keep_queries,
        "started_at": shadow.started_at,
    }


def shadows_response(shadows: Sequence[Shadow]) -> ShadowsResponse:
    return {"shadows": [shadow_response(each) for each in shadows]}


def report_response(report: ShadowReport) -> ShadowReportResponse:
    return {
        "name": report.name,
        "shadow": None if report.shadow is None else shadow_response(report.shadow),
        "pairs": [_pair(each) for each in report.pairs],
    }


def _pair(report: PairReport) -> PairResponse:
    figures = report.figures
    return {
        "live": figures.pair.live,
        "shadow": figures.pair.shadow,
        "text_sha256": figures.pair.text_sha256,
        "searches": figures.searches,
        "overlap": _spread(figures.overlap),
        "tau": _spread(figures.tau),
        "rbo": _spread(figures.rbo),
        "top_changed": figures.top_changed,
        "most_changed": [_example(each) for each in report.examples],
    }


def _spread(spread: Spread | None) -> SpreadResponse | None:
    return None if spread is None else {"mean": spread.mean, "p10": spread.p10, "p50": spread.p50, "p90": spread.p90}


def _example(comparison: Comparison) -> ExampleResponse:
    agreement = comparison.agreement
    return {
        "at": comparison.at,
        "collection": comparison.collection,
        "query_sha256": comparison.query_sha256,
        "query": comparison.query,
        "candidates": comparison.candidates,
        "overlap": agreement.overlap,
        "tau": agreement.tau,
        "rbo": agreement.rbo,
        "top_changed": agreement.top_changed,
        "live_order": [_place(each) for each in comparison.live_order],
        "shadow_order": [_place(each) for each in comparison.shadow_order],
    }


def _place(place: Place) -> PlaceResponse:
    return {"document_id": place.document_id, "ordinal": place.ordinal}
