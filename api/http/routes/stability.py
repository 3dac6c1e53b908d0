"""Ranking stability over HTTP: parse, call, render."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from winnow.api.accounting import usage_of
from winnow.api.fields import CollectionName
from winnow.api.http.auth import Caller, MeteredRoute, Tenant, bill_of, parts_of
from winnow.api.http.disconnect import while_connected
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.collections import DeletedResponse, deleted_response
from winnow.api.schemas.stability import (
    RUN_NUMBER_MAX,
    RUNS_LISTED,
    RUNS_LISTED_MAX,
    GoldenSetBody,
    GoldenSetResponse,
    GoldenSetsResponse,
    RunBody,
    RunReportResponse,
    RunsResponse,
    SamplingBody,
    SamplingResponse,
    SetName,
    golden_set_response,
    golden_sets_response,
    run_report_response,
    runs_response,
    sampling_response,
)
from winnow.api.schemas.stability_report import StabilityReportResponse, stability_report_response
from winnow.api.schemas.stability_schedule import ScheduleBody
from winnow.api.stability.replay import Watcher
from winnow.api.stability.report import DAYS_DEFAULT, DAYS_MAX

router = APIRouter(responses=PROBLEMS, tags=["stability"], route_class=MeteredRoute)

OneSet = Annotated[SetName, Path()]
OfSet = Annotated[SetName | None, Query(description="Only of this golden set.")]
OfCollection = Annotated[CollectionName | None, Query(description="Only of this collection.")]


@router.get("/v1/stability", response_model=StabilityReportResponse, summary="Report ranking stability")
async def report_stability(
    tenant: Tenant,
    request: Request,
    collection: OfCollection = None,
    days: Annotated[int, Query(ge=1, le=DAYS_MAX, description="How many days to report.")] = DAYS_DEFAULT,
) -> Response:
    """Return a line per day, collection and instruction; what changed when; and the queries that moved most."""
    parts = parts_of(request)
    await parts.sampling.refresh()
    report = await asyncio.to_thread(partial(parts.stability.report, tenant, collection=collection, days=days))
    return JsonResponse(stability_report_response(report))


@router.get("/v1/stability/golden", response_model=GoldenSetsResponse, summary="List golden sets")
async def list_golden_sets(tenant: Tenant, request: Request, collection: OfCollection = None) -> Response:
    """List the tenant's golden sets, by name."""
    found = await asyncio.to_thread(parts_of(request).replays.book.sets, tenant, collection=collection)
    return JsonResponse(golden_sets_response(found))


@router.post("/v1/stability/golden", response_model=GoldenSetResponse, summary="Add queries to a golden set")
async def add_golden_queries(body: GoldenSetBody, caller: Caller, request: Request) -> Response:
    """Add queries to a golden set, which is created by its first ones. Its next run compares them if the baseline has
    them; to include new ones, make that run the baseline.
    """
    parts = parts_of(request)
    await asyncio.to_thread(parts.disk.catalog.collections.get, caller.tenant, body.collection)
    add = partial(parts.replays.book.add, body.golden_set(caller.tenant), body.golden_queries, by=caller.actor)
    return JsonResponse(golden_set_response(await asyncio.to_thread(add)))


@router.delete("/v1/stability/golden/{name}", response_model=DeletedResponse, summary="Remove a golden set")
async def remove_golden_set(name: OneSet, caller: Caller, request: Request) -> Response:
    """Remove a golden set with all its runs."""
    remove = partial(parts_of(request).replays.book.remove, caller.tenant, name, by=caller.actor)
    await asyncio.to_thread(remove)
    return JsonResponse(deleted_response(name))


@router.put("/v1/stability/golden/{name}/schedule", response_model=GoldenSetResponse, summary="Schedule a golden set")
async def set_schedule(name: OneSet, body: ScheduleBody, caller: Caller, request: Request) -> Response:
    """Have the service replay a golden set at an interval, or daily at an hour (UTC). The first due time comes after
    now; due times that pass while no service runs make one replay. It is charged like searches, not as a request.
    """
    put = partial(
        parts_of(request).disk.catalog.schedules.set_schedule,
        caller.tenant,
        name,
        every=body.every,
        daily_hour=body.daily_hour,
        by=caller.actor,
    )
    return JsonResponse(golden_set_response(await asyncio.to_thread(put)))


@router.delete("/v1/stability/golden/{name}/schedule", response_model=GoldenSetResponse, summary="Remove a schedule")
async def remove_schedule(name: OneSet, caller: Caller, request: Request) -> Response:
    """Replay a golden set only on demand, and after changes."""
    remove = partial(parts_of(request).disk.catalog.schedules.remove_schedule, caller.tenant, name, by=caller.actor)
    return JsonResponse(golden_set_response(await asyncio.to_thread(remove)))


@router.post("/v1/stability/runs", response_model=RunReportResponse, summary="Run a golden set")
async def run_golden_set(body: RunBody, tenant: Tenant, request: Request) -> Response:
    """Answer all queries of a golden set now, and compare with its baseline. The first run becomes the baseline.

    The request lasts as long as all its searches, up to five times if something moved, and counts as that many. It is
    refused, and the run not stored, once the tenant has no reranker tokens left.
    """
    parts = parts_of(request)
    bill, today = bill_of(request), parts.usage.today()

    async def require_tokens() -> None:
        await bill.settle()
        await parts.quotas.require_tokens(tenant)

    watcher = Watcher(
        before_each=require_tokens,
        after_each=lambda answer: bill.add(usage_of(answer, tenant=tenant, day=today)),
    )
    run = await while_connected(request, parts.replays.run(tenant, body.name, rebase=body.rebase, watcher=watcher))
    return JsonResponse(run_report_response(run, await asyncio.to_thread(parts.replays.moved, run)))


@router.get("/v1/stability/runs", response_model=RunsResponse, summary="List runs of golden sets")
async def list_runs(
    tenant: Tenant,
    request: Request,
    name: OfSet = None,
    collection: OfCollection = None,
    limit: Annotated[int, Query(ge=1, le=RUNS_LISTED_MAX)] = RUNS_LISTED,
) -> Response:
    """List the newest runs, newest first."""
    book = parts_of(request).replays.book
    found = await asyncio.to_thread(partial(book.runs, tenant, golden=name, collection=collection, limit=limit))
    return JsonResponse(runs_response(found))


@router.get("/v1/stability/runs/{number}", response_model=RunReportResponse, summary="Read a run")
async def read_run(number: Annotated[int, Path(ge=1, le=RUN_NUMBER_MAX)], tenant: Tenant, request: Request) -> Response:
    """Return a run, and the queries whose answers moved most, before and after."""
    replays = parts_of(request).replays
    run = await asyncio.to_thread(replays.book.run, tenant, number)
    return JsonResponse(run_report_response(run, await asyncio.to_thread(replays.moved, run)))


@router.get("/v1/stability/sampling", response_model=SamplingResponse, summary="Read the sampling rule")
async def read_sampling(tenant: Tenant, request: Request) -> Response:
    """Return which share of the tenant's searches is recorded."""
    return JsonResponse(sampling_response(await asyncio.to_thread(parts_of(request).disk.catalog.samples.rule, tenant)))


@router.put("/v1/stability/sampling", response_model=SamplingResponse, summary="Set the sampling rule")
async def set_sampling(body: SamplingBody, caller: Caller, request: Request) -> Response:
    """Record this share of the tenant's searches, after they were answered."""
    parts = parts_of(request)
    put = partial(
        parts.disk.catalog.samples.set_rule,
        caller.tenant,
        share=body.share,
        keep_queries=body.keep_queries,
        by=caller.actor,
    )
    rule = await asyncio.to_thread(put)
    await parts.sampling.refresh()
    return JsonResponse(sampling_response(rule))
