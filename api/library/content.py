"""The content of an instruction in a request body: text, variables, notes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StrictBool

from winnow.api.fields import (
    CollectionName,
    InstructionText,
    NotBlank,
    Number,
    Strict,
    VariableValue,
    VersionInPath,
)
from winnow.retrieval.catalog.instructions import InstructionContent, Variable, VariableType
from winnow.retrieval.limits import (
    EMBEDDING_TASK_CHARACTERS_MAX,
    INSTRUCTION_COLLECTIONS_MAX,
    INSTRUCTION_NOTE_CHARACTERS_MAX,
    INSTRUCTION_VARIABLES_MAX,
    VARIABLE_CHARACTERS_MAX,
    VARIABLE_VALUES_MAX,
)

Note = Annotated[str, Field(max_length=INSTRUCTION_NOTE_CHARACTERS_MAX)]


class VariableBody(Strict):
    """A variable that an instruction's texts may contain as `{name}`."""

    name: Annotated[str, Field(examples=["language"])]
    type: VariableType = VariableType.STRING
    default: VariableValue | None = Field(default=None, description="Without a default, every use must give a value.")
    allowed: Annotated[list[VariableValue], Field(max_length=VARIABLE_VALUES_MAX)] = Field(
        default_factory=list,
        description="Allowed values: required for an enum, optional for other types. Empty: any value of the type.",
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
    """The content of one version of an instruction."""

    text: InstructionText = Field(
        description="Text for the reranker. Write a variable as {name}, a literal brace as {{ or }}. English is best."
    )
    literal: StrictBool = Field(
        default=False, description="Use the texts as they are, without variables; braces are literal."
    )
    embedding_task: Annotated[str, Field(max_length=EMBEDDING_TASK_CHARACTERS_MAX), NotBlank] | None = Field(
        default=None, description="Task for embedding the query. Default: the embedder's own task."
    )
    variables: Annotated[list[VariableBody], Field(default_factory=list, max_length=INSTRUCTION_VARIABLES_MAX)]
    purpose: Note = ""
    language: Annotated[str, Field(max_length=64, examples=["en"])] = ""
    collections: Annotated[list[CollectionName], Field(max_length=INSTRUCTION_COLLECTIONS_MAX)] = Field(
        default_factory=list, description="Collections that may use this instruction; empty means all."
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


VersionNumber = Annotated[VersionInPath, Number]


def content_fields(content: InstructionContent) -> dict[str, Any]:
    """Return the fields of `ContentBody`, in its order, that differ from their defaults."""
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
