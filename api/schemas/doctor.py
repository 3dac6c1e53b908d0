"""The answer of `winnow doctor --json`."""

from __future__ import annotations

from winnow.api.schemas.response import JsonObject
from winnow.retrieval.model.known_answers import ModelKind, Verdict
from winnow.retrieval.model.published import RecognisedBy


class FindingResponse(JsonObject):
    """The result of one check."""

    what: str
    found: str
    problem: str | None


class AnswerResponse(JsonObject):
    """A score that a model is known to give, and the one that it gave."""

    query: str
    passage: str
    relevant: bool
    expected: float | None
    got: float | None  # null: not a number
    difference: float | None
    bound: float
    verdict: Verdict


class ModelAnswersResponse(JsonObject):
    """A model's answers beside the known ones."""

    kind: ModelKind
    model: str  # whose figures these are
    recognised_by: RecognisedBy
    remark: str | None
    source: str | None  # of the figures; null if there are none
    runs_on: str
    dtype: str | None
    seconds: float
    ok: bool
    answers: list[AnswerResponse]
    likely_causes: list[str]


class DoctorResponse(JsonObject):
    """All checks, and what the models answered."""

    ok: bool
    findings: list[FindingResponse]
    model_answers: list[ModelAnswersResponse]
