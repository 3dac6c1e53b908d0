"""Collections as OpenAI's vector stores: parse, call, render."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from winnow.api.assemble import Services
from winnow.api.http.auth import Caller, MeteredRoute, bill_of, parts_of
from winnow.api.http.routes.compat.searching import Found, SearchWish, search_as
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.compat.files import (
    PAGE_DEFAULT,
    PAGE_MAX,
    DeletedObject,
    NewStoreBody,
    StoreBody,
    deleted_object,
)
from winnow.api.schemas.compat.judged_by import cut_query
from winnow.api.schemas.compat.vector_stores import (
    RESULTS_DEFAULT,
    Store,
    VectorStorePage,
    VectorStoreResponse,
    VectorStoreSearchBody,
    VectorStoresResponse,
    file_ids_of,
    vector_store_hit,
    vector_store_response,
    vector_stores_response,
)
from winnow.api.tenancy.access import Principal
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.quotas import Usage
from winnow.retrieval.catalog.uploads import StoreNotes
from winnow.retrieval.errors import CollectionExists, CollectionNotFound, CollectionNotReady
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN
from winnow.retrieval.tenancy import TenantName

STORE_ID_BYTES: Final = 12

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["vector stores"])

Name = Annotated[str, Path(pattern=COLLECTION_NAME_PATTERN)]
Order = Annotated[Literal["asc", "desc"], Query(description="By the time of creation; desc: the newest first.")]
Cursor = Annotated[str | None, Query(max_length=128)]


@router.get("/v1/vector_stores", response_model=VectorStoresResponse, summary="List collections as vector stores")
async def list_vector_stores(
    caller: Caller,
    request: Request,
    *,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
    order: Order = "desc",
    after: Cursor = None,
    before: Cursor = None,
) -> Response:
    """List collections. `after` and `before` are ids of collections that exist; any others are 404."""

    def listed() -> VectorStoresResponse:
        parts = parts_of(request)
        collections = sorted(
            parts.disk.catalog.collections.of_tenant(caller.tenant),
            key=lambda each: (each.created_at, each.name),
            reverse=order == "desc",
        )
        places = {each.name: place for place, each in enumerate(collections)}
        for cursor in (after, before):
            if cursor is not None and cursor not in places:
                raise CollectionNotFound(f"{cursor}; page on from one that exists")
        start = 0 if after is None else places[after] + 1
        found = collections[start : None if before is None else places[before]]
        notes = parts.disk.catalog.uploads.notes(caller.tenant)
        page = [_described(parts, each, notes) for each in found[:limit]]
        return vector_stores_response(page, has_more=len(found) > limit)

    return JsonResponse(await asyncio.to_thread(listed))


@router.post("/v1/vector_stores", response_model=VectorStoreResponse, summary="Create a collection as a vector store")
async def make_vector_store(body: NewStoreBody, caller: Caller, request: Request) -> Response:
    """Create a collection. Its id is `name` where that is the name of no collection and could be, else a new one."""
    parts = parts_of(request)

    def made() -> VectorStoreResponse:
        wanted = body.name or ""
        name = _make(parts, caller, wanted)
        if body.metadata or (body.name is not None and body.name != name):
            notes = StoreNotes(name=body.name or name, metadata=body.metadata or {})
            parts.disk.catalog.uploads.set_notes(caller.tenant, name, notes)
        return _store(parts, caller.tenant, name)

    return JsonResponse(await asyncio.to_thread(made))


@router.get(
    "/v1/vector_stores/{name}", response_model=VectorStoreResponse, summary="Describe a collection as a vector store"
)
async def read_vector_store(name: Name, caller: Caller, request: Request) -> Response:
    return JsonResponse(await asyncio.to_thread(_store, parts_of(request), caller.tenant, name))


@router.post("/v1/vector_stores/{name}", response_model=VectorStoreResponse, summary="Change a vector store")
async def change_vector_store(name: Name, body: StoreBody, caller: Caller, request: Request) -> Response:
    """Change the name that is shown, and the metadata. The id stays."""
    parts = parts_of(request)

    def changed() -> VectorStoreResponse:
        parts.disk.catalog.collections.get(caller.tenant, name)
        uploads = parts.disk.catalog.uploads
        was = uploads.notes(caller.tenant).get(name, StoreNotes(name=name))
        notes = StoreNotes(
            name=body.name or was.name, metadata=was.metadata if body.metadata is None else body.metadata
        )
        uploads.set_notes(caller.tenant, name, notes)
        return _store(parts, caller.tenant, name)

    return JsonResponse(await asyncio.to_thread(changed))


@router.delete("/v1/vector_stores/{name}", response_model=DeletedObject, summary="Delete a vector store")
async def delete_vector_store(name: Name, caller: Caller, request: Request) -> Response:
    """Delete a collection with all its documents, for good. Files that were attached to it stay."""
    await asyncio.to_thread(parts_of(request).disk.remove, caller.tenant, name, by=caller.actor)
    return JsonResponse(deleted_object(name, "vector_store"))


@router.post(
    "/v1/vector_stores/{name}/search", response_model=VectorStorePage, summary="Search a collection as a vector store"
)
async def search_vector_store(name: Name, body: VectorStoreSearchBody, caller: Caller, request: Request) -> Response:
    """Search a collection in OpenAI's shape. `instruction` is winnow's own."""
    query, *further = (cut_query(each)[0] for each in body.queries)
    wish = SearchWish(
        collection=name,
        query=query,
        further=tuple(further),
        top_k=body.max_num_results or RESULTS_DEFAULT,
        where=body.filters,
        instruction=body.wanted_instruction,
        threshold=body.ranking_options.score_threshold if body.ranking_options else None,
    )
    try:
        found = await search_as(request, caller, wish)
    except CollectionNotReady:  # a new vector store answers, with nothing
        bill_of(request).add(Usage(tenant=caller.tenant, day=parts_of(request).usage.today()))
        found = Found(hits=(), threshold_applied=False, reason="nothing_indexed")
    of_files = file_ids_of(each.ranked.candidate.chunk for each in found.hits)
    uploads = parts_of(request).disk.catalog.uploads
    names = await asyncio.to_thread(uploads.names, caller.tenant, of_files) if of_files else {}
    said = JsonResponse(_page(body.queries, found, names))
    said.background = found.afterwards
    return said


def _page(queries: list[str], found: Found, names: Mapping[str, str]) -> VectorStorePage:
    ranking = None if found.answer is None else found.answer.ranking
    return {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": [vector_store_hit(each.ranked.candidate.chunk, each.display_score, names) for each in found.hits],
        "has_more": False,
        "next_page": None,
        "winnow": {
            "threshold_applied": found.threshold_applied,
            "reason": found.reason,
            "ranked_by": None if ranking is None else str(ranking.ranked_by),
            "judged_by": None if ranking is None else ranking.judged_by,
            "relevance": [each.ranked.relevance for each in found.hits],
        },
    }


def _make(parts: Services, caller: Principal, wanted: str) -> str:
    """Create a collection under the wanted name, or under a new one. Blocks."""
    if re.fullmatch(COLLECTION_NAME_PATTERN, wanted, re.ASCII):
        try:
            return parts.ingest.make(caller.tenant, wanted, by=caller.actor).collection.name
        except CollectionExists:  # names of vector stores may repeat
            pass
    name = f"vs_{secrets.token_hex(STORE_ID_BYTES)}"
    return parts.ingest.make(caller.tenant, name, by=caller.actor).collection.name


def _store(parts: Services, tenant: TenantName, name: str) -> VectorStoreResponse:
    """Blocks. Raises `CollectionNotFound`."""
    collection = parts.disk.catalog.collections.get(tenant, name)
    return _described(parts, collection, parts.disk.catalog.uploads.notes(tenant))


def _described(parts: Services, collection: Collection, notes: Mapping[str, StoreNotes]) -> VectorStoreResponse:
    described = parts.disk.describe(collection)
    return vector_store_response(
        Store(
            id=collection.name,
            created_at=collection.created_at,
            documents=described.documents or 0,
            is_usable=described.problem is None,
            notes=notes.get(collection.name),
            files=parts.disk.catalog.uploads.counts(collection.tenant, collection.name),
        )
    )
