"""The report of ranking stability."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Final

from pydantic import Field

from winnow.api.schemas.response import JsonObject
from winnow.api.schemas.stability import RunResponse, StablePlaceResponse, places_response, run_response
from winnow.api.stability.report import Day, Mark, Mover, StabilityReport

RUNS_SHOWN: Final = 50


class DayResponse(JsonObject):
    """One day of one collection under one instruction."""

    day: date
    collection: str
    instruction: Annotated[str, Field(description="NAME@VERSION, or that it was a text of the request.")]
    samples: Annotated[int, Field(description="Recorded searches.")]
    repeated: Annotated[int, Field(description="Of these, questions that were recorded before.")]
    moved: Annotated[int, Field(description="Of the repeated, those with another order or other scores.")]
    top1_change_rate: Annotated[float | None, Field(description="null if no question was repeated.")]
    overlap_at_10: float | None
    rbo: float | None
    degraded: Annotated[float | None, Field(description="Share of the samples.")]
    runs: Annotated[int, Field(description="Runs of golden sets.")]
    runs_moved: int
    causes: Annotated[list[str], Field(description="Causes found by these runs.")]


class MarkResponse(JsonObject):
    """A change of what a collection's answers are made with."""

    at: datetime
    collection: str
    factor: Annotated[str, Field(description="documents, model, instruction, index, or numerics.")]
    before: str
    after: str


class MoverResponse(JsonObject):
    """A question whose answer moved. Both answers hold their first 20 places, best first."""

    at: datetime
    collection: str
    query: Annotated[str, Field(description="Empty if texts of searches are not kept.")]
    query_digest: str
    run: Annotated[int | None, Field(description="Run of a golden set; null for a recorded search.")]
    rbo: float
    before: list[StablePlaceResponse]
    after: list[StablePlaceResponse]


class StabilityReportResponse(JsonObject):
    """Ranking stability of the last days."""

    since: datetime
    days: list[DayResponse]
    marks: Annotated[list[MarkResponse], Field(description="What changed when, in order.")]
    movers: Annotated[list[MoverResponse], Field(description="The lowest RBO first.")]
    runs: Annotated[list[RunResponse], Field(description="Runs of golden sets, newest first.")]


def stability_report_response(report: StabilityReport) -> StabilityReportResponse:
    return {
        "since": report.since,
        "days": [_day(each) for each in report.days],
        "marks": [_mark(each) for each in report.marks],
        "movers": [_mover(each) for each in report.movers],
        "runs": [run_response(each) for each in report.runs[:RUNS_SHOWN]],
    }


def _day(day: Day) -> DayResponse:
    return {
        "day": day.day,
        "collection": day.collection,
        "instruction": day.instruction,
        "samples": day.samples,
        "repeated": day.repeated,
        "moved": day.moved,
        "top1_change_rate": day.top1_change_rate,
        "overlap_at_10": day.overlap,
        "rbo": day.rbo,
        "degraded": day.degraded,
        "runs": day.runs,
        "runs_moved": day.runs_moved,
        "causes": list(day.causes),
    }


def _mark(mark: Mark) -> MarkResponse:
    return {
        "at": mark.at,
        "collection": mark.collection,
        "factor": mark.factor.value,
        "before": mark.before,
        "after": mark.after,
    }


def _mover(mover: Mover) -> MoverResponse:
    return {
        "at": mover.at,
        "collection": mover.collection,
        "query": mover.moved.query,
        "query_digest": mover.query_digest,
        "run": mover.run,
        "rbo": mover.moved.rbo,
        "before": places_response(mover.moved.before),
        "after": places_response(mover.moved.after),
    }
