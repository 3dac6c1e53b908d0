"""Bodies and answers for shadows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

from pydantic import Field, StrictBool

from winnow.api.fields import CollectionName, InstructionReference, Number, Strict
from winnow.api.library.content import VersionNumber
from winnow.api.library.shadow_report import PairReport, ShadowReport, Spread
from winnow.api.library.shadows import ShadowWish
from winnow.api.schemas.response import Json, ResponseModel
from winnow.retrieval.catalog.shadows import Comparison, Shadow

SHARE: Final = 0.1  # default share of the searches


class ShadowBody(Strict):
    """PUT /v1/instructions/{name}/shadow"""

    version: VersionNumber = Field(description="Version of this instruction to try in the shadow, usually a draft.")
    share: Annotated[float, Field(ge=0, le=1), Number] = Field(
        default=SHARE, description="Share of the searches answered with `live`; 0 pauses the shadow."
    )
    live: InstructionReference | None = Field(
        default=None,
        description="NAME or NAME@VERSION whose searches to cover. Default: this instruction. `default` "
        "is the model card's instruction.",
    )
    collection: CollectionName | None = Field(
        default=None, description="Restrict to searches of this collection; null means all of your own."
    )
    keep_queries: StrictBool = Field(default=False, description="Store the queries' texts, not only their SHA-256.")

    @property
    def wish(self) -> ShadowWish:
        return ShadowWish(
            version=self.version,
            share=self.share,
            live=self.live,
            collection=self.collection,
            keep_queries=self.keep_queries,
        )


class ShadowResponse(ResponseModel):
    """A shadow and the searches it covers."""

    name: str
    version: int
    live: str
    share: float
    collection: str | None
    keep_queries: bool
    started_at: str


class ShadowsResponse(ResponseModel):
    """GET /v1/instructions/shadows"""

    shadows: list[ShadowResponse]


class SpreadResponse(ResponseModel):
    """The distribution of a measure over all searches."""

    mean: float
    p10: float
    p50: float
    p90: float


class PlaceResponse(ResponseModel):
    """A chunk."""

    document_id: str
    ordinal: int


class ExampleResponse(ResponseModel):
    """One search, reranked twice; orders are best first, up to 20 places."""

    at: str
    collection: str
    query_sha256: str
    query: str | None = Field(description="null unless the shadow keeps queries")
    candidates: int
    overlap: float
    tau: float | None
    rbo: float
    top_changed: bool
    live_order: list[PlaceResponse]
    shadow_order: list[PlaceResponse]


class PairResponse(ResponseModel):
    """A comparison of two versions."""

    live: str
    shadow: str
    text_sha256: str = Field(description="of the shadow's text, because a draft may have been edited meanwhile")
    searches: int
    overlap: SpreadResponse | None = Field(description="share of the first ten results common to both orders")
    tau: SpreadResponse | None = Field(description="Kendall's tau-b of all candidates; null if there was no order")
    rbo: SpreadResponse | None = Field(description="rank-biased overlap, extrapolated, p = 0.9")
    top_changed: float = Field(description="share of the searches with a different first candidate")
    most_changed: list[ExampleResponse] = Field(description="The lowest RBO first.")


class ShadowReportResponse(ResponseModel):
    """GET /v1/instructions/{name}/shadow"""

    name: str
    shadow: ShadowResponse | None = Field(
        description="null if no shadow is running; its comparisons are still reported"
    )
    pairs: list[PairResponse] = Field(description="The last compared pair first.")


def shadow_response(shadow: Shadow) -> Json:
    return {
        "name": shadow.name,
        "version": shadow.version,
        "live": shadow.live,
        "share": shadow.share,
        "collection": shadow.collection,
        "keep_queries": shadow.keep_queries,
        "started_at": shadow.started_at.isoformat(),
    }


def report_response(report: ShadowReport) -> Json:
    return {
        "name": report.name,
        "shadow": None if report.shadow is None else shadow_response(report.shadow),
        "pairs": [_pair_said(each) for each in report.pairs],
    }


def _pair_said(report: PairReport) -> Json:
    figures = report.figures
    return {
        **asdict(figures.pair),
        "searches": figures.searches,
        "overlap": _spread_said(figures.overlap),
        "tau": _spread_said(figures.tau),
        "rbo": _spread_said(figures.rbo),
        "top_changed": figures.top_changed,
        "most_changed": [_example_said(each) for each in report.examples],
    }


def _spread_said(spread: Spread | None) -> Json | None:
    return None if spread is None else asdict(spread)


def _example_said(comparison: Comparison) -> Json:
    return {
        "at": comparison.at.isoformat(),
        "collection": comparison.collection,
        "query_sha256": comparison.query_sha256,
        "query": comparison.query,
        "candidates": comparison.candidates,
        **asdict(comparison.agreement),
        "live_order": [asdict(each) for each in comparison.live_order],
        "shadow_order": [asdict(each) for each in comparison.shadow_order],
    }
