"""Instructions of the library: their content, their states, and where they are kept. The contract.

    draft ──────> published ──────> retired
      │ edited, deleted                still usable by naming its version

Rule 1: the content of a published version never changes. Rule 2: a name has at most one draft, whose number is the one
it will be published under. Rule 3: a name without a version means its newest published version.
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

BUILT_IN_PREFIX: Final = "builtin/"  # reserved for instructions that come with winnow: for every tenant, read-only
VARIABLE_NAME_PATTERN: Final = r"[a-z][a-z0-9_]{0,31}"
# Routes and answers use these words; versions published before they were reserved stay usable.
RESERVED_NAMES: Final = frozenset({"builtin", "default", "diff", "export", "import", "preview", "shadows", "try"})

Value: TypeAlias = str | int


class State(StrEnum):
    """The state of a version."""

    DRAFT = "draft"  # may be edited and deleted; no search uses it
    PUBLISHED = "published"
    RETIRED = "retired"  # cannot be a default; answers that use it say that it is retired


class Act(StrEnum):
    """What can be done to a version."""

    EDIT = "edit"
    DELETE = "delete"
    PUBLISH = "publish"
    RETIRE = "retire"


AFTER: Final[Mapping[State, Mapping[Act, State | None]]] = {
    State.DRAFT: {Act.EDIT: State.DRAFT, Act.DELETE: None, Act.PUBLISH: State.PUBLISHED},
    State.PUBLISHED: {Act.RETIRE: State.RETIRED},
    State.RETIRED: {},
}  # None: the version is gone


def state_after(state: State, act: Act, *, named: str) -> State | None:
    """Return the next state, or None if the version is gone. Raises `InstructionConflict`, naming what is possible."""
    if act not in AFTER[state]:
        known = " or ".join(AFTER[state]) or "nothing more"
        raise InstructionConflict(f"{named} is {state}; you cannot {act} it. Possible: {known}")
    return AFTER[state][act]


class VariableType(StrEnum):
    """The type of a variable's values."""

    STRING = "string"
    INTEGER = "integer"
    ENUM = "enum"  # one of the allowed values, which are strings


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A placeholder in an instruction's text, filled by the caller."""

    name: str
    type: VariableType = VariableType.STRING
    default: Value | None = None  # None: the caller must give a value
    allowed: tuple[Value, ...] = ()  # empty: any value of the type
    max_length: int = VARIABLE_CHARACTERS_MAX  # characters of a value in the text
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionContent:
    """The content of one version. In texts, `{name}` is a variable, `{{` and `}}` are braces."""

    text: str  # what the reranker reads
    literal: bool = False  # texts are used as they are, with braces: versions from before variables existed
    embedding_task: str | None = None  # task for embedding the query; None is the embedder's default
    variables: tuple[Variable, ...] = ()
    purpose: str = ""
    language: str = ""  # of the text, such as en
    collections: tuple[str, ...] = ()  # collections it is restricted to; empty means all
    author: str = ""
    note: str = ""

    @property
    def asks_for(self) -> tuple[str, ...]:
        """The variables without a default. A version with any cannot be a default, which has no caller to ask."""
        return tuple(each.name for each in self.variables if each.default is None)

    def applies_to(self, collection: str) -> bool:
        return not self.collections or collection in self.collections


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionVersion:
    """One version of an instruction, with its state."""

    tenant: TenantName | None  # None: built in, for every tenant
    name: str
    version: int  # counts up from 1
    state: State
    content: InstructionContent
    created_at: datetime  # UTC; for a draft, the time of the last edit
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
    """An instruction by name: `legal` is its newest published version, `legal@2` exactly version 2."""

    name: str
    version: int | None = None

    @classmethod
    def of(cls, said: str) -> Self:
        """Parse a reference. Raises `InvalidRequest`."""
        found = re.fullmatch(r"([^@]+)(?:@([1-9][0-9]{0,8}))?", said)
        if found is None:
            raise InvalidRequest(f"{said[:80]!r} is not an instruction; write NAME or NAME@VERSION")
        return cls(name=found[1], version=int(found[2]) if found[2] else None)

    @property
    def is_built_in(self) -> bool:
        return self.name.startswith(BUILT_IN_PREFIX)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


class InstructionLibrary(Protocol):
    """The instructions of all tenants. Every name is looked up within a tenant; no call sees another tenant's.

    A default (of the tenant, or of a collection in the same database) always has a published version without required
    variables. Any call that would leave it without one raises `InstructionConflict`.

    The library stores what it is given: rerank/instruction_template.py checks texts before.
    Changes are on the disk when a call returns, and in the audit log, as made by `by`.

    Raises `InstructionNotFound`, `InstructionConflict`.
    """

    def write_draft(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        """Replace the content of this name's draft, or create the draft."""
        ...

    def delete_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> None:
        """Delete a draft for good; its number will be used again. None means the name's draft, whatever its number."""
        ...

    def publish_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        """Publish the draft as the newest version."""
        ...

    def publish(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        """Publish the next version at once; content equal to the newest published version publishes nothing.

        Raises `InstructionConflict` if there is a draft: it is unknown which of the two should come first.
        """
        ...

    def retire(self, tenant: TenantName, name: str, version: int, *, by: Actor = COMMAND_LINE) -> InstructionVersion:
        """Retire a version; the name then means the published version before it."""
        ...

    def version(self, tenant: TenantName, name: str, version: int | None = None) -> InstructionVersion:
        """Return this version, in any state, or the newest published one."""
        ...

    def versions(self, tenant: TenantName, name: str | None = None) -> Sequence[InstructionVersion]:
        """Return all versions, or all of one name, by name and version, in every state; possibly none."""
        ...

    def bring_in(
        self, tenant: TenantName, versions: Sequence[InstructionVersion], *, by: Actor = COMMAND_LINE
    ) -> Sequence[InstructionVersion]:
        """Import versions of this tenant with their numbers, states and dates; return the new ones.

        All or nothing. Identical versions are skipped. Raises `InstructionConflict` if a number has other content
        here, or would come before an existing one.
        """
        ...

    def default(self, tenant: TenantName) -> str | None:
        """Return the instruction of the tenant's searches, used if neither the search nor its collection names one."""
        ...

    def set_default(self, tenant: TenantName, reference: str | None, *, by: Actor = COMMAND_LINE) -> None:
        """Set the default; None returns to the model card's. The tenant's own instructions must be published."""
        ...
