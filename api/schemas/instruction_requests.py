"""Requests about instructions. The command line reads the same."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field, StrictBool, model_validator

from winnow.api.collections.preview_passage import WantedPassage
from winnow.api.fields import (
    InstructionReference,
    MaybeFilter,
    Number,
    QueryText,
    RerankerName,
    SearchedName,
    Strict,
    TimeoutMs,
    VariableValue,
)
from winnow.api.library.content import ContentBody
from winnow.api.library.instructions import NamedInstruction
from winnow.api.schemas.search_request import EitherInstruction, InstructionChoice
from winnow.api.search.records import TrialQuestion
from winnow.rerank.instruction_template import check_content
from winnow.retrieval.catalog.instructions import InstructionContent, Reference
from winnow.retrieval.limits import (
    CANDIDATES_MAX,
    DOCUMENT_CHARACTERS_MAX,
    TOP_K_MAX,
    TRIAL_VERSIONS_MAX,
)
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import TenantName

SAMPLE_QUERY: Final = "How long may I wait before I return a product?"
SAMPLE_DOCUMENT: Final = "A consumer may return goods within seven days of receiving them."
IN_USE: Final = "default"  # in a trial: the instruction that the collection's searches use


class PublishBody(ContentBody):
    """POST /v1/instructions"""

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["chinese-first"])]
    draft: StrictBool = Field(default=False, description="Store the content as a draft; do not publish it.")


class DefaultBody(Strict):
    """PUT /v1/instructions/default"""

    instruction: InstructionReference | None = Field(
        description="NAME or NAME@VERSION; null resets to the model card's."
    )


class PreviewBody(Strict):
    """POST /v1/instructions/preview: a stored instruction, a text, or the content of a possible version."""

    instruction: EitherInstruction | None = None
    content: ContentBody | None = Field(default=None, description="Used instead of `instruction`. Nothing is stored.")
    variables: dict[str, VariableValue] = Field(default_factory=dict, description="Values of `content`'s variables.")
    query: QueryText = SAMPLE_QUERY
    document: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)] = SAMPLE_DOCUMENT
    fields: dict[str, Any] = Field(
        default_factory=dict,
        description="Attributes of `document`, read as `name: value` lines before it: those that `collection` names, "
        "or all, in this order.",
        examples=[{"date": "2026-03-01", "source": "journal"}],
    )
    collection: SearchedName | None = Field(
        default=None, description="Show the prompt of this collection's searches: its `rerank_fields` and reranker."
    )
    document_id: str | None = Field(
        default=None, description="A document of `collection`, instead of `document` and `fields`."
    )
    chunk: Annotated[int, Field(ge=0), Number] = Field(default=0, description="Which chunk of `document_id`.")
    reranker: RerankerName | None = Field(
        default=None,
        description="Reranker whose prompt is shown. null or left out: that of `collection`, or the default.",
    )
    ids: StrictBool = Field(
        default=False, description="Add `ids`, the token ids of the prompt, and `pieces`, their texts by part."
    )

    @model_validator(mode="after")
    def _check_source(self) -> PreviewBody:
        if (self.instruction is None) == (self.content is None):
            raise ValueError("give either instruction or content")
        if self.variables and self.content is None:
            raise ValueError("variables belong to content; give an instruction's variables within instruction")
        if self.document_id is not None and self.collection is None:
            raise ValueError("document_id needs the collection of the document")
        return self

    @property
    def passage(self) -> WantedPassage | None:
        """The passage of a collection; None without one."""
        if self.collection is None:
            return None
        return WantedPassage(
            collection=self.collection,
            document_id=self.document_id,
            chunk=self.chunk,
            text=self.document if "document" in self.model_fields_set else None,
            fields=self.fields,
        )

    @property
    def checked(self) -> InstructionContent | None:
        """Raises what writing the content would raise."""
        return None if self.content is None else check_content(self.content.content)


class TrialBody(Strict):
    """POST /v1/instructions/try"""

    query: QueryText
    collection: SearchedName
    versions: Annotated[
        list[InstructionReference | InstructionChoice], Field(min_length=1, max_length=TRIAL_VERSIONS_MAX)
    ] = Field(
        description="NAME, NAME@VERSION (drafts too), {name, version, variables}, or `default` for the instruction in "
        "use. The others are compared with the first."
    )
    top_k: Annotated[int, Field(ge=1, le=TOP_K_MAX), Number] = 10
    candidates: Annotated[int, Field(ge=1, le=CANDIDATES_MAX), Number] | None = None
    recall: RecallMode | None = None
    filter: MaybeFilter = None
    timeout_ms: TimeoutMs | None = None

    def question(self, tenant: TenantName) -> TrialQuestion:
        return TrialQuestion(
            tenant=tenant,
            collection=self.collection,
            query=self.query,
            wanted=self.wanted,
            top_k=self.top_k,
            candidates=self.candidates,
            recall=self.recall,
            where=self.filter,
        )

    @property
    def wanted(self) -> tuple[NamedInstruction | None, ...]:
        """None means the instruction in use."""
        return tuple(map(_wanted, self.versions))


def _wanted(each: str | InstructionChoice) -> NamedInstruction | None:
    if isinstance(each, InstructionChoice):
        return each.named
    reference = Reference.of(each)
    return None if each == IN_USE else NamedInstruction(name=reference.name, version=reference.version)
