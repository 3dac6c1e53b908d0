"""Tenants, and grants to search another tenant's collections: their records and rules.

A grant lets a tenant search one collection of another, and nothing else: no writing, no listing, no whole documents.
It ends with the collection; a new collection of the same name belongs to its owner alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import TENANT_NAME_PATTERN
from winnow.retrieval.tenancy import TenantName

_NAME: Final = re.compile(TENANT_NAME_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A party that shares a deployment with others without seeing them."""

    name: TenantName
    created_at: datetime  # UTC
    disabled_at: datetime | None = None  # UTC; while disabled, its keys are refused and its grants suspended


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The right of `reader` to search a collection of `owner`, which `reader` calls `owner/collection`."""

    owner: TenantName
    collection: str
    reader: TenantName
    created_at: datetime  # UTC


def unstored_grant(owner: TenantName, collection: str, reader: str) -> Grant:
    """Return what a grant to an existing tenant looks like, so the owner does not learn whether `reader` exists."""
    return Grant(owner=owner, collection=collection, reader=TenantName(reader), created_at=datetime.now(UTC))


def checked_tenant(name: str) -> TenantName:
    """Check the name of a new tenant. Raises `InvalidRequest`."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is not a valid tenant name; names match {TENANT_NAME_PATTERN}")
    return TenantName(name)
