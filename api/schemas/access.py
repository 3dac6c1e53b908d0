"""Requests and answers about tenants, keys, grants and the audit log. The command line prints the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from winnow.api.fields import InstructionText, Number, SearchedName, Strict
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.catalog.audit import AuditEntry
from winnow.retrieval.catalog.keys import ApiKey, IssuedKey, KeyDefaults, KeyScope, KeyStanding, KeyWish
from winnow.retrieval.catalog.tenants import Grant, Tenant
from winnow.retrieval.limits import KEY_DAYS_MAX, KEY_NOTE_CHARACTERS_MAX, TENANT_NAME_PATTERN


class KeyResponse(JsonObject):
    """An API key, without its secret."""

    id: str
    tenant: str
    scopes: list[KeyScope]
    standing: KeyStanding
    created_at: datetime
    expires_at: Annotated[datetime | None, Field(description="null if the key never expires.")]
    revoked_at: datetime | None
    last_used_at: datetime | None
    note: str
    instruction: Annotated[str | None, Field(description="Applied where a request has none.")]
    collection: Annotated[str | None, Field(description="Searched where a request names none.")]


class KeysResponse(JsonObject):
    """All keys of a tenant, including expired and revoked ones."""

    keys: list[KeyResponse]


class IssuedResponse(KeyResponse):
    """A new key."""

    key: Annotated[str, Field(description="The key that callers send. Only this answer shows it.")]


class GivenResponse(JsonObject):
    """A grant, as its owner sees it."""

    collection: str
    tenant: Annotated[str, Field(description="Tenant that may search the collection.")]
    created_at: datetime


class ReceivedResponse(JsonObject):
    """A grant, as its reader sees it."""

    collection: Annotated[str, Field(description="OWNER/NAME, as in a search.")]
    created_at: datetime


class GrantsResponse(JsonObject):
    """The grants of a tenant."""

    given: list[GivenResponse]
    received: list[ReceivedResponse]


class TenantResponse(JsonObject):
    """A tenant."""

    name: str
    created_at: datetime
    disabled_at: Annotated[datetime | None, Field(description="null if the tenant is enabled.")]


class CreatedTenantResponse(TenantResponse):
    """A new tenant and its first key."""

    key: IssuedResponse


class TenantsResponse(JsonObject):
    """All tenants of the deployment."""

    tenants: list[TenantResponse]


class AuditEntryResponse(JsonObject):
    """One administrative action."""

    number: int
    at: datetime
    actor: str
    action: Annotated[str, Field(description="Noun and verb, such as key.create.")]
    tenant: Annotated[str, Field(description="Owner of what was changed.")]
    subject: Annotated[str, Field(description="What was changed: a key's id, a collection's name ...")]
    before: Annotated[Mapping[str, Any] | None, Field(description="null if it did not exist.")]
    after: Annotated[Mapping[str, Any] | None, Field(description="null if it no longer exists.")]


class AuditResponse(JsonObject):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryResponse]
    next_before: Annotated[int | None, Field(description="`before` of the next page; null on the last page.")]


def key_response(key: ApiKey, now: datetime) -> KeyResponse:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "standing": key.standing(now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "note": key.note,
        "instruction": key.defaults.instruction,
        "collection": key.defaults.collection,
    }


def issued_response(issued: IssuedKey) -> IssuedResponse:
    return {**key_response(issued.key, issued.key.created_at), "key": issued.text}


def keys_response(keys: Sequence[ApiKey], now: datetime) -> KeysResponse:
    return {"keys": [key_response(each, now) for each in keys]}


def given_response(grant: Grant) -> GivenResponse:
    return {"collection": grant.collection, "tenant": grant.reader, "created_at": grant.created_at}


def grants_response(given: Sequence[Grant], received: Sequence[Grant]) -> GrantsResponse:
    return {
        "given": [given_response(each) for each in given],
        "received": [
            {"collection": f"{each.owner}/{each.collection}", "created_at": each.created_at} for each in received
        ],
    }


def tenant_response(tenant: Tenant) -> TenantResponse:
    return {"name": tenant.name, "created_at": tenant.created_at, "disabled_at": tenant.disabled_at}


def created_tenant_response(tenant: Tenant, issued: IssuedKey) -> CreatedTenantResponse:
    return {**tenant_response(tenant), "key": issued_response(issued)}


def tenants_response(tenants: Sequence[Tenant]) -> TenantsResponse:
    return {"tenants": [tenant_response(each) for each in tenants]}


def audit_response(entries: Sequence[AuditEntry], *, limit: int) -> AuditResponse:
    return {
        "entries": [_entry(each) for each in entries],
        "next_before": entries[-1].number if len(entries) == limit else None,
    }


def _entry(entry: AuditEntry) -> AuditEntryResponse:
    return {
        "number": entry.number,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "tenant": entry.tenant,
        "subject": entry.subject,
        "before": entry.before,
        "after": entry.after,
    }


OVERLAP_SECONDS_DEFAULT = 3_600  # enough to deploy the new key to every client
SECONDS_A_DAY = 86_400

Scopes = Annotated[
    frozenset[Literal[KeyScope.SEARCH, KeyScope.WRITE, KeyScope.ADMIN, KeyScope.OPERATOR]],
    Field(
        min_length=1, description="What the key may do. Scopes are independent. Only an operator may grant `operator`."
    ),
]
Note = Annotated[str, Field(max_length=KEY_NOTE_CHARACTERS_MAX, description="What the key is for.")]
Lifetime = Annotated[
    float | None,
    Field(gt=0, le=KEY_DAYS_MAX, description="Days until the key expires. null or left out: never."),
    Number,
]


class KeyBody(Strict):
    """POST /v1/keys"""

    scopes: Scopes = frozenset({KeyScope.SEARCH})
    note: Note = ""
    expires_in_days: Lifetime = None
    instruction: InstructionText | None = Field(
        default=None, description="Applied where a request has none: a text, or NAME or NAME@VERSION of the library."
    )
    collection: SearchedName | None = Field(default=None, description="Searched where a request names none.")

    def wish(self) -> KeyWish:
        lifetime = None if self.expires_in_days is None else timedelta(days=self.expires_in_days)
        return KeyWish(scopes=frozenset(self.scopes), lifetime=lifetime, note=self.note, defaults=self.defaults)

    @property
    def defaults(self) -> KeyDefaults:
        return KeyDefaults(instruction=self.instruction, collection=self.collection)


class RotateBody(Strict):
    """POST /v1/keys/ID/rotate"""

    overlap_seconds: Annotated[
        int,
        Field(ge=0, le=KEY_DAYS_MAX * SECONDS_A_DAY, description="Seconds for which the old key remains valid."),
        Number,
    ] = OVERLAP_SECONDS_DEFAULT


class TenantBody(Strict):
    """POST /v1/tenants"""

    name: Annotated[str, Field(pattern=TENANT_NAME_PATTERN, examples=["library"])]


class TenantChange(Strict):
    """PATCH /v1/tenants/NAME"""

    disabled: StrictBool
