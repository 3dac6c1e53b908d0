"""Shadows of instructions and their comparisons: their records and rules.

A shadow is a version with which some of a tenant's live searches are reranked a second time, after they were answered.
Its order is shown to no caller; how it differs is stored, per pair of versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from winnow.retrieval.tenancy import TenantName

ORDER_PLACES_MAX: Final = 20  # stored places of each order
COMPARISONS_PER_PAIR_MAX: Final = 10_000  # the newest are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A shadow and the searches it covers. A tenant has at most one shadow per name."""

    tenant: TenantName
    name: str  # of the instruction in the shadow
    version: int  # its version; usually a draft
    live: str  # NAME or NAME@VERSION: covers searches answered with this
    share: float  # of those searches, in [0, 1]
    collection: str | None = None  # None means all of the tenant's own
    keep_queries: bool = False  # store query texts, not only their SHA-256
    started_at: datetime  # UTC

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPair:
    """The compared versions. A draft may be edited meanwhile, so its text is part of the identity."""

    live: str  # NAME@VERSION
    shadow: str  # likewise
    text_sha256: str  # of the shadow's text, before its variables have values, and of fields that both read


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How similar two orders of one query's candidates are."""

    overlap: float  # of the first ten places, in [0, 1]
    tau: float | None  # Kendall's tau-b of all scores, in [-1, 1]; None if one order ties everything
    rbo: float  # rank-biased overlap of all places, in [0, 1]
    top_changed: bool  # the first candidate differs


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A chunk, by its document and its position in it."""

    document_id: str
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One search, reranked twice."""

    tenant: TenantName
    name: str  # of the shadow
    pair: VersionPair
    collection: str
    at: datetime  # UTC; time of the second reranking
    query_sha256: str
    query: str | None  # None unless the shadow keeps queries
    candidates: int  # candidates reranked twice
    live_order: tuple[Place, ...]  # best first, the first `ORDER_PLACES_MAX`
    shadow_order: tuple[Place, ...]
    agreement: Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The part of a comparison that a report needs."""

    number: int  # number of the comparison; ascending in time
    pair: VersionPair
    agreement: Agreement
