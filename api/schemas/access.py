"""Bodies for tenants, keys, grants and the audit log, for HTTP and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool

from winnow.api.fields import Number, Strict
from winnow.retrieval.catalog.audit import AuditEntry
from winnow.retrieval.catalog.keys import ApiKey, IssuedKey, KeyScope, KeyWish
from winnow.retrieval.catalog.tenants import Grant, Tenant
from winnow.retrieval.limits import KEY_DAYS_MAX, KEY_NOTE_CHARACTERS_MAX, TENANT_NAME_PATTERN


class KeyResponse(BaseModel):
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


class KeysResponse(BaseModel):
    """All keys of a tenant, including invalid ones."""

    keys: list[KeyResponse]


class IssuedResponse(KeyResponse):
    """A new key."""

    key: str  # the text that clients send; shown once, and stored nowhere


class GivenResponse(BaseModel):
    """A grant, as its owner sees it."""

    collection: str
    tenant: str
    created_at: datetime


class ReceivedResponse(BaseModel):
    """A grant, as its reader sees it."""

    collection: str  # `owner/name`, the name for searches
    created_at: datetime


class GrantsResponse(BaseModel):
    """A tenant's grants, given and received."""

    given: list[GivenResponse]
    received: list[ReceivedResponse]


class TenantResponse(BaseModel):
    """A tenant."""

    name: str
    created_at: datetime
    disabled_at: datetime | None


class MadeTenantResponse(TenantResponse):
    """A new tenant with its first key."""

    key: IssuedResponse


class TenantsResponse(BaseModel):
    """All tenants of the deployment."""

    tenants: list[TenantResponse]


class AuditEntryResponse(BaseModel):
    """One administrative action."""

    number: int
    at: datetime
    actor: str
    action: str
    tenant: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditResponse(BaseModel):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryResponse]
    next_before: int | None  # `before` for the next page; null if there is none


def key_response(key: ApiKey, now: datetime) -> dict[str, Any]:
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


def issued_response(issued: IssuedKey) -> dict[str, Any]:
    return key_response(issued.key, issued.key.created_at) | {"key": issued.text}


def keys_response(keys: Sequence[ApiKey], now: datetime) -> dict[str, Any]:
    return {"keys": [key_response(each, now) for each in keys]}


def given_response(grant: Grant) -> dict[str, Any]:
    return {"collection": grant.collection, "tenant": grant.reader, "created_at": grant.created_at}


def grants_response(given: Sequence[Grant], received: Sequence[Grant]) -> dict[str, Any]:
    return {
        "given": [given_response(each) for each in given],
        "received": [
            {"collection": f"{each.owner}/{each.collection}", "created_at": each.created_at} for each in received
        ],
    }


def tenant_response(tenant: Tenant) -> dict[str, Any]:
    return {"name": tenant.name, "created_at": tenant.created_at, "disabled_at": tenant.disabled_at}


def tenants_response(tenants: Sequence[Tenant]) -> dict[str, Any]:
    return {"tenants": [tenant_response(each) for each in tenants]}


def audit_response(entries: Sequence[AuditEntry], *, limit: int) -> dict[str, Any]:
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


OVERLAP_SECONDS_DEFAULT = 3_600  # longer than the deployment of a client with the new key takes
SECONDS_A_DAY = 86_400

Scopes = Annotated[
    frozenset[Literal[KeyScope.SEARCH, KeyScope.WRITE, KeyScope.ADMIN, KeyScope.OPERATOR]],
    Field(
        min_length=1,
        description="What the key may do. Scopes are independent. Only operators can create operator keys.",
    ),
]
Note = Annotated[str, Field(max_length=KEY_NOTE_CHARACTERS_MAX, description="Purpose of the key.")]
Lifetime = Annotated[
    float | None,
    Field(gt=0, le=KEY_DAYS_MAX, description="Days until the key expires. Default: never."),
    Number,
]


class KeyBody(Strict):
    """POST /v1/keys"""

    scopes: Scopes = frozenset({KeyScope.SEARCH})
    note: Note = ""
    expires_in_days: Lifetime = None

    def wish(self) -> KeyWish:
        lifetime = None if self.expires_in_days is None else timedelta(days=self.expires_in_days)
        return KeyWish(scopes=frozenset(self.scopes), lifetime=lifetime, note=self.note)


class RotateBody(Strict):
    """POST /v1/keys/ID/rotate"""

    overlap_seconds: Annotated[
        int,
        Field(ge=0, le=KEY_DAYS_MAX * SECONDS_A_DAY, description="Seconds that the old key stays valid."),
        Number,
    ] = OVERLAP_SECONDS_DEFAULT


class TenantBody(Strict):
    """POST /v1/tenants"""

    name: Annotated[str, Field(pattern=TENANT_NAME_PATTERN, examples=["library"])]


class TenantChange(Strict):
    """PATCH /v1/tenants/NAME"""

    disabled: StrictBool
