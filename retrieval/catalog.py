"""Which collections does a tenant have? The contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Literal, Protocol, TypeAlias

from retrieval.embedder import EmbedderIdentity

DEFAULT_TENANT: Final = "default"


class Keep(Enum):
    """Says that a choice stays what it is; None says already that it goes back to the default."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
Choice: TypeAlias = str | Literal[Keep.KEEP] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A corpus that can be searched, and what it was built with."""

    tenant: str
    name: str
    embedder: EmbedderIdentity
    chunk_tokens: int  # the most tokens a chunk may have
    created_at: datetime  # UTC
    instruction: str | None = None  # NAME or NAME@VERSION that its searches use unless they bring their own
    reranker: str | None = None  # name of the reranker that judges its searches; None is the deployment's own


class Catalog(Protocol):
    """Everything about a deployment that is not text or vectors. Every name is looked up within a tenant.

    Raises `CollectionNotFound`, `CollectionExists`, and of `InstructionLibrary` what a default raises.
    """

    def add_collection(self, collection: Collection) -> None: ...

    def collection(self, tenant: str, name: str) -> Collection: ...

    def collections(self, tenant: str) -> Sequence[Collection]:
        """By name."""
        ...

    def remove_collection(self, tenant: str, name: str) -> None: ...

    def change_collection(
        self, tenant: str, name: str, *, instruction: Choice = KEEP, reranker: Choice = KEEP
    ) -> Collection:
        """Chooses anew what is named, all of it or nothing, and returns what the collection is now.

        An instruction has to be published, unless it comes with winnow: which of those there are, and which rerankers,
        no catalog knows.
        """
        ...
