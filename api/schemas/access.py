"""How are tenants, keys, grants and the audit log told? The same over HTTP and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from winnow.retrieval.catalog.audit import AuditEntry
from winnow.retrieval.catalog.keys import ApiKey, IssuedKey
from winnow.retrieval.catalog.tenants import Grant, Tenant


class KeySaid(BaseModel):
    """An API key, without its secret."""

    id: str
    tenant: str
    scopes: list[str]
    standing: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    note: str


class KeysSaid(BaseModel):
    """All keys of a tenant, those that are accepted no longer among them."""

    keys: list[KeySaid]


class IssuedSaid(KeySaid):
    """A new key."""

    key: str  # what callers send; told once, and kept nowhere


class GivenSaid(BaseModel):
    """A grant, as its owner sees it."""

    collection: str
    tenant: str
    created_at: datetime


class ReceivedSaid(BaseModel):
    """A grant, as its reader sees it."""

    collection: str  # `owner/name`, as a search names it
    created_at: datetime


class GrantsSaid(BaseModel):
    """Both sides of a tenant's grants."""

    given: list[GivenSaid]
    received: list[ReceivedSaid]


class TenantSaid(BaseModel):
    """A tenant."""

    name: str
    created_at: datetime
    disabled_at: datetime | None


class MadeTenantSaid(TenantSaid):
    """A new tenant, and its first key."""

    key: IssuedSaid


class TenantsSaid(BaseModel):
    """All tenants of the deployment."""

    tenants: list[TenantSaid]


class AuditEntrySaid(BaseModel):
    """One administrative action."""

    number: int
    at: datetime
    actor: str
    action: str
    tenant: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditSaid(BaseModel):
    """A page of the audit log, newest first."""

    entries: list[AuditEntrySaid]
    next_before: int | None  # `before` of the next page; null where there is none


def key_said(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "standing": key.standing(now).value,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "note": key.note,
    }


def issued_said(issued: IssuedKey) -> dict[str, Any]:
    return key_said(issued.key, issued.key.created_at) | {"key": issued.text}


def keys_said(keys: Sequence[ApiKey], now: datetime) -> dict[str, Any]:
    return {"keys": [key_said(each, now) for each in keys]}


def given_said(grant: Grant) -> dict[str, Any]:
    return {"collection": grant.collection, "tenant": grant.reader, "created_at": grant.created_at}


def grants_said(given: Sequence[Grant], received: Sequence[Grant]) -> dict[str, Any]:
    return {
        "given": [given_said(each) for each in given],
        "received": [
            {"collection": f"{each.owner}/{each.collection}", "created_at": each.created_at} for each in received
        ],
    }


def tenant_said(tenant: Tenant) -> dict[str, Any]:
    return {"name": tenant.name, "created_at": tenant.created_at, "disabled_at": tenant.disabled_at}


def tenants_said(tenants: Sequence[Tenant]) -> dict[str, Any]:
    return {"tenants": [tenant_said(each) for each in tenants]}


def audit_said(entries: Sequence[AuditEntry], *, limit: int) -> dict[str, Any]:
    return {
        "entries": [
            {
                "number": each.number,
                "at": each.at,
                "actor": each.actor,
                "action": each.action,
                "tenant": each.tenant,
                "subject": each.subject,
                "before": each.before,
                "after": each.after,
            }
            for each in entries
        ],
        "next_before": entries[-1].number if len(entries) == limit else None,
    }
