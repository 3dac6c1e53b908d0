"""The collections of a tenant: the contract of the catalog. Only a `TenantName` reaches them (retrieval/tenancy.py)."""

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
    """Marks a choice as unchanged, because None already means the default."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
Choice: TypeAlias = str | Literal[Keep.KEEP] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A searchable corpus, and what it was built with."""

    tenant: TenantName
    name: str
    embedder: EmbedderIdentity
    chunk_tokens: int  # maximum tokens per chunk
    created_at: datetime  # UTC
    instruction: str | None = None  # NAME or NAME@VERSION, used by searches without an instruction
    reranker: str | None = None  # name of the reranker of its searches; None is the deployment's default
    demote_query_echo: bool = False  # rank passages with little but the query last, unless a search overrides it

    @property
    def shown(self) -> str:
        """The name shown to operators: `name`, or `tenant/name` outside the default tenant."""
        return self.name if self.tenant == DEFAULT_TENANT else f"{self.tenant}/{self.name}"


class Collections(Protocol):
    """The collections of all tenants. Every name is looked up within a tenant.

    The audit log records every change of a whole collection, as made by `by`.

    Raises `CollectionNotFound`, `CollectionExists`, and whatever `InstructionLibrary` raises for a default.
    """

    def add(self, collection: Collection, *, by: Actor = COMMAND_LINE) -> None: ...

    def get(self, tenant: TenantName, name: str) -> Collection: ...

    def granted(self, owner: str, name: str, *, reader: TenantName) -> Collection:
        """Return a collection that its owner lets this tenant search. Errors name it as `owner/name`.

        A reader never learns whether a collection that was not granted exists.
        """
        ...

    def of_tenant(self, tenant: TenantName) -> Sequence[Collection]:
        """Return the tenant's collections, by name."""
        ...

    def remove(self, tenant: TenantName, name: str, *, folder_follows: bool = False, by: Actor = COMMAND_LINE) -> None:
        """Remove the row. `folder_follows` notes, in the same transaction, that the folder's removal has begun."""
        ...

    def adopt(self, collection: Collection, *, by: Actor = COMMAND_LINE) -> None:
        """Like `add`, for a corpus already on the disk; replaces an existing row of this name."""
        ...

    def begin(self, collection: Collection) -> None:
        """Note, before anything is on the disk, that files marked with this creation time are ours."""
        ...

    def begun(self, tenant: str, name: str) -> frozenset[datetime]:
        """Return the creation times of unfinished creations and removals under this name."""
        ...

    def end(self, tenant: TenantName, name: str) -> None:
        """Note that nothing unfinished is left on the disk under this name."""
        ...

    def change(
        self,
        tenant: TenantName,
        name: str,
        *,
        instruction: Choice = KEEP,
        reranker: Choice = KEEP,
        demote_query_echo: bool | Literal[Keep.KEEP] = KEEP,
        by: Actor = COMMAND_LINE,
    ) -> Collection:
        """Change the given choices, all or none of them, and return the collection as it is now.

        An instruction must be published or built in. The catalog does not check whether a built-in instruction or a
        reranker exists: it does not know them.
        """
        ...
