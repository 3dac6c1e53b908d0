"""The request of `POST /v1/search`. It refuses unknown fields, as all requests do except `POST /v1/rerank`, which must
accept what the clients of other services send.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import (
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from winnow.api.fields import (
    REFERENCE_CHARACTERS_MAX,
    VERSION_MAX,
    InstructionText,
    MaybeFilter,
    Number,
    QueryText,
    SearchedName,
    Strict,
    TextOrObject,
    TimeoutMs,
    VariableValue,
)
from winnow.api.library.instructions import NamedInstruction
from winnow.api.schemas.calibration import CALIBRATED, MIN_RELEVANCE_HELP, MinRelevance
from winnow.api.schemas.diversity import COLLAPSE_HELP, MMR_HELP, MaybeCollapse, MmrLambda, collapse_of
from winnow.api.schemas.highlights import HIGHLIGHT_HELP
from winnow.api.search.records import OnRerankFailure, Question
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.limits import (
    CANDIDATES_MAX,
    NEIGHBOURS_MAX,
    TOP_K_MAX,
)
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import TenantName


class InstructionChoice(Strict):
    """An instruction of the library."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=REFERENCE_CHARACTERS_MAX, examples=["chinese-first", "builtin/legal-statutes"]),
    ]
    version: Annotated[int, Field(ge=1, le=VERSION_MAX), Number] | None = Field(
        default=None, description="null or left out: the newest published version."
    )
    variables: dict[str, VariableValue] | None = Field(default=None, description="Values of its variables.")

    @property
    def named(self) -> NamedInstruction:
        return NamedInstruction(name=self.name, version=self.version, variables=self.variables or {})


EitherInstruction = Annotated[
    Annotated[InstructionText, Tag("Text")] | Annotated[InstructionChoice, Tag("Named")], TextOrObject
]


def wanted_instruction(chosen: str | InstructionChoice | None) -> str | NamedInstruction | None:
    """The instruction as searches ask for it."""
    return chosen.named if isinstance(chosen, InstructionChoice) else chosen


DEMOTE_HELP: Final = (
    "Rank passages that hold little more than the query behind all others and mark them as demoted. For collections "
    "that untrusted authors write to."
)


class CollectionSearchBody(Strict):
    """POST /v1/collections/{name}/search"""

    query: QueryText
    top_k: Annotated[int, Field(ge=1, le=TOP_K_MAX), Number] = 10
    candidates: Annotated[int, Field(ge=1, le=CANDIDATES_MAX), Number] | None = Field(
        default=None, description="Number of candidates from recall. null or left out: the service's default."
    )
    recall: RecallMode | None = Field(
        default=None,
        description="How recall finds candidates: dense by meaning, lexical by words (BM25), hybrid by both. null or "
        "left out: the service's default.",
    )
    depth: Depth | None = Field(
        default=None,
        description="full reranks all candidates. adaptive stops when the rest can hardly change the first `top_k`. "
        "null or left out: the service's default. Grouped answers, `min_relevance`, `collapse` and `mmr_lambda` always "
        "need all.",
    )
    filter: MaybeFilter = Field(
        default=None, description="Documents to search, by their metadata, in the grammar of OpenAI's filters."
    )
    rerank: StrictBool | Literal["always"] = Field(
        default=True,
        description="false: results are in recall's order. true: the reranker runs unless relevance has no weight "
        "under the instruction; then `rerank_skipped` says so. always: it runs in any case, for the relevance of each "
        "result. `min_relevance` implies always.",
    )
    instruction: EitherInstruction | None = Field(
        default=None, description="What counts as relevant: a text, or a published instruction."
    )
    min_relevance: MinRelevance | None = Field(default=None, description=MIN_RELEVANCE_HELP)
    group_by_document: StrictBool = Field(
        default=False,
        description="Return one result per document, with its other chunks in `other_chunks`. Recall looks beyond "
        "`candidates` chunks until it has `top_k` documents, but no more are reranked.",
    )
    chunks_per_document: Annotated[int, Field(ge=1, le=CANDIDATES_MAX), Number] | None = Field(
        default=None,
        description="Only with `group_by_document`: maximum chunks per document, the best ones. null or left out: all "
        "candidates.",
    )
    neighbours: Annotated[int, Field(ge=0, le=NEIGHBOURS_MAX), Number] = Field(
        default=0,
        description="Add `context`: the text of this many chunks before and after each result; no text twice.",
    )
    highlight: StrictBool = Field(default=False, description=f"{HIGHLIGHT_HELP} Needs `rerank`.")
    demote_query_echo: StrictBool | None = Field(
        default=None, description=f"{DEMOTE_HELP} null or left out: as the collection is set."
    )
    collapse: MaybeCollapse | None = Field(
        default=None,
        description=f"{COLLAPSE_HELP} Deeper candidates fill `top_k`. false: off. null or left out: as the collection "
        "is set.",
    )
    mmr_lambda: MmrLambda | None = Field(
        default=None, description=f"{MMR_HELP} Applied after `collapse`. null or left out: as the collection is set."
    )
    on_rerank_failure: OnRerankFailure = OnRerankFailure.DEGRADE
    timeout_ms: TimeoutMs | None = None
    explain: StrictBool = Field(
        default=False,
        description="Add `explain`: every candidate's place in both orders; `filtered`: how the filter was applied; "
        "`index`: what was searched.",
    )

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.min_relevance is not None and not self.rerank:
            raise ValueError("min_relevance needs rerank: without it there is no relevance")
        if self.highlight and not self.rerank:
            raise ValueError("highlight needs rerank: the reranker finds the sentences")
        if self.chunks_per_document is not None and not self.group_by_document:
            raise ValueError("chunks_per_document needs group_by_document: without it every result is one chunk")
        return self

    def question_in(self, collection: str, tenant: TenantName) -> Question:
        return Question(
            tenant=tenant,
            collection=collection,
            query=self.query,
            top_k=self.top_k,
            candidates=self.candidates,
            recall=self.recall,
            depth=self.depth,
            where=self.filter,
            rerank=self.rerank is not False,
            rerank_always=self.rerank == "always",
            instruction=wanted_instruction(self.instruction),
            min_relevance=None if self.min_relevance == CALIBRATED else self.min_relevance,
            calibrated=self.min_relevance == CALIBRATED,
            group_by_document=self.group_by_document,
            chunks_per_document=self.chunks_per_document,
            highlight=self.highlight,
            neighbours=self.neighbours,
            demote_query_echo=self.demote_query_echo,
            collapse=None if self.collapse is None else collapse_of(self.collapse),
            mmr_lambda=self.mmr_lambda,
            on_rerank_failure=self.on_rerank_failure,
        )


class SearchBody(CollectionSearchBody):
    """POST /v1/search"""

    collection: SearchedName = Field(description="NAME of a collection of the tenant, or OWNER/NAME of a granted one.")

    def question(self, tenant: TenantName) -> Question:
        return self.question_in(self.collection, tenant)
