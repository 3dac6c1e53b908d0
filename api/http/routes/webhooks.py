"""Webhooks over HTTP: parse, call, render."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from winnow.api.http.auth import Caller, MeteredRoute, Tenant, parts_of
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.alerts.webhooks import (
    DELIVERIES_LISTED,
    DELIVERIES_LISTED_MAX,
    DeliveriesResponse,
    RotateWebhookBody,
    WebhookBody,
    WebhookResponse,
    deliveries_response,
    webhook_response,
)
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import WEBHOOK_SECONDS_MAX

router = APIRouter(responses=PROBLEMS, tags=["stability"], route_class=MeteredRoute)


@router.get("/v1/stability/webhook", response_model=WebhookResponse, summary="Read the webhook")
async def read_webhook(tenant: Tenant, request: Request) -> Response:
    """Return the URL that receives the breached thresholds of the tenant. The secret is not shown again."""
    return JsonResponse(webhook_response(await asyncio.to_thread(parts_of(request).disk.catalog.webhooks.find, tenant)))


@router.put("/v1/stability/webhook", response_model=WebhookResponse, summary="Set the webhook")
async def set_webhook(body: WebhookBody, caller: Caller, request: Request) -> Response:
    """Set the address. The first time, the answer has the secret that signs messages; another address keeps it."""
    parts = parts_of(request)
    try:
        await parts.deliveries.client.require_allowed(body.url, seconds=WEBHOOK_SECONDS_MAX)
    except ValueError as refused:
        raise InvalidRequest(f"'url': {refused}", param="url") from refused
    put = partial(parts.disk.catalog.webhooks.put, caller.tenant, body.url, by=caller.actor)
    webhook, is_new = await asyncio.to_thread(put)
    return JsonResponse(webhook_response(webhook, is_new=is_new))


@router.post("/v1/stability/webhook/rotate", response_model=WebhookResponse, summary="Rotate the webhook's secret")
async def rotate_webhook(body: RotateWebhookBody, caller: Caller, request: Request) -> Response:
    """Create another secret and return it. The previous one signs messages as well during the overlap."""
    rotate = partial(
        parts_of(request).disk.catalog.webhooks.rotate, caller.tenant, overlap=body.overlap, by=caller.actor
    )
    return JsonResponse(webhook_response(await asyncio.to_thread(rotate), is_new=True))


@router.delete("/v1/stability/webhook", response_model=WebhookResponse, summary="Remove the webhook")
async def remove_webhook(caller: Caller, request: Request) -> Response:
    """Remove the webhook with its secret, if there is one. Deliveries that wait are given up."""
    await asyncio.to_thread(partial(parts_of(request).disk.catalog.webhooks.remove, caller.tenant, by=caller.actor))
    return JsonResponse(webhook_response(None))


@router.get("/v1/stability/webhook/deliveries", response_model=DeliveriesResponse, summary="List deliveries")
async def list_deliveries(
    tenant: Tenant,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=DELIVERIES_LISTED_MAX)] = DELIVERIES_LISTED,
) -> Response:
    """List the newest deliveries of the tenant's webhook, newest first, with what went wrong."""
    outbox = parts_of(request).disk.catalog.outbox
    return JsonResponse(deliveries_response(await asyncio.to_thread(partial(outbox.deliveries, tenant, limit=limit))))
