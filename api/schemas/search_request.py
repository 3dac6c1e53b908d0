"""Request bodies of searches.

Our own routes refuse unknown fields; /v1/rerank, which other clients call, ignores them and accepts null everywhere.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import (
    Discriminator,
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
    TimeoutMs,
    VariableValue,
    text_or_object,
)
from winnow.api.library.instructions import NamedInstruction
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
        default=None, description="Default: the newest published version."
    )
    variables: dict[str, VariableValue] | None = Field(default=None, description="Values of its variables.")

    @property
    def named(self) -> NamedInstruction:
        return NamedInstruction(name=self.name, version=self.version, variables=self.variables or {})


EitherInstruction = Annotated[
    Annotated[InstructionText, Tag("Text")] | Annotated[InstructionChoice, Tag("Named")], Discriminator(text_or_object)
]


DEMOTE_SAID: Final = (
    "Rank passages that repeat the query and contain little else behind all others, marked as demoted: for "
    "collections that others can write to."
)


class SearchBody(Strict):
    """POST /v1/search"""

    query: QueryText
    collection: SearchedName = Field(description="One of the tenant's collections, or OWNER/NAME of a granted one.")
    top_k: Annotated[int, Field(ge=1, le=TOP_K_MAX), Number] = 10
    candidates: Annotated[int, Field(ge=1, le=CANDIDATES_MAX), Number] | None = Field(
        default=None, description="Number of candidates from recall. Default: the service's setting."
    )
    recall: RecallMode | None = Field(
        default=None,
        description="How recall finds candidates: dense by meaning, lexical by words (BM25), hybrid by both. "
        "Default: the service's setting.",
    )
    depth: Depth | None = Field(
        default=None,
        description="full reranks all candidates, adaptive stops when the rest can hardly change the first top_k. "
        "Default: the service's setting. Grouped answers and min_relevance need all.",
    )
    filter: MaybeFilter = Field(default=None, description="Restricts documents by their metadata; in OpenAI's grammar.")
    rerank: StrictBool | Literal["always"] = Field(
        default=True,
        description="false: the answer is in recall's order. true: rerank, unless relevance has no "
        "weight with this instruction (see `rerank_skipped`). always: rerank in any case, for the "
        "relevance of each result. min_relevance implies always.",
    )
    instruction: EitherInstruction | None = Field(
        default=None, description="What counts as relevant: a text, or the name of a published instruction."
    )
    min_relevance: Annotated[float, Field(ge=0, le=1), Number] | None = Field(
        default=None, description="Omit results with a lower relevance; has no effect without reranking."
    )
    group_by_document: StrictBool = Field(
        default=False,
        description="One result per document, with its other chunks. Recall looks beyond `candidates` chunks, "
        "without reranking more, until there are top_k documents.",
    )
    chunks_per_document: Annotated[int, Field(ge=1, le=CANDIDATES_MAX), Number] | None = Field(
        default=None,
        description="Only with group_by_document: maximum chunks per document, best first. Default: all candidates.",
    )
    neighbours: Annotated[int, Field(ge=0, le=NEIGHBOURS_MAX), Number] = Field(
        default=0, description="Add `context`: this many chunks before and after each result, no text twice."
    )
    demote_query_echo: StrictBool | None = Field(
        default=None, description=f"{DEMOTE_SAID} Default: the collection's setting."
    )
    on_rerank_failure: OnRerankFailure = OnRerankFailure.DEGRADE
    timeout_ms: TimeoutMs | None = None
    explain: StrictBool = Field(
        default=False,
        description="Add `explain`, every candidate with its rank in both orders, and `index`, what was searched.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> SearchBody:
        if self.min_relevance is not None and not self.rerank:
            raise ValueError("min_relevance needs rerank: without it there is no relevance")
        if self.chunks_per_document is not None and not self.group_by_document:
            raise ValueError("chunks_per_document needs group_by_document: without it every result is one chunk")
        return self

    def question(self, tenant: TenantName) -> Question:
        named = self.instruction
        return Question(
            tenant=tenant,
            collection=self.collection,
            query=self.query,
            top_k=self.top_k,
            candidates=self.candidates,
            recall=self.recall,
            depth=self.depth,
            where=self.filter,
            rerank=self.rerank is not False,
            rerank_always=self.rerank == "always",
            instruction=named.named if isinstance(named, InstructionChoice) else named,
            min_relevance=self.min_relevance,
            group_by_document=self.group_by_document,
            chunks_per_document=self.chunks_per_document,
            neighbours=self.neighbours,
            demote_query_echo=self.demote_query_echo,
            on_rerank_failure=self.on_rerank_failure,
        )
