"""Who owns what: tenants, collections and instructions. The contract."""

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
    instruction: str | None = None  # name of the instruction its searches use unless they bring their own
    reranker: str | None = None  # name of the reranker that judges its searches; None is the deployment's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One published version of a reranking instruction. It never changes."""

    tenant: str
    name: str
    version: int  # counts up from 1
    text: str
    created_at: datetime  # UTC


class Catalog(Protocol):
    """Everything about a deployment that is not text or vectors. Every name is looked up within a tenant.

    Raises `CollectionNotFound`, `CollectionExists`, `InstructionNotFound`.
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

        An instruction has to be published; which rerankers there are, no catalog knows.
        """
        ...

    def publish_instruction(self, tenant: str, name: str, text: str) -> Instruction:
        """The next version of this name; the same text as the newest version publishes nothing new."""
        ...

    def instruction(self, tenant: str, name: str, version: int | None = None) -> Instruction:
        """This version, or the newest."""
        ...

    def instructions(self, tenant: str) -> Sequence[Instruction]:
        """All versions, by name and version."""
        ...
