"""How much may a tenant use? The limits, where they are kept, and what was used. The contract.

Rule 1: None is "as the deployment has it", 0 is "no limit". Rule 2: what is counted by the minute is counted by each
process for itself; what is stored is counted where it lies, for all processes together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from enum import StrEnum
from typing import Final, Protocol

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName

LIMIT_MAX: Final = 2**53  # beyond it JSON's readers round
WEIGHT_MIN: Final = 0.01
WEIGHT_MAX: Final = 100.0


class Limit(StrEnum):
    """The name of a limit, as settings, answers and metrics have it."""

    REQUESTS = "requests_per_minute"
    TOKENS = "rerank_tokens_per_minute"
    CONCURRENT = "concurrent_requests"
    DOCUMENTS = "documents"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """What holds for one tenant, or for all that have nothing of their own. Raises `InvalidRequest`."""

    requests_per_minute: int | None = None
    rerank_tokens_per_minute: int | None = None  # tokens that a reranker computed
    concurrent_requests: int | None = None  # answered at once by one process
    documents: int | None = None  # in all collections together
    bytes: int | None = None  # on the disk, vectors and indexes included
    weight: float | None = None  # of its share of the reranker; 1 unless it says so

    def __post_init__(self) -> None:
        for name in Limit:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= LIMIT_MAX:
                raise InvalidRequest(f"{name} = {value}: it is not between 0 and {LIMIT_MAX}; 0 is no limit")
        if self.weight is not None and not WEIGHT_MIN <= self.weight <= WEIGHT_MAX:
            raise InvalidRequest(f"weight = {self.weight}: it is not between {WEIGHT_MIN} and {WEIGHT_MAX}")

    def over(self, defaults: TenantLimits) -> TenantLimits:
        """These, and the defaults where these say nothing."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(defaults, **{name: value for name, value in own.items() if value is not None})

    def of(self, limit: Limit) -> int | None:
        """The number, or None where there is no limit."""
        value: int | None = getattr(self, limit)
        return value or None


class LimitBook(Protocol):
    """Where the limits are kept that tenants have of their own."""

    def limits(self) -> Mapping[str, TenantLimits]:
        """Of every tenant that has any."""
        ...

    def set_limits(self, tenant: TenantName, limits: TenantLimits, *, by: Actor = COMMAND_LINE) -> None:
        """In place of what it had. The change is in the audit log."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a collection holds, or will hold once its writer is done."""

    documents: int = 0
    bytes: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(documents=self.documents + other.documents, bytes=self.bytes + other.bytes)

    def __or__(self, other: Held) -> Held:
        """The larger of both, each by itself."""
        return Held(documents=max(self.documents, other.documents), bytes=max(self.bytes, other.bytes))

    def of(self, limit: Limit) -> int:
        return self.documents if limit is Limit.DOCUMENTS else self.bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservations:
    """What the writers of one tenant have reserved."""

    turn: int  # moves with every reservation
    held: Mapping[str, Held]  # by collection


class ReservationBook(Protocol):
    """Where room is reserved before it is written to, for all processes together."""

    def reservations(self, tenant: TenantName) -> Reservations: ...

    def reserve(self, tenant: TenantName, collection: str, held: Held, *, turn: int) -> bool:
        """In place of an earlier one of the collection; False, and nothing is changed, where the turn has moved."""
        ...

    def release(self, tenant: TenantName, collection: str) -> None:
        """Where there is none, that is right, too."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one tenant used on one day, or in a part of it."""

    tenant: str
    day: date  # UTC
    requests: int = 0  # that were let in
    searches: int = 0  # that were answered
    rerank_documents: int = 0  # that a reranker judged
    rerank_remembered: int = 0  # that had been judged before, at no cost
    rerank_tokens: int = 0  # computed
    embedded_tokens: int = 0  # computed, of queries and documents
    documents_written: int = 0
    bytes_written: int = 0  # UTF-8, of their titles and texts

    def __add__(self, other: Usage) -> Usage:
        """Of the same tenant and day."""
        assert (self.tenant, self.day) == (other.tenant, other.day), "what belongs to two is no sum. This is a bug."
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in AMOUNTS})


AMOUNTS: Final = tuple(each.name for each in fields(Usage) if each.name not in {"tenant", "day"})


class UsageBook(Protocol):
    """Where usage is added up."""

    def add(self, used: Iterable[Usage]) -> None:
        """To what was there: all of it, or nothing."""
        ...

    def usage(self, *, since: date, until: date, tenant: str | None = None) -> Sequence[Usage]:
        """Both days included; by day and tenant. None is every tenant."""
        ...
