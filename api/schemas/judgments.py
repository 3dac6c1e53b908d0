"""Requests and answers about judgments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field, StrictBool, model_validator

from winnow.api.fields import NotBlank, Number, Strict
from winnow.api.schemas.response import JsonObject
from winnow.api.search.feedback import FeedbackWish
from winnow.retrieval.catalog.judgments import Judgment, JudgmentSource, StoredJudgment
from winnow.retrieval.limits import DOCUMENT_ID_CHARACTERS_MAX, GRADE_MAX, JUDGE_CHARACTERS_MAX
from winnow.retrieval.tenancy import Actor

SEARCH_ID_CHARACTERS_MAX: Final = 64  # an id has 36


class FeedbackBody(Strict):
    """POST /v1/feedback"""

    search_id: Annotated[
        str, Field(min_length=1, max_length=SEARCH_ID_CHARACTERS_MAX, description="`id` of the search's answer.")
    ]
    document_id: Annotated[
        str,
        Field(min_length=1, max_length=DOCUMENT_ID_CHARACTERS_MAX, description="A document that the answer showed."),
    ]
    grade: Annotated[int, Field(ge=0, le=GRADE_MAX), Number] | None = Field(
        default=None, description="How relevant it is; 0 is not relevant. Thumbs are 1 and 0."
    )
    click: StrictBool = Field(default=False, description="true: it was opened. Either `grade` or `click`.")
    judge: Annotated[str, Field(min_length=1, max_length=JUDGE_CHARACTERS_MAX), NotBlank] | None = Field(
        default=None, description="Who judges, such as a user's id. null or left out: the API key."
    )

    @model_validator(mode="after")
    def _check_combination(self) -> FeedbackBody:
        if self.click == (self.grade is not None):
            raise ValueError("either grade or click is expected")
        return self

    def wish(self, actor: Actor) -> FeedbackWish:
        return FeedbackWish(
            search_id=self.search_id, document_id=self.document_id, grade=self.grade, judge=self.judge or actor
        )


class JudgmentSettingsBody(Strict):
    """PUT /v1/judgments/settings"""

    keep_queries: StrictBool = Field(
        description="true: keep the texts of queries that are judged from now on. false: delete the texts kept so far."
    )


class JudgmentSettings(JsonObject):
    """The settings of a tenant's judgments."""

    keep_queries: bool


class JudgmentResponse(JsonObject):
    """One judgment."""

    collection: Annotated[str, Field(description="NAME, or OWNER/NAME of a granted one.")]
    query_sha256: Annotated[str, Field(description="SHA-256 of the query's text in UTF-8.")]
    query: Annotated[str | None, Field(description="null: the tenant does not keep the texts of queries.")]
    document_id: str
    kind: Literal["grade", "click"]
    grade: Annotated[int | None, Field(description="null for a click.")]
    source: Annotated[JudgmentSource, Field(description="person, or model for a label of a reranker.")]
    judge: str
    at: datetime


class ListedJudgment(JudgmentResponse):
    """One judgment of a listing."""

    number: Annotated[int, Field(description="Ascending in time; `after` of the next page.")]


class JudgmentsResponse(JsonObject):
    """A page of judgments, oldest first."""

    keeps_queries: Annotated[bool, Field(description="Whether the texts of judged queries are kept.")]
    judgments: list[ListedJudgment]


class RemovedJudgments(JsonObject):
    """DELETE /v1/judgments"""

    removed: Annotated[int, Field(description="The number of judgments that were deleted.")]


class AddedJudgments(JsonObject):
    """What `winnow judgments add`, `import` and `label` print with --json."""

    added: Annotated[int, Field(description="Judgments that were stored; of them, some may replace earlier ones.")]
    queries: int
    source: JudgmentSource
    judge: str
    texts_kept: Annotated[bool, Field(description="Whether the texts of the queries are kept.")]


class ExportedJudgments(JsonObject):
    """What `winnow judgments export --json` prints."""

    judgments: Annotated[int, Field(description="Lines of the file: one for each query and document.")]
    queries: int
    without_text: Annotated[int, Field(description="Queries whose text is unknown; the file of queries lacks them.")]
    left_out: Annotated[
        int, Field(description="Judgments with a tab or a line end in an id, which the file cannot hold.")
    ]


def judgment_response(judgment: Judgment) -> JudgmentResponse:
    """Show a judgment to its tenant."""
    return {
        "collection": judgment.place.seen_by(judgment.tenant),
        "query_sha256": judgment.query_sha256,
        "query": judgment.query,
        "document_id": judgment.document_id,
        "kind": "click" if judgment.is_click else "grade",
        "grade": judgment.grade,
        "source": judgment.source,
        "judge": judgment.judge,
        "at": judgment.at,
    }


def judgments_response(found: Sequence[StoredJudgment], *, keeps_queries: bool) -> JudgmentsResponse:
    """The body of GET /v1/judgments, also printed by `winnow judgments list --json`."""
    return {
        "keeps_queries": keeps_queries,
        "judgments": [{**judgment_response(each.judgment), "number": each.number} for each in found],
    }
