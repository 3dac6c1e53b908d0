"""What is an instruction of the library, through which states does it go, and where is it kept: the contract.

    draft ──────> published ──────> retired
      │ edited, deleted                stays usable by whoever names its version

Rule 1: what a version says never changes once it is published. Rule 2: a name has at most one draft, which carries the
number that it will be published under. Rule 3: a name without a version means its newest published one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, Self, TypeAlias

from winnow.retrieval.errors import InstructionConflict, InvalidRequest
from winnow.retrieval.limits import VARIABLE_CHARACTERS_MAX
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName

BUILT_IN_PREFIX: Final = "builtin/"  # reserved: what stands below it comes with winnow, for every tenant, read-only
VARIABLE_NAME_PATTERN: Final = r"[a-z][a-z0-9_]{0,31}"
# What routes and answers mean by these words; a version that was published before they were reserved stays usable.
RESERVED_NAMES: Final = frozenset({"builtin", "default", "diff", "export", "import", "preview", "shadows", "try"})

Value: TypeAlias = str | int


class State(StrEnum):
    """Where a version is."""

    DRAFT = "draft"  # may be edited and deleted; no search uses it
    PUBLISHED = "published"
    RETIRED = "retired"  # no default any more; answers say so where it is still used


class Act(StrEnum):
    """What may be done to a version."""

    EDIT = "edit"
    DELETE = "delete"
    PUBLISH = "publish"
    RETIRE = "retire"


AFTER: Final[Mapping[State, Mapping[Act, State | None]]] = {
    State.DRAFT: {Act.EDIT: State.DRAFT, Act.DELETE: None, Act.PUBLISH: State.PUBLISHED},
    State.PUBLISHED: {Act.RETIRE: State.RETIRED},
    State.RETIRED: {},
}  # None: it is gone


def state_after(state: State, act: Act, *, named: str) -> State | None:
    """None where it is gone. Raises `InstructionConflict` for what the table does not know, with what it does."""
    if act not in AFTER[state]:
        known = " or ".join(AFTER[state]) or "nothing more"
        raise InstructionConflict(f"{named} is {state}; it cannot {act}, but {known}")
    return AFTER[state][act]


class VariableType(StrEnum):
    """What a variable's values are."""

    STRING = "string"
    INTEGER = "integer"
    ENUM = "enum"  # one of the allowed values, which are strings


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A place in an instruction's text that whoever asks may fill."""

    name: str
    type: VariableType = VariableType.STRING
    default: Value | None = None  # None: whoever asks has to give one
    allowed: tuple[Value, ...] = ()  # empty: whatever fits the type
    max_length: int = VARIABLE_CHARACTERS_MAX  # characters of a value as it stands in the text
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionContent:
    """What one version says. Texts hold `{name}` where a variable stands, `{{` and `}}` for braces."""

    text: str  # what the reranker reads
    literal: bool = (
        False  # the texts are taken as they stand, braces and all: versions from before there were variables
    )
    embedding_task: str | None = None  # what the query is embedded under; None is the embedder's default task
    variables: tuple[Variable, ...] = ()
    purpose: str = ""
    language: str = ""  # of the text, such as en
    collections: tuple[str, ...] = ()  # that it is meant for; empty is all
    author: str = ""
    note: str = ""

    @property
    def asks_for(self) -> tuple[str, ...]:
        """The variables that somebody has to give a value: what asks for any is no default, since nobody is asked."""
        return tuple(each.name for each in self.variables if each.default is None)

    def applies_to(self, collection: str) -> bool:
        return not self.collections or collection in self.collections


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionVersion:
    """One version of an instruction, and where it is on its way."""

    tenant: TenantName | None  # None: everybody's, it comes with winnow
    name: str
    version: int  # counts up from 1
    state: State
    content: InstructionContent
    created_at: datetime  # UTC; of a draft: when it was last edited
    published_at: datetime | None = None
    retired_at: datetime | None = None

    @property
    def text(self) -> str:
        return self.content.text

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An instruction by name: `legal` is its newest published version, `legal@2` that very one."""

    name: str
    version: int | None = None

    @classmethod
    def of(cls, said: str) -> Self:
        """Raises `InvalidRequest`."""
        found = re.fullmatch(r"([^@]+)(?:@([1-9][0-9]{0,8}))?", said)
        if found is None:
            raise InvalidRequest(f"{said[:80]!r} is no instruction; write NAME or NAME@VERSION")
        return cls(name=found[1], version=int(found[2]) if found[2] else None)

    @property
    def is_built_in(self) -> bool:
        return self.name.startswith(BUILT_IN_PREFIX)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


class InstructionLibrary(Protocol):
    """The instructions of all tenants; every name is looked up within a tenant, and no call sees another's.

    A default (of the tenant, or of a collection in the same database) always has a published version to mean, and one
    that asks for no value: what would leave it without raises `InstructionConflict`, whatever call that is.

    It keeps what it is given: whether a text is fit to be used is checked before (rerank/instruction_template.py).
    What a call has returned is on the disk, and in the audit log every change, as `by` made it.

    Raises `InstructionNotFound`, `InstructionConflict`.
    """

    def write_draft(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        """The draft of this name says this from now on; it is made where there is none."""
        ...

    def delete_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> None:
        """For good; its number is given again. None is the draft of the name, whatever its number."""
        ...

    def publish_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        """From now on the newest version."""
        ...

    def publish(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        """The next version at once; what the newest published version says already publishes nothing new.

        Raises `InstructionConflict` where there is a draft: which of the two should come first, nobody has said.
        """
        ...

    def retire(self, tenant: TenantName, name: str, version: int, *, by: Actor = COMMAND_LINE) -> InstructionVersion:
        """The name means the published version before it."""
        ...

    def version(self, tenant: TenantName, name: str, version: int | None = None) -> InstructionVersion:
        """This version, in whatever state, or the newest published one."""
        ...

    def versions(self, tenant: TenantName, name: str | None = None) -> Sequence[InstructionVersion]:
        """All of them, or all of a name, by name and version, in every state. Empty where there are none."""
        ...

    def bring_in(
        self, tenant: TenantName, versions: Sequence[InstructionVersion], *, by: Actor = COMMAND_LINE
    ) -> Sequence[InstructionVersion]:
        """Takes versions of this tenant as they are, numbers, states and dates; returns those that were new.

        All of it or nothing. One that is there already, word for word, is passed over. Raises `InstructionConflict`
        where a number says something else here, or would come before one that is here.
        """
        ...

    def default(self, tenant: TenantName) -> str | None:
        """The instruction of the tenant's searches where neither they nor their collection name one."""
        ...

    def set_default(self, tenant: TenantName, reference: str | None, *, by: Actor = COMMAND_LINE) -> None:
        """None is the model card's again. One of the tenant's own must have a published version to mean."""
        ...
