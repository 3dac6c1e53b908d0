"""Keys, grants, tenants and the audit log over HTTP: parse, call, render."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.new_keys import issue_key
from winnow.api.http.auth import AuthorizedRoute, Caller, parts_of
from winnow.api.http.routes.collections import Name
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.access import (
    AuditResponse,
    CreatedTenantResponse,
    GivenResponse,
    GrantsResponse,
    IssuedResponse,
    KeyBody,
    KeyResponse,
    KeysResponse,
    RotateBody,
    TenantBody,
    TenantChange,
    TenantResponse,
    TenantsResponse,
    audit_response,
    created_tenant_response,
    given_response,
    grants_response,
    issued_response,
    key_response,
    keys_response,
    tenant_response,
    tenants_response,
)
from winnow.api.schemas.collections import DeletedResponse, deleted_response
from winnow.api.tenancy.access import Principal
from winnow.retrieval.catalog.keys import TENANT_SCOPES, KeyScope, KeyWish
from winnow.retrieval.catalog.tenants import Grant, unstored_grant
from winnow.retrieval.errors import NotPermitted, TenantNotFound
from winnow.retrieval.limits import AUDIT_ENTRIES_MAX, TENANT_NAME_PATTERN

FIRST_KEY: Final = KeyWish(scopes=TENANT_SCOPES, note="first key")
PAGE_DEFAULT: Final = 100  # entries

TenantInPath = Annotated[str, Path(pattern=TENANT_NAME_PATTERN)]
router = APIRouter(responses=PROBLEMS, route_class=AuthorizedRoute)


@router.get("/v1/keys", response_model=KeysResponse, tags=["keys"], summary="List the tenant's keys")
async def list_keys(caller: Caller, request: Request) -> Response:
    """List the tenant's keys without their secrets, which are not stored; includes expired and revoked keys."""
    keys = await asyncio.to_thread(parts_of(request).disk.catalog.keys.keys, caller.tenant)
    return JsonResponse(keys_response(keys, datetime.now(UTC)))


@router.post("/v1/keys", response_model=IssuedResponse, status_code=201, tags=["keys"], summary="Create a key")
async def make_key(body: KeyBody, caller: Caller, request: Request) -> Response:
    """Create a key of the caller's tenant. `key` is shown only now; it may have scopes that the caller lacks."""
    wish = body.wish()
    _refuse_new_operator(caller, wish.scopes)
    issued = await asyncio.to_thread(issue_key, parts_of(request).disk, caller.tenant, wish, by=caller.actor)
    return JsonResponse(issued_response(issued), status=201)


@router.post(
    "/v1/keys/{key_id}/rotate", response_model=IssuedResponse, status_code=201, tags=["keys"], summary="Replace a key"
)
async def rotate_key(key_id: str, caller: Caller, request: Request, body: RotateBody | None = None) -> Response:
    """Create a key with the same scopes; the old key stays valid for `overlap_seconds`."""
    keys = parts_of(request).disk.catalog.keys
    overlap = timedelta(seconds=(body or RotateBody()).overlap_seconds)
    _refuse_new_operator(caller, await asyncio.to_thread(_scopes_of, request, caller, key_id))
    issued = await asyncio.to_thread(keys.rotate, caller.tenant, key_id, overlap=overlap, by=caller.actor)
    return JsonResponse(issued_response(issued), status=201)


@router.delete("/v1/keys/{key_id}", response_model=KeyResponse, tags=["keys"], summary="Revoke a key")
async def revoke_key(key_id: str, caller: Caller, request: Request) -> Response:
    """Revoke a key for good, within a second in every process. It stays in the list."""
    _refuse_new_operator(caller, await asyncio.to_thread(_scopes_of, request, caller, key_id))
    revoked = await asyncio.to_thread(
        parts_of(request).disk.catalog.keys.revoke, caller.tenant, key_id, by=caller.actor
    )
    return JsonResponse(key_response(revoked, datetime.now(UTC)))


@router.get("/v1/grants", response_model=GrantsResponse, tags=["grants"], summary="List grants, given and received")
async def list_grants(caller: Caller, request: Request) -> Response:
    """List grants. A grant lets another tenant search a collection, and nothing else."""
    grants = parts_of(request).disk.catalog.grants
    given = await asyncio.to_thread(grants.given, caller.tenant)
    return JsonResponse(grants_response(given, await asyncio.to_thread(grants.received, caller.tenant)))


@router.put(
    "/v1/collections/{name}/grants/{reader}",
    response_model=GivenResponse,
    tags=["grants"],
    summary="Let another tenant search a collection",
)
async def give_grant(name: Name, reader: TenantInPath, caller: Caller, request: Request) -> Response:
    """Grant a collection, which the reader searches as OWNER/NAME. Unknown readers get the same answer, unstored."""
    return JsonResponse(given_response(await asyncio.to_thread(_give, parts_of(request).disk, caller, name, reader)))


@router.delete(
    "/v1/collections/{name}/grants/{reader}",
    response_model=DeletedResponse,
    tags=["grants"],
    summary="Revoke a grant",
)
async def take_grant_back(name: Name, reader: TenantInPath, caller: Caller, request: Request) -> Response:
    """Revoke a grant, from the next search on."""
    grants = parts_of(request).disk.catalog.grants
    await asyncio.to_thread(grants.take_back, caller.tenant, name, reader, by=caller.actor)
    return JsonResponse(deleted_response(reader))


@router.get("/v1/audit", response_model=AuditResponse, tags=["audit"], summary="Read the audit log")
async def list_audit(
    caller: Caller,
    request: Request,
    *,
    limit: Annotated[int, Query(ge=1, le=AUDIT_ENTRIES_MAX)] = PAGE_DEFAULT,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only entries with a lower number.")] = None,
) -> Response:
    """Return the audit log of the caller's tenant, or of all tenants for an operator; newest first."""
    whose = None if caller.is_operator else caller.tenant
    audit = parts_of(request).disk.catalog.audit
    entries = await asyncio.to_thread(audit.entries, tenant=whose, limit=limit, before=before)
    return JsonResponse(audit_response(entries, limit=limit))


@router.get("/v1/tenants", response_model=TenantsResponse, tags=["tenants"], summary="List tenants")
async def list_tenants(request: Request) -> Response:
    """List all tenants, by name."""
    return JsonResponse(tenants_response(await asyncio.to_thread(parts_of(request).disk.catalog.tenants.tenants)))


@router.post(
    "/v1/tenants", response_model=CreatedTenantResponse, status_code=201, tags=["tenants"], summary="Create a tenant"
)
async def make_tenant(body: TenantBody, caller: Caller, request: Request) -> Response:
    """Create a tenant with its first key, which has all scopes within it and is shown only now."""
    disk = parts_of(request).disk
    made = await asyncio.to_thread(disk.catalog.tenants.make, body.name, by=caller.actor)
    issued = await asyncio.to_thread(disk.catalog.keys.make, made.name, FIRST_KEY, by=caller.actor)
    return JsonResponse(created_tenant_response(made, issued), status=201)


@router.patch(
    "/v1/tenants/{name}", response_model=TenantResponse, tags=["tenants"], summary="Disable or enable a tenant"
)
async def change_tenant(name: TenantInPath, body: TenantChange, caller: Caller, request: Request) -> Response:
    """Disable or enable a tenant. While disabled, its keys are refused and its grants suspended; its data stays."""
    if body.disabled and name == caller.tenant:
        raise NotPermitted("you cannot disable the tenant of your own key")
    tenants = parts_of(request).disk.catalog.tenants
    changed = await asyncio.to_thread(tenants.disable if body.disabled else tenants.enable, name, by=caller.actor)
    return JsonResponse(tenant_response(changed))


@router.post(
    "/v1/tenants/{name}/keys",
    response_model=IssuedResponse,
    status_code=201,
    tags=["tenants"],
    summary="Create a key for a tenant",
)
async def make_key_of_tenant(name: TenantInPath, body: KeyBody, caller: Caller, request: Request) -> Response:
    """Create a key for a tenant that has lost its own."""
    disk = parts_of(request).disk
    tenant = await asyncio.to_thread(disk.catalog.tenants.tenant, name)
    issued = await asyncio.to_thread(issue_key, disk, tenant.name, body.wish(), by=caller.actor)
    return JsonResponse(issued_response(issued), status=201)


def _give(disk: DataFolder, caller: Principal, name: str, reader: str) -> Grant:
    """Grant the collection. Blocks."""
    try:
        disk.catalog.tenants.tenant(reader)
    except TenantNotFound:
        owned = disk.catalog.collections.get(caller.tenant, name)
        return unstored_grant(owned.tenant, name, reader)
    return disk.catalog.grants.give(caller.tenant, name, reader, by=caller.actor)


def _scopes_of(request: Request, caller: Principal, key_id: str) -> frozenset[KeyScope]:
    """Return the scopes of a key of the caller's tenant; none if missing, which the change reports. Blocks."""
    keys = parts_of(request).disk.catalog.keys.keys(caller.tenant)
    return next((each.scopes for each in keys if each.id == key_id), frozenset())


def _refuse_new_operator(caller: Principal, scopes: frozenset[KeyScope]) -> None:
    """Refuse: administering a tenant does not include operating the deployment. Raises `NotPermitted`."""
    if KeyScope.OPERATOR in scopes:
        caller.require(KeyScope.OPERATOR)
