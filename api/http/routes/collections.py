"""Collections and their documents over HTTP: parse, call, render."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from winnow.api.assemble import Services
from winnow.api.collections.disk_use import measure_collection
from winnow.api.collections.ingest import Sent, records_of_lines
from winnow.api.http.auth import Caller, MeteredRoute, Tenant, bill_of, intake_of, parts_of
from winnow.api.http.body_limits import DOCUMENTS
from winnow.api.http.log_redaction import problems_without_places
from winnow.api.http.problem_response import ProblemResponse
from winnow.api.http.problems import problem_of
from winnow.api.http.request_body import media_type, require_json, take_body
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.collections import (
    CollectionBody,
    CollectionChange,
    CollectionResponse,
    CollectionsResponse,
    DeleteBody,
    DeletedResponse,
    DocumentBody,
    DocumentResponse,
    DocumentsResponse,
    EmptiedResponse,
    UpsertResponse,
    apply_change,
    collection_response,
    collections_response,
    deleted_response,
    document_response,
    documents_response,
    emptied_response,
    upsert_response,
)
from winnow.api.schemas.field_choice import choice_of
from winnow.api.search.rerankers import refuse_unknown
from winnow.indexer.corpus import Refused, Reject
from winnow.indexer.decoding.encodings import to_utf8
from winnow.indexer.decoding.json_values import parse_record
from winnow.retrieval.errors import InvalidRequest, LimitExceeded
from winnow.retrieval.filters.grammar import Filter, parse_filter
from winnow.retrieval.json_bounds import SMALL_JSON, parse_json, require_within
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN, DOCUMENTS_LISTED_MAX, DOCUMENTS_PER_REQUEST_MAX
from winnow.retrieval.tenancy import TenantName

PAGE_DEFAULT: Final = 20  # documents
NDJSON_TYPES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
ONE_DOCUMENT: Final = DocumentBody.model_json_schema()
SEVERAL_DOCUMENTS: Final = {
    "type": "object",
    "properties": {"documents": {"type": "array", "items": ONE_DOCUMENT}},
    "required": ["documents"],
}
UPSERT_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": f"One document, up to {DOCUMENTS_PER_REQUEST_MAX}, or NDJSON with one document per line.",
        "content": {
            "application/json": {
                "schema": {"anyOf": [SEVERAL_DOCUMENTS, ONE_DOCUMENT]},
                "example": {"documents": [{"id": "refunds", "title": "Refunds", "text": "Within fourteen days ..."}]},
            },
            "application/x-ndjson": {"schema": {"type": "string"}, "example": '{"id": "refunds", "text": "..."}\n'},
        },
    }
}

Name = Annotated[str, Path(pattern=COLLECTION_NAME_PATTERN)]
router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute)


@router.get("/v1/collections", response_model=CollectionsResponse, tags=["collections"], summary="List collections")
async def list_collections(tenant: Tenant, request: Request) -> Response:
    """List collections by name, including those built with another embedding model."""
    described = await asyncio.to_thread(parts_of(request).disk.described, tenant)
    return JsonResponse(problems_without_places(collections_response(described), data=parts_of(request).settings.data))


@router.post(
    "/v1/collections",
    response_model=CollectionResponse,
    status_code=201,
    tags=["collections"],
    summary="Create a collection",
)
async def make_collection(body: CollectionBody, caller: Caller, request: Request) -> Response:
    parts = parts_of(request)
    refuse_unknown(body.reranker, parts.rerankers.names)
    parts.rerankers.require_reader(body.name, body.reranker, is_required=body.require_instruction)
    await asyncio.to_thread(
        parts.ingest.make,
        caller.tenant,
        body.name,
        chunk_tokens=body.chunk_tokens,
        instruction=body.instruction,
        reranker=body.reranker,
        demote_query_echo=body.demote_query_echo,
        require_instruction=body.require_instruction,
        rerank_fields=choice_of(body.rerank_fields, body.rerank_field_tokens),
        embed_fields=choice_of(body.embed_fields, body.embed_field_tokens),
        diversity=body.diversity,
        vectors=body.vectors,
        by=caller.actor,
    )
    return JsonResponse(await asyncio.to_thread(_collection, parts, caller.tenant, body.name), status=201)


@router.get(
    "/v1/collections/{name}", response_model=CollectionResponse, tags=["collections"], summary="Describe a collection"
)
async def get_collection(name: Name, tenant: Tenant, request: Request) -> Response:
    return JsonResponse(await asyncio.to_thread(_collection, parts_of(request), tenant, name))


@router.patch(
    "/v1/collections/{name}",
    response_model=CollectionResponse,
    tags=["collections"],
    summary="Change a collection",
)
async def change_collection(name: Name, body: CollectionChange, caller: Caller, request: Request) -> Response:
    """Change the collection's choices. Omitted fields stay; null returns to the default.

    `rerank_fields` apply to the next search. `embed_fields` cannot change while the collection has documents.
    """
    parts = parts_of(request)
    refuse_unknown(body.reranker, parts.rerankers.names)
    was = await asyncio.to_thread(parts.disk.catalog.collections.get, caller.tenant, name)
    said = body.model_fields_set
    parts.rerankers.require_reader(
        name,
        body.reranker if "reranker" in said else was.reranker,
        is_required=bool(body.require_instruction) if "require_instruction" in said else was.require_instruction,
    )
    await asyncio.to_thread(apply_change, parts.disk, caller.tenant, name, body, by=caller.actor)
    return JsonResponse(await asyncio.to_thread(_collection, parts, caller.tenant, name))


@router.delete(
    "/v1/collections/{name}", response_model=DeletedResponse, tags=["collections"], summary="Remove a collection"
)
async def remove_collection(name: Name, caller: Caller, request: Request) -> Response:
    """Remove a collection with all its documents, for good."""
    await asyncio.to_thread(parts_of(request).disk.remove, caller.tenant, name, by=caller.actor)
    return JsonResponse(deleted_response(name))


@router.post(
    "/v1/collections/{name}/documents",
    response_model=UpsertResponse,
    tags=["documents"],
    summary="Insert or replace documents",
    openapi_extra=UPSERT_BODY,
)
async def upsert_documents(name: Name, tenant: Tenant, request: Request) -> Response:
    """Insert or replace documents. They are on the disk and searchable when the answer arrives.

    Rejected documents are listed in `rejected` and do not affect the others; 422 if all were rejected.
    """
    parts = parts_of(request)
    if media_type(request) in NDJSON_TYPES:
        sent = records_of_lines(take_body(request))
    else:
        require_json(request)
        sent = await intake_of(request).one_by_one(_records_of_json, take_body(request))
    upserted = await parts.ingest.upsert(tenant, name, sent)
    bill_of(request).add(upserted)
    said = upsert_response(name, upserted)
    if upserted.rejects and not upserted.accepted:
        return ProblemResponse(problem_of(InvalidRequest(_rejection_message(upserted.rejects))), beside=said)
    return JsonResponse(said)


@router.get(
    "/v1/collections/{name}/documents", response_model=DocumentsResponse, tags=["documents"], summary="List documents"
)
async def list_documents(
    name: Name,
    tenant: Tenant,
    request: Request,
    *,
    limit: Annotated[int, Query(ge=1, le=DOCUMENTS_LISTED_MAX)] = PAGE_DEFAULT,
    after: Annotated[str, Query(description="Only documents with a greater id: `next` of the last page.")] = "",
    where: Annotated[str | None, Query(alias="filter", description="Filter as JSON, as in a search.")] = None,
) -> Response:
    """List documents without their texts, by id, in pages. Concurrent writes may or may not be included."""
    ingest = parts_of(request).ingest
    listed = partial(ingest.documents, tenant, name, after=after, most=limit, where=_filter_of(where))
    return JsonResponse(documents_response(*await ingest.looked(listed)))


@router.get(
    "/v1/collections/{name}/documents/{document_id:path}",
    response_model=DocumentResponse,
    tags=["documents"],
    summary="Read a document",
)
async def get_document(
    name: Name,
    document_id: str,
    tenant: Tenant,
    request: Request,
    *,
    start: Annotated[int, Query(ge=0, description="First character of the text to return.")] = 0,
    end: Annotated[int | None, Query(ge=0, description="End of the text to return. Default: its end.")] = None,
) -> Response:
    """Return a document, or its characters from `start` to `end`, as counted by the positions in answers."""
    ingest = parts_of(request).ingest
    document = await ingest.looked(partial(ingest.document, tenant, name, document_id))
    return JsonResponse(document_response(document, start=start, end=end))


@router.delete(
    "/v1/collections/{name}/documents/{document_id:path}",
    response_model=DeletedResponse,
    tags=["documents"],
    summary="Remove a document",
)
async def delete_document(name: Name, document_id: str, tenant: Tenant, request: Request) -> Response:
    await parts_of(request).ingest.delete(tenant, name, document_id)
    return JsonResponse(deleted_response(document_id))


@router.post(
    "/v1/collections/{name}/delete",
    response_model=EmptiedResponse,
    tags=["documents"],
    summary="Remove documents by a filter",
)
async def delete_matching(name: Name, body: DeleteBody, tenant: Tenant, request: Request) -> Response:
    """Remove all documents that match when the call begins, in one commit, for good. `dry_run` only counts them."""
    emptied = await parts_of(request).ingest.delete_where(tenant, name, body.filter, dry_run=body.dry_run)
    return JsonResponse(emptied_response(name, emptied))


def _collection(parts: Services, tenant: TenantName, name: str) -> CollectionResponse:
    collection = parts.disk.catalog.collections.get(tenant, name)
    said = collection_response(parts.disk.describe(collection), measure_collection(parts.disk, collection))
    return problems_without_places(said, data=parts.settings.data)


def _filter_of(written: str | None) -> Filter | None:
    """Parse the filter. Raises `InvalidRequest`, `LimitExceeded`."""
    if written is None:
        return None
    try:
        return parse_filter(parse_json(written.encode(), SMALL_JSON))
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise InvalidRequest("the filter is not valid JSON") from error


def _rejection_message(rejects: Sequence[Reject]) -> str:
    """Return the first reason, and the number of rejected documents."""
    first = rejects[0]
    place = f"the document in line {first.place.line} is rejected"
    others = f"; all {len(rejects)} are rejected, see `rejected`" if len(rejects) > 1 else ""
    return f"{place}: {first.reason}{others}"


def _records_of_json(body: bytes | bytearray) -> Iterator[Sent]:
    """Yield the documents of a JSON body: one, or a list under `documents`. Blocks."""
    content = to_utf8(body)
    require_within(content, DOCUMENTS.json)
    value = parse_record(content, bounds=None)
    if isinstance(value, Refused):
        raise InvalidRequest(f"the body is {value.reason}")
    records = value.get("documents", [value]) if isinstance(value, dict) else value
    if not isinstance(records, list) or not records:
        raise InvalidRequest("the body must be a document or {'documents': [...]}")
    if len(records) > DOCUMENTS_PER_REQUEST_MAX:
        raise LimitExceeded(f"{len(records)} documents exceed the limit of {DOCUMENTS_PER_REQUEST_MAX}; send NDJSON")
    return iter(list(enumerate(records, start=1)))
