"""What requests and answers say about calibrated thresholds: of searches, and of `winnow calibrate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import BeforeValidator, Discriminator, Field, Tag

from winnow.api.fields import Number
from winnow.api.schemas.diversity import DiversityParts
from winnow.api.schemas.response import JsonObject
from winnow.api.search.records import Answer
from winnow.rerank.reranker import Ranked
from winnow.retrieval.calibration import Tested
from winnow.retrieval.catalog.calibrations import Calibration

CALIBRATED: Final = "calibrated"  # instead of a number


def _calibrated(value: object) -> object:
    if value != CALIBRATED:
        raise ValueError("a number without quotes, or 'calibrated', is expected")
    return value


MinRelevance = Annotated[
    Annotated[float, Field(ge=0, le=1), Number, Tag("Number")]
    | Annotated[Literal["calibrated"], BeforeValidator(_calibrated), Tag("Word")],
    Discriminator(lambda value: "Word" if isinstance(value, str) else "Number"),
]
MIN_RELEVANCE_HELP: Final = (
    "Leave out results with a lower relevance. calibrated: below the threshold that `winnow calibrate` measured "
    "for this collection, reranker and instruction. Not applied if nothing was reranked."
)


class ThresholdPart(JsonObject):
    """What a passage has if the search wants the calibrated threshold."""

    above_threshold: NotRequired[
        Annotated[
            bool,
            Field(
                description='Only with `"min_relevance": "calibrated"`: whether its relevance reaches the threshold. '
                "false also if it was not reranked."
            ),
        ]
    ]


class PassageParts(DiversityParts, ThresholdPart):
    """What a passage of an answer has only if the search asks for it."""


Precision = Annotated[float, Field(description="Promised share of relevant passages among those that are shown.")]
Confidence = Annotated[float, Field(description="Chance that the promise holds.")]
Threshold = Annotated[float, Field(description="Least relevance of a passage that is shown.")]
Coverage = Annotated[float, Field(description="Share of the tested queries that still show something.")]
Lower = Annotated[float, Field(description="Lower bound of the precision (Clopper and Pearson).")]
TopK = Annotated[int, Field(description="Results that an answer may show.")]


class AppliedCalibration(JsonObject):
    """The calibrated threshold of a search. Not applied to a degraded answer."""

    threshold: Threshold
    precision: Precision
    confidence: Confidence
    coverage: Coverage


class AnswerableParts(JsonObject):
    """What an answer has if the search wants the calibrated threshold."""

    answerable: NotRequired[
        Annotated[
            bool,
            Field(
                description='Only with `"min_relevance": "calibrated"`: whether a result reaches the threshold. false '
                "also if nothing was reranked."
            ),
        ]
    ]
    calibration: NotRequired[
        Annotated[
            AppliedCalibration | None,
            Field(description="Likewise. null if the collection's reranker is not configured."),
        ]
    ]


class CalibrationResponse(JsonObject):
    """A stored threshold."""

    collection: str
    reranker: str
    instruction: Annotated[str | None, Field(description="NAME@VERSION. null: a text without a name.")]
    instruction_sha256: str
    rerank_fields: list[str]
    threshold: Threshold
    precision: Precision
    confidence: Confidence
    lower: Lower
    observed: Annotated[float, Field(description="Mean share of relevant passages over the answered tested queries.")]
    coverage: Coverage
    kept: Annotated[float, Field(description="Share of the relevant passages that is still shown.")]
    queries: Annotated[int, Field(description="Judged queries, pilots included.")]
    tested: Annotated[int, Field(description="Queries that tested the thresholds.")]
    answered: Annotated[int, Field(description="Tested queries that still show something.")]
    top_k: TopK
    candidates: int
    seed: int
    made_at: datetime


class TestedThreshold(JsonObject):
    """A threshold that was tested."""

    threshold: Threshold
    passed: bool
    lower: Lower
    observed: Annotated[float | None, Field(description="null: no query shows anything.")]
    coverage: Coverage
    answered: int
    shown: Annotated[int, Field(description="Passages of all tested queries.")]
    kept: float | None


class CalibrateResponse(JsonObject):
    """winnow calibrate --json"""

    calibrated: bool
    reason: Annotated[str | None, Field(description="Why there is no threshold. null if there is one.")]
    calibration: CalibrationResponse | None
    tests: list[TestedThreshold]
    unjudged: Annotated[int, Field(description="Passages without a judgement, counted as not relevant.")]
    passages: int


def calibration_response(calibration: Calibration) -> CalibrationResponse:
    measured = calibration.measured_for
    return {
        "collection": calibration.collection,
        "reranker": measured.reranker,
        "instruction": calibration.instruction,
        "instruction_sha256": measured.instruction_sha256,
        "rerank_fields": list(measured.fields.names),
        "threshold": calibration.threshold,
        "precision": calibration.precision,
        "confidence": calibration.confidence,
        "lower": calibration.lower,
        "observed": calibration.observed,
        "coverage": calibration.coverage,
        "kept": calibration.kept,
        "queries": calibration.queries,
        "tested": calibration.tested,
        "answered": calibration.answered,
        "top_k": calibration.top_k,
        "candidates": calibration.candidates,
        "seed": calibration.seed,
        "made_at": calibration.made_at,
    }


def tested_response(tests: Iterable[tuple[Tested, bool]]) -> list[TestedThreshold]:
    """Thresholds in the order of the tests, each with whether it passed."""
    return [
        {
            "threshold": each.threshold,
            "passed": passed,
            "lower": each.lower,
            "observed": each.precision,
            "coverage": each.coverage,
            "answered": each.answered,
            "shown": each.shown,
            "kept": each.kept,
        }
        for each, passed in tests
    ]


def add_calibration(body: Any, answer: Answer) -> None:
    """Add to a search's answer what the calibrated threshold says; nothing if it was not wanted."""
    if not answer.is_calibrated:
        return
    applied = answer.calibration
    body["answerable"] = any(answer.passes(each.best) for each in answer.results)
    body["calibration"] = applied and {
        "threshold": applied.threshold,
        "precision": applied.precision,
        "confidence": applied.confidence,
        "coverage": applied.coverage,
    }
    for part, result in zip(body["results"], answer.results, strict=True):
        _mark([part], [result.best], answer)
        _mark(part.get("other_chunks", ()), result.others, answer)
    _mark(body.get("explain", ()), answer.ranking.ranked, answer)


def _mark(parts: Sequence[ThresholdPart], passages: Sequence[Ranked], answer: Answer) -> None:
    for part, ranked in zip(parts, passages, strict=bool(parts)):
        part["above_threshold"] = answer.passes(ranked)
