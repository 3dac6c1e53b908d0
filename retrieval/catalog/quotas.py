"""Tenant limits and usage: the contract of where they are kept.

Rule 1: None means the deployment's default, 0 means no limit. Rule 2: limits per minute are counted per process; stored
amounts are counted on the disk, for all processes together.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from enum import StrEnum
from typing import Final, Protocol

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName

LIMIT_MAX: Final = 2**53  # beyond it JSON readers round
WEIGHT_MIN: Final = 0.01
WEIGHT_MAX: Final = 100.0


class Limit(StrEnum):
    """The name of a limit in settings, answers and metrics."""

    REQUESTS = "requests_per_minute"
    TOKENS = "rerank_tokens_per_minute"
    CONCURRENT = "concurrent_requests"
    DOCUMENTS = "documents"
    BYTES = "bytes"


class CountedBy(StrEnum):
    """What counts towards a limit, where several processes serve one data folder."""

    PROCESS = "process"  # each process counts what it answers: N processes allow N times as much
    ALL = "all"  # what all processes have stored together


COUNTED_BY: Final = {
    Limit.REQUESTS: CountedBy.PROCESS,
    Limit.TOKENS: CountedBy.PROCESS,
    Limit.CONCURRENT: CountedBy.PROCESS,
    Limit.DOCUMENTS: CountedBy.ALL,
    Limit.BYTES: CountedBy.ALL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """The limits of one tenant, or the defaults for all. Raises `InvalidRequest`."""

    requests_per_minute: int | None = None
    rerank_tokens_per_minute: int | None = None  # tokens computed by a reranker
    concurrent_requests: int | None = None  # requests in one process at a time
    documents: int | None = None  # in all collections together
    bytes: int | None = None  # on the disk, including vectors and indexes
    weight: float | None = None  # weight of its share of the reranker; 1 by default

    def __post_init__(self) -> None:
        for name in Limit:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= LIMIT_MAX:
                raise InvalidRequest(f"{name} = {value} is not between 0 and {LIMIT_MAX}; 0 means no limit")
        if self.weight is not None and not WEIGHT_MIN <= self.weight <= WEIGHT_MAX:
            raise InvalidRequest(f"weight = {self.weight} is not between {WEIGHT_MIN} and {WEIGHT_MAX}")

    def over(self, defaults: TenantLimits) -> TenantLimits:
        """Return these limits, completed by the defaults."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(defaults, **{name: value for name, value in own.items() if value is not None})

    def of(self, limit: Limit) -> int | None:
        """Return the number, or None for no limit."""
        value: int | None = getattr(self, limit)
        return value or None


class LimitBook(Protocol):
    """Stores the limits that tenants have of their own."""

    def limits(self) -> Mapping[str, TenantLimits]:
        """Return the limits of every tenant that has any."""
        ...

    def set_limits(self, tenant: TenantName, limits: TenantLimits, *, by: Actor = COMMAND_LINE) -> None:
        """Replace the tenant's limits. The change is in the audit log."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a collection holds, or will hold when its writer is done."""

    documents: int = 0
    bytes: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(documents=self.documents + other.documents, bytes=self.bytes + other.bytes)

    def __or__(self, other: Held) -> Held:
        """Return the maximum of both amounts, each separately."""
        return Held(documents=max(self.documents, other.documents), bytes=max(self.bytes, other.bytes))

    def of(self, limit: Limit) -> int:
        return self.documents if limit is Limit.DOCUMENTS else self.bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservations:
    """The reservations of a tenant's writers."""

    turn: int  # increases with every reservation
    held: Mapping[str, Held]  # by collection


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one tenant used on one day, or part of it."""

    tenant: str
    day: date  # UTC
    requests: int = 0  # admitted requests
    searches: int = 0  # answered searches
    rerank_documents: int = 0  # documents scored by a reranker
    rerank_remembered: int = 0  # documents with a cached score, at no cost
    rerank_tokens: int = 0  # computed
    embedded_tokens: int = 0  # computed, of queries and documents
    documents_written: int = 0
    bytes_written: int = 0  # UTF-8, of their titles and texts

    def __add__(self, other: Usage) -> Usage:
        """Add usage of the same tenant and day."""
        assert (self.tenant, self.day) == (other.tenant, other.day), "usage of the same tenant and day. This is a bug."
        sums = map(operator.add, _amounts(self), _amounts(other))
        return Usage(tenant=self.tenant, day=self.day, **dict(zip(AMOUNTS, sums, strict=True)))


AMOUNTS: Final = tuple(each.name for each in fields(Usage) if each.name not in {"tenant", "day"})
_amounts: Final[Callable[[Usage], tuple[int, ...]]] = operator.attrgetter(*AMOUNTS)


class UsageBook(Protocol):
    """Accumulates usage."""

    def add(self, used: Iterable[Usage]) -> None:
        """Add usage, all of it or none."""
        ...

    def usage(self, *, since: date, until: date, tenant: str | None = None) -> Sequence[Usage]:
        """Return usage by day and tenant, both days included; None means every tenant."""
        ...
