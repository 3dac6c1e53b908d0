"""Who owns what: collections and instructions, each a tenant's. The contract.

A `TenantName` is made where it is known to be one: from a row of the catalog, and so from a key; never from what a
request says (tests/unit/test_isolation.py lists the modules that may). Wherever a collection is looked up the type
checker refuses a mere text, so that no caller can widen what he reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Literal, NewType, Protocol, TypeAlias

from retrieval.actors import COMMAND_LINE, Actor
from retrieval.embedder import EmbedderIdentity

TenantName = NewType("TenantName", str)
DEFAULT_TENANT: Final = TenantName("default")  # whose everything is where nobody has made tenants


class Keep(Enum):
    """Says that a choice stays what it is; None says already that it goes back to the default."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
Choice: TypeAlias = str | Literal[Keep.KEEP] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A corpus that can be searched, and what it was built with."""

    tenant: TenantName
    name: str
    embedder: EmbedderIdentity
    chunk_tokens: int  # the most tokens a chunk may have
    created_at: datetime  # UTC
    instruction: str | None = None  # name of the instruction its searches use unless they bring their own
    reranker: str | None = None  # name of the reranker that judges its searches; None is the deployment's own

    @property
    def shown(self) -> str:
        """For who looks after all tenants: `name`, and `tenant/name` where it is not the default tenant's."""
        return self.name if self.tenant == DEFAULT_TENANT else f"{self.tenant}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One published version of a reranking instruction. It never changes."""

    tenant: TenantName
    name: str
    version: int  # counts up from 1
    text: str
    created_at: datetime  # UTC


class Catalog(Protocol):
    """Everything about a deployment that is not text or vectors. Every name is looked up within a tenant.

    What is done to a collection as a whole is in the audit log, as `by` did it.

    Raises `CollectionNotFound`, `CollectionExists`, `InstructionNotFound`.
    """

    def add_collection(self, collection: Collection, *, by: Actor = COMMAND_LINE) -> None: ...

    def collection(self, tenant: TenantName, name: str) -> Collection: ...

    def granted_collection(self, owner: str, name: str, *, reader: TenantName) -> Collection:
        """One that its owner lets this tenant search, named as the reader names it: `owner/name` where it is not found.

        That there is one which was not granted, nobody is told.
        """
        ...

    def collections(self, tenant: TenantName) -> Sequence[Collection]:
        """By name."""
        ...

    def remove_collection(self, tenant: TenantName, name: str, *, by: Actor = COMMAND_LINE) -> None: ...

    def change_collection(
        self,
        tenant: TenantName,
        name: str,
        *,
        instruction: Choice = KEEP,
        reranker: Choice = KEEP,
        by: Actor = COMMAND_LINE,
    ) -> Collection:
        """Chooses anew what is named, all of it or nothing, and returns what the collection is now.

        An instruction has to be published; which rerankers there are, no catalog knows.
        """
        ...

    def publish_instruction(self, tenant: TenantName, name: str, text: str) -> Instruction:
        """The next version of this name; the same text as the newest version publishes nothing new."""
        ...

    def instruction(self, tenant: TenantName, name: str, version: int | None = None) -> Instruction:
        """This version, or the newest."""
        ...

    def instructions(self, tenant: TenantName) -> Sequence[Instruction]:
        """All versions, by name and version."""
        ...
