"""What may a caller send? Bodies of our own routes refuse fields they do not know; /v1/rerank, which other people's
clients call, passes over them and takes null everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    StrictBool,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from winnow.api.http.problems import fields_said
from winnow.api.library.instructions import NamedInstruction
from winnow.api.search.records import OnRerankFailure, Question
from winnow.api.settings import CHUNK_TOKENS_MAX, CHUNK_TOKENS_MIN
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.catalog.collections import TenantName
from winnow.retrieval.catalog.instructions import Reference, Value
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.filters.grammar import Filter, Joint, Op, parsed_filter
from winnow.retrieval.limits import (
    CANDIDATES_MAX,
    COLLECTION_NAME_PATTERN,
    DOCUMENT_CHARACTERS_MAX,
    DOCUMENT_ID_CHARACTERS_MAX,
    INSTRUCTION_CHARACTERS_MAX,
    NEIGHBOURS_MAX,
    QUERY_CHARACTERS_MAX,
    RERANK_DOCUMENTS_MAX,
    SEARCHED_NAME_PATTERN,
    TIMEOUT_MS_MAX,
    TITLE_CHARACTERS_MAX,
    TOP_K_MAX,
    URL_CHARACTERS_MAX,
)
from winnow.retrieval.recall_mode import RecallMode

REFERENCE_CHARACTERS_MAX: Final = 128  # NAME@VERSION of an instruction; a name has at most 63, or 71 with builtin/
VERSION_MAX: Final = 10**9 - 1  # of an instruction; what both databases keep

Body = TypeVar("Body", bound=BaseModel)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("it is blank")
    return value


NotBlank: Final = AfterValidator(_not_blank)
CollectionName = Annotated[str, Field(pattern=COLLECTION_NAME_PATTERN, examples=["handbook"])]
SearchedName = Annotated[str, Field(pattern=SEARCHED_NAME_PATTERN, examples=["handbook", "library/handbook"])]
QueryText = Annotated[str, Field(max_length=QUERY_CHARACTERS_MAX, examples=["how do I undo a commit?"]), NotBlank]
InstructionText = Annotated[str, Field(max_length=INSTRUCTION_CHARACTERS_MAX), NotBlank]
RerankerName = Annotated[str, Field(min_length=1, examples=["winnow-rerank"])]


def _number(value: object) -> object:
    """None passes too, for fields that may be null."""
    if isinstance(value, bool) or not (value is None or isinstance(value, int | float)):
        raise ValueError("a number is expected, without quotes")
    return value


Number: Final = BeforeValidator(_number)  # for every int and float of a body: true is not 1, and "3" is not 3
TimeoutMs = Annotated[int, Field(ge=1, le=TIMEOUT_MS_MAX), Number]


def _filter(value: Any) -> Filter:
    try:
        return parsed_filter(value)
    except InvalidRequest as refused:
        raise ValueError(refused.detail) from refused


def _filter_if_any(value: Any) -> Filter | None:
    return None if value is None else _filter(value)


FILTER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"enum": [*(op.value for op in Op), *(joint.value for joint in Joint)]},
        "key": {"type": "string", "description": "Attribute of a document's metadata; not with and, or."},
        "value": {"description": "Boolean, number or text; a list of them for in and nin; null for eq and ne."},
        "filters": {"type": "array", "items": {"type": "object"}, "description": "Only with and, or."},
    },
    "required": ["type"],
    "examples": [{"type": "gte", "key": "year", "value": 2020}],
}
FilterChoice = Annotated[Any, PlainValidator(_filter), WithJsonSchema(FILTER_SCHEMA)]  # a `Filter`
MaybeFilter = Annotated[  # or None; as a union of the two, each mistake would be told twice
    Any, PlainValidator(_filter_if_any), WithJsonSchema({"anyOf": [FILTER_SCHEMA, {"type": "null"}]})
]


def _variable_value(value: Any) -> Value:
    """What fits the variable is decided where it is known; here only what could fit none is refused."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a value is a string or an integer")  # noqa: TRY004  what pydantic takes for a refusal
    return value


VariableValue = Annotated[  # a `Value`; as a union of the two, each mistake would be told twice
    Any, PlainValidator(_variable_value), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
]


def _reference(said: str) -> str:
    try:
        return str(Reference.of(said))
    except InvalidRequest as refused:
        raise ValueError(refused.detail) from refused


InstructionReference = Annotated[
    str,
    Field(max_length=REFERENCE_CHARACTERS_MAX, examples=["chinese-first", "legal@2"]),
    AfterValidator(_reference),
]


def _text_or_object(value: object) -> str:
    """Which member of a union is meant: only its errors are told. Tags begin with a capital; field names never do."""
    return "Text" if isinstance(value, str) else "Named"


class Strict(BaseModel):
    """A body in which a misspelt field is an error, not a default."""

    model_config = ConfigDict(extra="forbid")


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
    Annotated[InstructionText, Tag("Text")] | Annotated[InstructionChoice, Tag("Named")], Discriminator(_text_or_object)
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


class TextDocument(BaseModel):
    """A document as Cohere's v1 and Jina's clients may send it."""

    text: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]


EitherDocument = Annotated[
    Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX), Tag("Text")] | Annotated[TextDocument, Tag("Named")],
    Discriminator(_text_or_object),
]


class RerankBody(BaseModel):
    """POST /v1/rerank, as the clients of Cohere, Jina, Voyage and vLLM send it. Fields of theirs that change nothing
    here (max_tokens_per_doc, truncation, user ...) are passed over.
    """

    query: QueryText
    documents: Annotated[list[EitherDocument], Field(min_length=1, max_length=RERANK_DOCUMENTS_MAX)]
    model: str | None = Field(
        default=None,
        description="A reranker that is configured here judges by its name; under any other name "
        "the default does. The answer says which judged.",
    )
    instruction: InstructionText | None = None
    instruct: InstructionText | None = Field(default=None, description="The same, as SGLang spells it.")
    top_n: Annotated[int, Field(ge=0), Number] | None = Field(
        default=None, description="0 or null is all (vLLM's meaning)."
    )
    top_k: Annotated[int, Field(ge=0), Number] | None = Field(
        default=None, description="The same, as Voyage spells it."
    )
    return_documents: StrictBool | None = Field(
        default=None, description="Whether results repeat the texts; true by default."
    )
    timeout_ms: TimeoutMs | None = None

    @model_validator(mode="after")
    def _said_once(self) -> RerankBody:
        for one, other in (("top_n", "top_k"), ("instruction", "instruct")):
            if getattr(self, one) and getattr(self, other) and getattr(self, one) != getattr(self, other):
                raise ValueError(f"{one} and {other} are two names of one field, and differ")
        return self

    @property
    def texts(self) -> list[str]:
        return [document if isinstance(document, str) else document.text for document in self.documents]

    @property
    def wanted(self) -> int:
        return self.top_n or self.top_k or len(self.documents)


class CollectionBody(Strict):
    """POST /v1/collections"""

    name: CollectionName
    chunk_tokens: Annotated[int, Field(ge=CHUNK_TOKENS_MIN, le=CHUNK_TOKENS_MAX), Number] | None = Field(
        default=None, description="Most tokens of a chunk; the service's own number unless given."
    )
    instruction: InstructionReference | None = Field(
        default=None,
        description="Published instruction, NAME or NAME@VERSION, that its searches use unless they bring their own.",
    )
    reranker: RerankerName | None = Field(
        default=None, description="Configured reranker that judges its searches; the service's default unless given."
    )
    demote_query_echo: StrictBool = Field(default=False, description=DEMOTE_SAID)


class CollectionChange(Strict):
    """PATCH /v1/collections/{name}: what is left out stays, null goes back to the default."""

    instruction: InstructionReference | None = Field(
        default=None,
        description="Published instruction, NAME or NAME@VERSION, that its searches use unless they bring their own.",
    )
    reranker: RerankerName | None = Field(default=None, description="Configured reranker that judges its searches.")
    demote_query_echo: StrictBool | None = Field(default=None, description=DEMOTE_SAID)


class DeleteBody(Strict):
    """POST /v1/collections/{name}/delete"""

    filter: FilterChoice = Field(description="Which documents go, by their metadata; OpenAI's grammar.")
    dry_run: StrictBool = Field(default=False, description="Says how many would go, and removes none.")


class RollbackBody(Strict):
    """POST /v1/collections/{name}/generations/rollback"""

    to: str | None = Field(
        default=None, description="The generation to make current; the newest whole one before it unless given."
    )


class DocumentBody(BaseModel):
    """POST /v1/collections/{name}/documents: one document; fields beside these become its metadata."""

    model_config = ConfigDict(extra="allow")

    id: Annotated[str | int, Field(description=f"Unique in its collection; {DOCUMENT_ID_CHARACTERS_MAX} characters.")]
    text: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]
    title: Annotated[str, Field(max_length=TITLE_CHARACTERS_MAX)] | None = None
    url: Annotated[str, Field(max_length=URL_CHARACTERS_MAX)] | None = None
    metadata: dict[str, Any] | None = None


def parsed(model: type[Body], value: object) -> Body:
    """The body that this value is. Raises `InvalidRequest`, naming the fields."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(fields_said(list(error.errors()))) from error


def deadline_of(timeout_ms: int | None, default_ms: int) -> Deadline:
    return Deadline.after_ms(default_ms if timeout_ms is None else timeout_ms)
