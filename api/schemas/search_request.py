"""What may a caller send? Bodies of our own routes refuse fields they do not know; /v1/rerank, which other people's
clients call, passes over them and takes null everywhere.
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
        default=None, description="The newest published one unless given."
    )
    variables: dict[str, VariableValue] | None = Field(
        default=None, description="Values of the variables that it declares."
    )

    @property
    def named(self) -> NamedInstruction:
        return NamedInstruction(name=self.name, version=self.version, variables=self.variables or {})


EitherInstruction = Annotated[
    Annotated[InstructionText, Tag("Text")] | Annotated[InstructionChoice, Tag("Named")], Discriminator(text_or_object)
]


DEMOTE_SAID: Final = (
    "Places passages that repeat the query and hold little else behind all others, and marks them as demoted: for "
    "collections into which others write."
)


class SearchBody(Strict):
    """POST /v1/search"""

    query: QueryText
    collection: SearchedName = Field(description="One of the tenant's own, or OWNER/NAME of one that it was granted.")
    top_k: Annotated[int, Field(ge=1, le=TOP_K_MAX), Number] = 10
    candidates: Annotated[int, Field(ge=1, le=CANDIDATES_MAX), Number] | None = Field(
        default=None, description="How many chunks recall proposes; the service's own number unless given."
    )
    recall: RecallMode | None = Field(
        default=None,
        description="How recall finds candidates: dense by meaning, lexical by words (BM25), hybrid by both; the "
        "service's own choice unless given.",
    )
    depth: Depth | None = Field(
        default=None,
        description="full judges all candidates, adaptive stops where the rest can hardly change the first top_k; "
        "the service's own choice unless given. Grouped answers and min_relevance need all.",
    )
    filter: MaybeFilter = Field(
        default=None, description="Which documents may answer, by their metadata; OpenAI's grammar."
    )
    rerank: StrictBool | Literal["always"] = Field(
        default=True,
        description="false: the answer is in recall's order. true: the reranker is run unless its relevance has no "
        "weight under the instruction; `rerank_skipped` says so then. always: it is run all the same, for the "
        "relevance of each result. min_relevance implies always.",
    )
    instruction: EitherInstruction | None = Field(
        default=None, description="What counts as relevant: a text, or the name of a published instruction."
    )
    min_relevance: Annotated[float, Field(ge=0, le=1), Number] | None = Field(
        default=None, description="Leaves out what was judged below it; not applied where nobody judged."
    )
    group_by_document: StrictBool = Field(
        default=False,
        description="One result per document, its other chunks beneath. It is looked further than `candidates` chunks, "
        "though no more are judged, until there are top_k documents.",
    )
    chunks_per_document: Annotated[int, Field(ge=1, le=CANDIDATES_MAX), Number] | None = Field(
        default=None,
        description="Only with group_by_document: so many of its chunks, the best; all candidates unless given.",
    )
    neighbours: Annotated[int, Field(ge=0, le=NEIGHBOURS_MAX), Number] = Field(
        default=0, description="Adds `context`: so many chunks before and after each that is shown; no text twice."
    )
    demote_query_echo: StrictBool | None = Field(
        default=None, description=f"{DEMOTE_SAID} The collection's own choice unless given."
    )
    on_rerank_failure: OnRerankFailure = OnRerankFailure.DEGRADE
    timeout_ms: TimeoutMs | None = None
    explain: StrictBool = Field(
        default=False,
        description="Adds `explain`: every candidate with its place in both orders; and `index`: what was searched.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> SearchBody:
        if self.min_relevance is not None and not self.rerank:
            raise ValueError("min_relevance needs rerank: without it nothing has a relevance")
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
