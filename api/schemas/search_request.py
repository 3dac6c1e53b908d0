"""The request of `POST /v1/search`. It refuses unknown fields, as all requests do except `POST /v1/rerank`, which must
accept what the clients of other services send.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
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
from winnow.retrieval.chat.conversation import Conversation, Role, Turn
from winnow.retrieval.limits import (
    CANDIDATES_MAX,
    MESSAGES_MAX,
    NEIGHBOURS_MAX,
    QUERY_CHARACTERS_MAX,
    SEARCH_QUERIES_MAX,
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


class ContentPart(BaseModel):
    """A part of a message. Only texts are read."""

    type: str = "text"
    text: str | None = None


TextOrParts: Final = Discriminator(lambda value: "Parts" if isinstance(value, list) else "Text")


class ChatMessage(BaseModel):
    """A message as OpenAI's chat completions have it. Only texts of user and assistant are read."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[Annotated[str, Tag("Text")] | Annotated[list[ContentPart], Tag("Parts")], TextOrParts] | None = (
        Field(default=None, examples=["And how long do I have to return it?"])
    )

    @property
    def said(self) -> str:
        """Its text; empty without one."""
        if isinstance(self.content, list):
            parts = (part.text for part in self.content if part.type in TEXT_PARTS and part.text)
            return "\n".join(parts).strip()
        return (self.content or "").strip()


TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})


def conversation_of(messages: Sequence[ChatMessage]) -> Conversation:
    """Return the turns up to the last one of the user. Raises `ValueError`."""
    places = [place for place, each in enumerate(messages) if each.role == Role.USER.value]
    if not places:
        raise ValueError("messages needs a message with the role user: its text is the question")
    last = messages[places[-1]].said
    if not last:
        raise ValueError("the last message with the role user has no text")
    if len(last) > QUERY_CHARACTERS_MAX:
        raise ValueError(f"the last message with the role user has more than {QUERY_CHARACTERS_MAX} characters")
    roles = {Role.USER.value: Role.USER, Role.ASSISTANT.value: Role.ASSISTANT}
    turns = [
        Turn(role=roles[each.role], text=each.said)
        for each in messages[: places[-1] + 1]
        if each.role in roles and each.said
    ]
    return Conversation(turns=tuple(turns))


def _require_query_unless(data: Any) -> Any:
    """Only `messages` or `queries` can replace `query`; without one of them it is missing, also where it is null."""
    if not isinstance(data, dict):
        return data
    if any(data.get(name) is not None for name in ("messages", "queries")):
        return {"query": None, **data}
    return {name: value for name, value in data.items() if name != "query" or value is not None}


def _make_query_optional(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema.get("required", ()) if name != "query"]
    if not schema["required"]:
        del schema["required"]


class CollectionSearchBody(Strict):
    """POST /v1/collections/{name}/search"""

    model_config = ConfigDict(json_schema_extra=_make_query_optional)

    query: QueryText | None = Field(description="The question. Needed unless `messages` or `queries` is given.")
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MESSAGES_MAX)] | None = Field(
        default=None,
        description="A conversation, in place of `query`. The query is a question that a chat model of the operator "
        "makes of it, if there is one, or else the last message of the user; `query_used` and `rewrite` say which.",
    )
    queries: Annotated[list[QueryText], Field(min_length=1, max_length=SEARCH_QUERIES_MAX)] | None = Field(
        default=None,
        description="Further queries, whose candidates are fused with those of the main query: `query`, that of "
        "`messages`, or else the first of these. The reranker judges by the main query. Each query beyond the first "
        "counts as a search, and as a request towards the tenant's limit.",
    )
    rewrite: StrictBool = Field(
        default=True, description="false: the conversation is not sent to a chat model. Only with `messages`."
    )
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

    _conversation: Conversation | None = PrivateAttr(default=None)

    @property
    def _main(self) -> str | None:
        """None: the first of `queries`."""
        return self.query if self._conversation is None else self._conversation.last

    @model_validator(mode="before")
    @classmethod
    def _require_query(cls, data: Any) -> Any:
        return _require_query_unless(data)

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.query is not None and self.messages is not None:
            raise ValueError("messages stands in place of query: send one of them")
        if not self.rewrite and self.messages is None:
            raise ValueError("rewrite needs messages: a query is never rewritten")
        if self.messages is not None:
            self._conversation = conversation_of(self.messages)
        if len(self.queries or ()) + (self._main is not None) > SEARCH_QUERIES_MAX:
            raise ValueError(f"a search has at most {SEARCH_QUERIES_MAX} queries")
        if self.min_relevance is not None and not self.rerank:
            raise ValueError("min_relevance needs rerank: without it there is no relevance")
        if self.highlight and not self.rerank:
            raise ValueError("highlight needs rerank: the reranker finds the sentences")
        if self.chunks_per_document is not None and not self.group_by_document:
            raise ValueError("chunks_per_document needs group_by_document: without it every result is one chunk")
        return self

    def question_in(self, collection: str, tenant: TenantName) -> Question:
        main, *further = [*([] if self._main is None else [self._main]), *(self.queries or [])]
        return Question(
            tenant=tenant,
            collection=collection,
            query=main,
            further=tuple(further),
            conversation=self._conversation,
            rewrites=self.rewrite,
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

    collection: SearchedName | None = Field(
        default=None,
        description="NAME of a collection of the tenant, or OWNER/NAME of a granted one. null or left out: that of the "
        "key.",
    )

    def question(self, tenant: TenantName) -> Question:
        assert self.collection is not None, "commands name it. This is a bug."
        return self.question_in(self.collection, tenant)
