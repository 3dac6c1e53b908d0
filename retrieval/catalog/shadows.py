"""What is a shadow of an instruction, what does comparing with it tell, and where is that kept: the contract.

A shadow is a version that some of a tenant's live searches are judged under a second time, after they were answered:
nobody sees its order, but how it differs is kept, by pair of versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from winnow.retrieval.tenancy import Actor, TenantName

ORDER_PLACES_MAX: Final = 20  # of each order that is kept
COMPARISONS_PER_PAIR_MAX: Final = 10_000  # the newest ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """Which searches are judged a second time, and under what. A tenant has at most one of a name."""

    tenant: TenantName
    name: str  # of the instruction that judges in the shadow
    version: int  # of it; a draft, usually
    live: str  # NAME or NAME@VERSION: searches that were answered under this
    share: float  # of those searches, in [0, 1]
    collection: str | None = None  # None is all of the tenant's own
    keep_queries: bool = False  # their texts, not only the SHA-256 of them
    started_at: datetime  # UTC

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPair:
    """What was compared. A draft may be edited meanwhile: what it said is a part of that."""

    live: str  # NAME@VERSION
    shadow: str  # likewise
    text_sha256: str  # of the shadow's text, before its variables have values


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How much two orders of one query's candidates have in common."""

    overlap: float  # of the first ten places, in [0, 1]
    tau: float | None  # Kendall's tau-b of all scores, in [-1, 1]; None where one of both ties everything
    rbo: float  # rank-biased overlap of all places, in [0, 1]
    top_changed: bool  # another candidate stands first


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A chunk, by its document and its number in it."""

    document_id: str
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One search, judged twice."""

    tenant: TenantName
    name: str  # of the shadow
    pair: VersionPair
    collection: str
    at: datetime  # UTC; when it was judged the second time
    query_sha256: str
    query: str | None  # None unless the shadow keeps queries
    candidates: int  # that were judged twice
    live_order: tuple[Place, ...]  # best first, the first `ORDER_PLACES_MAX`
    shadow_order: tuple[Place, ...]
    agreement: Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a report needs of every comparison."""

    number: int  # which one; later ones have larger numbers
    pair: VersionPair
    agreement: Agreement


class ShadowBook(Protocol):
    """The shadows of all tenants, and what came of them. What a call has returned is on the disk.

    Every name is looked up within a tenant. What starts and ends a shadow is in the audit log.
    """

    def start(self, shadow: Shadow, *, by: Actor) -> None:
        """In place of the tenant's shadow of this name, if there is one."""
        ...

    def stop(self, tenant: TenantName, name: str, *, forget: bool = False, by: Actor) -> None:
        """What came of it stays, unless it is to be forgotten. Raises `InstructionNotFound` where there is nothing."""
        ...

    def promoted(self, tenant: TenantName, name: str, version: int, *, by: Actor) -> None:
        """This version is what the name means now: its shadow, if it has one, ends."""
        ...

    def shadows(self, tenant: TenantName | None = None) -> Sequence[Shadow]:
        """Of a tenant, or of all, by tenant and name."""
        ...

    def add(self, comparisons: Iterable[Comparison]) -> None:
        """All or none of them. Beyond `COMPARISONS_PER_PAIR_MAX` of a pair of versions the oldest go."""
        ...

    def outcomes(self, tenant: TenantName, name: str) -> Sequence[Outcome]:
        """In the order in which they were added."""
        ...

    def comparisons(self, tenant: TenantName, name: str, numbers: Sequence[int]) -> Sequence[Comparison]:
        """Those of these numbers, in their order; what is not there (any more), or another's, is passed over."""
        ...
