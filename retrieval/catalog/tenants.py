"""Who are the tenants, and who of them may search what another one owns? The contract.

A grant lets a tenant search one collection of another, and nothing else: not write, not list, not read whole documents.
It ends with the collection, so that one that is made anew under the same name is nobody's but its owner's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import TENANT_NAME_PATTERN
from winnow.retrieval.tenancy import Actor, TenantName

_NAME: Final = re.compile(TENANT_NAME_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One of those who share a deployment and do not see each other."""

    name: TenantName
    created_at: datetime  # UTC
    disabled_at: datetime | None = None  # UTC; from then on none of its keys is accepted, and its grants rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The right of `reader` to search a collection of `owner`, which `reader` calls `owner/collection`."""

    owner: TenantName
    collection: str
    reader: TenantName
    created_at: datetime  # UTC


def unstored_grant(owner: TenantName, collection: str, reader: str) -> Grant:
    """Looks like a grant to an existing tenant, so that the owner does not learn that `reader` is none."""
    return Grant(owner=owner, collection=collection, reader=TenantName(reader), created_at=datetime.now(UTC))


class Tenants(Protocol):
    """Makes tenants and tells of them. Raises `TenantNotFound`, `TenantExists`. Every change is in the audit log."""

    def tenants(self) -> Sequence[Tenant]:
        """By name."""
        ...

    def tenant(self, name: str) -> Tenant: ...

    def make(self, name: str, *, by: Actor) -> Tenant:
        """Raises `InvalidRequest` where this cannot be a tenant's name."""
        ...

    def disable(self, name: str, *, by: Actor) -> Tenant:
        """Nothing of it is removed."""
        ...

    def enable(self, name: str, *, by: Actor) -> Tenant:
        """It goes on as before."""
        ...


class Grants(Protocol):
    """Gives and takes back the right to search. Every change is in the audit log."""

    def give(self, owner: TenantName, collection: str, reader: str, *, by: Actor) -> Grant:
        """Given again it stays as it was. Raises `CollectionNotFound`, `InvalidRequest`.

        Whether there is such a reader is not looked up: the owner would learn who else is here.
        """
        ...

    def take_back(self, owner: TenantName, collection: str, reader: str, *, by: Actor) -> None:
        """Raises `GrantNotFound`."""
        ...

    def given(self, owner: TenantName) -> Sequence[Grant]:
        """By collection and reader."""
        ...

    def received(self, reader: TenantName) -> Sequence[Grant]:
        """By owner and collection."""
        ...


def checked_tenant(name: str) -> TenantName:
    """This text as the name of a tenant that is to be. Raises `InvalidRequest`."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} cannot be a tenant's name; names match {TENANT_NAME_PATTERN}")
    return TenantName(name)
