"""The collections of a tenant, as the catalog keeps them. Only a `TenantName` reaches them (retrieval/tenancy.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice, check_fields
from winnow.retrieval.records import AS_RANKED, Diversity
from winnow.retrieval.tenancy import DEFAULT_TENANT, TenantName

if TYPE_CHECKING:
    from winnow.retrieval.embed.embedder import EmbedderIdentity  # the command line starts without numpy


class Keep(Enum):
    """Marks a choice as unchanged, because None already means the default."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
Choice: TypeAlias = str | Literal[Keep.KEEP] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsChange:
    """A change of the fields that are written before a text. What is kept stays as the collection has it."""

    names: Sequence[str] | Literal[Keep.KEEP] = KEEP
    tokens_max: int | Literal[Keep.KEEP] = KEEP

    def of(self, now: FieldChoice) -> FieldChoice:
        """Raises `InvalidRequest`."""
        names = now.names if self.names is KEEP else self.names
        return check_fields(names, now.tokens_max if self.tokens_max is KEEP else self.tokens_max)


KEEP_FIELDS: Final = FieldsChange()


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
    require_instruction: bool = False  # refuse searches whose reranker reads no instruction
    rerank_fields: FieldChoice = NO_CHOICE  # what the reranker reads before title and text
    embed_fields: FieldChoice = NO_CHOICE  # likewise the embedder; fixed while there are documents
    diversity: Diversity = AS_RANKED  # of searches that do not choose themselves

    @property
    def shown(self) -> str:
        """The name shown to operators: `name`, or `tenant/name` outside the default tenant."""
        return self.name if self.tenant == DEFAULT_TENANT else f"{self.tenant}/{self.name}"
