"""What the bodies of all dialects of reranking have in common: the query, the model, the instruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from winnow.api.fields import AbsentIfEmpty, InstructionText, NotBlank
from winnow.api.library.instructions import NamedInstruction
from winnow.api.schemas.search_request import EitherInstruction, wanted_instruction
from winnow.retrieval.catalog.instructions import Reference
from winnow.retrieval.limits import QUERY_CHARACTERS_MAX


class TemplateArguments(BaseModel):
    """Arguments of vLLM's chat template; those that winnow does not know are ignored."""

    model_config = ConfigDict(extra="allow")

    instruction: Annotated[EitherInstruction | None, AbsentIfEmpty] = None


LongQuery = Annotated[str, Field(examples=["how do I undo a commit?"]), NotBlank]  # cut where it is read
ModelName = Annotated[
    str | None,
    AbsentIfEmpty,
    Field(
        description="Name of a configured reranker; any other name means the default one, and the answer names the one "
        "that ran. `MODEL@NAME` or `MODEL@NAME@VERSION` also chooses an instruction of the library, for clients that "
        "can send nothing else: `winnow-rerank@builtin/legal-statutes`."
    ),
]
RawScores = Annotated[
    bool | None,
    Field(description="true: scores are logits, not probabilities. The order is the same."),
]


class JudgedBy(BaseModel):
    """What all dialects of reranking have in common: who judges, and by which instruction."""

    model: ModelName = None
    instruction: Annotated[EitherInstruction | None, AbsentIfEmpty] = Field(
        default=None, description="What counts as relevant: a text, or a published instruction of the library."
    )
    instruct: Annotated[InstructionText | None, AbsentIfEmpty] = Field(
        default=None, description="Same as `instruction`, in SGLang's spelling."
    )
    chat_template_kwargs: TemplateArguments | None = Field(
        default=None, description="Its `instruction` wins over the other two, as in vLLM."
    )

    @model_validator(mode="after")
    def _check_instructions(self) -> Self:
        if self.instruction and self.instruct and self.instruction != self.instruct:
            raise ValueError("instruction and instruct are two names of one field, but their values differ")
        return self

    @property
    def wanted_instruction(self) -> str | NamedInstruction | None:
        """None: the model's name may choose one."""
        given = self.chat_template_kwargs.instruction if self.chat_template_kwargs else None
        return wanted_instruction(given or self.instruction or self.instruct)

    @property
    def judge(self) -> Judge:
        """Raises `InvalidRequest` for a model's name that names no instruction after its `@`."""
        model, at, named = (self.model or "").partition("@")
        wanted = self.wanted_instruction
        if at and wanted is None:
            reference = Reference.of(named)
            wanted = NamedInstruction(name=reference.name, version=reference.version)
        return Judge(model=model or None, instruction=wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The reranker and the instruction that a request asks for."""

    model: str | None
    instruction: str | NamedInstruction | None


def cut_query(query: str) -> tuple[str, str | None]:
    """The part of a query that is read, and a warning if that is not all of it."""
    if len(query) <= QUERY_CHARACTERS_MAX:
        return query, None
    read = query[:QUERY_CHARACTERS_MAX]
    return read, f"only the first {QUERY_CHARACTERS_MAX} of the query's {len(query)} characters were read"
