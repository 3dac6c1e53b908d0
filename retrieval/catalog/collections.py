"""Which collections does a tenant have? The contract.

A `TenantName` is made where it is known to be one: from a row of the catalog, and so from a key; never from what a
request says (tests/unit/test_isolation.py lists the modules that may). Wherever a collection is looked up the type
checker refuses a mere text, so that no caller can widen what he reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, Actor, TenantName

if TYPE_CHECKING:
    from winnow.retrieval.embed.embedder import EmbedderIdentity  # the command line starts without numpy


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
    instruction: str | None = None  # NAME or NAME@VERSION that its searches use unless they bring their own
    reranker: str | None = None  # name of the reranker that judges its searches; None is the deployment's own
    demote_query_echo: bool = False  # passages that hold little but the query come last, unless a search says otherwise

    @property
    def shown(self) -> str:
        """For who looks after all tenants: `name`, and `tenant/name` where it is not the default tenant's."""
        return self.name if self.tenant == DEFAULT_TENANT else f"{self.tenant}/{self.name}"


class Catalog(Protocol):
    """Everything about a deployment that is not text or vectors. Every name is looked up within a tenant.

    What is done to a collection as a whole is in the audit log, as `by` did it.

    Raises `CollectionNotFound`, `CollectionExists`, and of `InstructionLibrary` what a default raises.
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

    def remove_collection(
        self, tenant: TenantName, name: str, *, folder_follows: bool = False, by: Actor = COMMAND_LINE
    ) -> None:
        """Where its folder is to be removed after it, that is noted as begun in the same transaction."""
        ...

    def adopt_collection(self, collection: Collection, *, by: Actor = COMMAND_LINE) -> None:
        """As `add_collection`, of what lies on the disk already; a row of its name is replaced."""
        ...

    def begin_collection(self, collection: Collection) -> None:
        """Notes, before anything of it is on the disk, that what is marked with its time of making is ours."""
        ...

    def begun_collections(self, tenant: str, name: str) -> frozenset[datetime]:
        """Times of making of what was begun under this name, or is being removed, and is not finished."""
        ...

    def end_collection(self, tenant: TenantName, name: str) -> None:
        """Nothing that was begun under this name is left on the disk."""
        ...

    def change_collection(
        self,
        tenant: TenantName,
        name: str,
        *,
        instruction: Choice = KEEP,
        reranker: Choice = KEEP,
        demote_query_echo: bool | Literal[Keep.KEEP] = KEEP,
        by: Actor = COMMAND_LINE,
    ) -> Collection:
        """Chooses anew what is named, all of it or nothing, and returns what the collection is now.

        An instruction has to be published, unless it comes with winnow: which of those there are, and which rerankers,
        no catalog knows.
        """
        ...
