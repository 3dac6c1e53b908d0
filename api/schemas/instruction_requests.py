"""What may a caller send about instructions, over HTTP and in a file?"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field, StrictBool, model_validator

from winnow.api.library.instructions import NamedInstruction
from winnow.api.schemas.search_request import (
    VERSION_MAX,
    CollectionName,
    EitherInstruction,
    InstructionChoice,
    InstructionReference,
    InstructionText,
    MaybeFilter,
    NotBlank,
    Number,
    QueryText,
    RerankerName,
    SearchedName,
    Strict,
    TimeoutMs,
    VariableValue,
)
from winnow.api.search.trial import TrialQuestion
from winnow.rerank.instruction_template import check_content
from winnow.retrieval.catalog.collections import TenantName
from winnow.retrieval.catalog.instructions import InstructionContent, Reference, Variable, VariableType
from winnow.retrieval.limits import (
    CANDIDATES_MAX,
    DOCUMENT_CHARACTERS_MAX,
    EMBEDDING_TASK_CHARACTERS_MAX,
    INSTRUCTION_COLLECTIONS_MAX,
    INSTRUCTION_NOTE_CHARACTERS_MAX,
    INSTRUCTION_VARIABLES_MAX,
    TOP_K_MAX,
    TRIAL_VERSIONS_MAX,
    VARIABLE_CHARACTERS_MAX,
    VARIABLE_VALUES_MAX,
)
from winnow.retrieval.recall_mode import RecallMode

SAMPLE_QUERY: Final = "How long may I wait before I return a product?"
SAMPLE_DOCUMENT: Final = "A consumer may return goods within seven days of receiving them."
IN_USE: Final = "default"  # of a trial: whatever the collection's searches use now

Note = Annotated[str, Field(max_length=INSTRUCTION_NOTE_CHARACTERS_MAX)]


class VariableBody(Strict):
    """A variable that an instruction's texts may hold as `{name}`."""

    name: Annotated[str, Field(examples=["language"])]
    type: VariableType = VariableType.STRING
    default: VariableValue | None = Field(default=None, description="Without one, a value has to be given.")
    allowed: Annotated[list[VariableValue], Field(max_length=VARIABLE_VALUES_MAX)] = Field(
        default_factory=list, description="An enum lists its values; others may. Empty: whatever fits the type."
    )
    max_length: Annotated[int, Field(ge=1, le=VARIABLE_CHARACTERS_MAX), Number] = VARIABLE_CHARACTERS_MAX
    description: Note = ""

    @property
    def variable(self) -> Variable:
        return Variable(
            name=self.name,
            type=self.type,
            default=self.default,
            allowed=tuple(self.allowed),
            max_length=self.max_length,
            description=self.description,
        )


class ContentBody(Strict):
    """What one version of an instruction says."""

    text: InstructionText = Field(
        description="What the reranker reads; {name} where a variable stands, {{ and }} for braces. English works best."
    )
    literal: StrictBool = Field(default=False, description="The texts are taken as they stand, braces and all.")
    embedding_task: Annotated[str, Field(max_length=EMBEDDING_TASK_CHARACTERS_MAX), NotBlank] | None = Field(
        default=None, description="What the query is embedded under; the embedder's default task unless given."
    )
    variables: Annotated[list[VariableBody], Field(default_factory=list, max_length=INSTRUCTION_VARIABLES_MAX)]
    purpose: Note = ""
    language: Annotated[str, Field(max_length=64, examples=["en"])] = ""
    collections: Annotated[list[CollectionName], Field(max_length=INSTRUCTION_COLLECTIONS_MAX)] = Field(
        default_factory=list, description="That it is meant for; empty is all."
    )
    author: Note = ""
    note: Note = ""

    @property
    def content(self) -> InstructionContent:
        return InstructionContent(
            text=self.text,
            literal=self.literal,
            embedding_task=self.embedding_task,
            variables=tuple(each.variable for each in self.variables),
            purpose=self.purpose,
            language=self.language,
            collections=tuple(self.collections),
            author=self.author,
            note=self.note,
        )


class PublishBody(ContentBody):
    """POST /v1/instructions"""

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["chinese-first"])]
    draft: StrictBool = Field(default=False, description="Write it as a draft, or into the draft that there is.")


class DefaultBody(Strict):
    """PUT /v1/instructions/default"""

    instruction: InstructionReference | None = Field(
        description="NAME or NAME@VERSION; null is the model card's again."
    )


class PreviewBody(Strict):
    """POST /v1/instructions/preview: an instruction that is there, a text, or what could become a version."""

    instruction: EitherInstruction | None = None
    content: ContentBody | None = Field(default=None, description="Instead of `instruction`: nothing is written.")
    variables: dict[str, VariableValue] = Field(default_factory=dict, description="Of `content`.")
    query: QueryText = SAMPLE_QUERY
    document: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)] = SAMPLE_DOCUMENT
    reranker: RerankerName | None = Field(default=None, description="Whose prompt; the default's unless given.")
    ids: StrictBool = Field(default=False, description="Adds `ids`: every token of the prompt.")

    @model_validator(mode="after")
    def _one_of_both(self) -> PreviewBody:
        if (self.instruction is None) == (self.content is None):
            raise ValueError("give either instruction or content")
        if self.variables and self.content is None:
            raise ValueError("variables are those of content; an instruction has its own")
        return self

    @property
    def checked(self) -> InstructionContent | None:
        """Raises as writing it would."""
        return None if self.content is None else check_content(self.content.content)


class TrialBody(Strict):
    """POST /v1/instructions/try"""

    query: QueryText
    collection: SearchedName
    versions: Annotated[
        list[InstructionReference | InstructionChoice], Field(min_length=1, max_length=TRIAL_VERSIONS_MAX)
    ] = Field(
        description="NAME, NAME@VERSION (drafts too) or {name, version, variables}; `default` is what is used now. The "
        "others are compared with the first."
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
        """None: whatever is used now."""
        return tuple(map(_wanted, self.versions))


def _wanted(each: str | InstructionChoice) -> NamedInstruction | None:
    if isinstance(each, InstructionChoice):
        return each.named
    reference = Reference.of(each)
    return None if each == IN_USE else NamedInstruction(name=reference.name, version=reference.version)


VersionInPath = Annotated[int, Field(ge=1, le=VERSION_MAX)]  # of a path or a query, where all is text
VersionNumber = Annotated[VersionInPath, Number]


def content_fields(content: InstructionContent) -> dict[str, Any]:
    """The fields of `ContentBody`, in its order, that are not what they are anyway."""
    return {
        "text": content.text,
        **({"literal": True} if content.literal else {}),
        **({} if content.embedding_task is None else {"embedding_task": content.embedding_task}),
        **({"variables": [variable_fields(each) for each in content.variables]} if content.variables else {}),
        **{name: said for name in ("purpose", "language") if (said := getattr(content, name))},
        **({"collections": list(content.collections)} if content.collections else {}),
        **{name: said for name in ("author", "note") if (said := getattr(content, name))},
    }


def variable_fields(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "type": variable.type.value,
        **({} if variable.default is None else {"default": variable.default}),
        **({"allowed": list(variable.allowed)} if variable.allowed else {}),
        **({} if variable.max_length == VARIABLE_CHARACTERS_MAX else {"max_length": variable.max_length}),
        **({"description": variable.description} if variable.description else {}),
    }
