"""Uploaded files, and the files of vector stores, as OpenAI has them: parse, call, render."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import FileResponse as FileDownload
from starlette.responses import Response

from winnow.api.assemble import Services
from winnow.api.collections.uploads import shown_status
from winnow.api.http.auth import Caller, MeteredRoute, bill_of, gate_of, intake_of, parts_of
from winnow.api.http.body_limits import UPLOAD
from winnow.api.http.request_body import announced_length
from winnow.api.http.routes.compat.form import UploadForm
from winnow.api.http.routes.compat.vector_stores import Cursor, Name, Order
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.compat.files import (
    FILES_PAGE_MAX,
    PAGE_DEFAULT,
    PAGE_MAX,
    PURPOSE_PATTERN,
    UPLOAD_BODY,
    AttachBody,
    AttributesBody,
    DeletedObject,
    FileContentResponse,
    FileResponse,
    FilesResponse,
    StoreFileResponse,
    StoreFilesResponse,
    deleted_object,
    file_content_response,
    file_response,
    files_response,
    store_file_response,
    store_files_response,
)
from winnow.api.tenancy.access import Principal
from winnow.retrieval.catalog.quotas import Usage
from winnow.retrieval.catalog.sql.uploads.book import Page
from winnow.retrieval.catalog.uploads import AttachedFile, AttributeValue, FileStatus, is_file_id
from winnow.retrieval.errors import FileNotFound, InvalidRequest
from winnow.retrieval.limits import FILE_NAME_CHARACTERS_MAX

PIECE_BYTES: Final = 1_000_000  # written to the disk at once
LATER: Final = "this service reads one file a call; send POST /v1/files, then POST /v1/vector_stores/ID/files"
BYTES: Final = {"type": "string", "format": "binary"}
ONE_FILE: Final[dict[str, Any]] = {"responses": {200: {"content": {"application/octet-stream": {"schema": BYTES}}}}}

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["files"])

FileId = Annotated[str, Path(max_length=64)]


@router.post("/v1/files", response_model=FileResponse, summary="Upload a file", openapi_extra=UPLOAD_BODY)
async def upload_file(caller: Caller, request: Request) -> Response:
    """Store a file. It becomes searchable when it is attached to a vector store."""
    parts, pending = parts_of(request), bytearray()
    announced = announced_length(request) or 0
    pieces = intake_of(request).pieces(request, UPLOAD, tenant=caller.tenant)
    async with parts.uploads.arriving(caller.tenant, announced=min(announced, UPLOAD.bytes)) as arrival:
        form = UploadForm(request.headers.get("content-type", ""), arrival.sink)
        async with aclosing(pieces):
            async for piece in pieces:
                pending += piece
                if len(pending) >= PIECE_BYTES:
                    await asyncio.to_thread(form.feed, bytes(pending))
                    pending.clear()
        await asyncio.to_thread(form.feed, bytes(pending))
        name = form.end()[-FILE_NAME_CHARACTERS_MAX:]
        async with gate_of(request).held(caller.tenant):
            file = await arrival.keep(name=name, purpose=_purpose_of(form.fields))
    return JsonResponse(file_response(file))


@router.get("/v1/files", response_model=FilesResponse, summary="List files")
async def list_files(
    caller: Caller,
    request: Request,
    *,
    limit: Annotated[int, Query(ge=1, le=FILES_PAGE_MAX)] = FILES_PAGE_MAX,
    order: Order = "desc",
    after: Cursor = None,
    purpose: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """List the tenant's files. `after` may name a file that was deleted."""
    page = Page(limit=limit + 1, after=_cursor(after), newest_first=order == "desc")
    uploads = parts_of(request).disk.catalog.uploads
    found = await asyncio.to_thread(partial(uploads.files, caller.tenant, page, purpose=purpose))
    return JsonResponse(files_response(found, limit=limit))


@router.get("/v1/files/{file_id}", response_model=FileResponse, summary="Describe a file")
async def read_file(file_id: FileId, caller: Caller, request: Request) -> Response:
    uploads = parts_of(request).disk.catalog.uploads
    return JsonResponse(file_response(await asyncio.to_thread(uploads.get, caller.tenant, file_id)))


@router.get("/v1/files/{file_id}/content", summary="Download a file", response_class=Response, **ONE_FILE)
async def read_file_content(file_id: FileId, caller: Caller, request: Request) -> Response:
    """Return the bytes as they were uploaded."""
    file, path = await asyncio.to_thread(parts_of(request).uploads.content, caller.tenant, file_id)
    return FileDownload(
        path,
        media_type="application/octet-stream",
        filename=file.name,
        headers={"x-content-type-options": "nosniff"},
    )


@router.delete("/v1/files/{file_id}", response_model=DeletedObject, summary="Delete a file")
async def delete_file(file_id: FileId, caller: Caller, request: Request) -> Response:
    """Delete a file, and its documents in every vector store."""
    await parts_of(request).uploads.delete(caller.tenant, file_id)
    return JsonResponse(deleted_object(file_id, "file"))


@router.post("/v1/uploads", include_in_schema=False)
async def refuse_long_uploads(caller: Caller) -> Response:  # noqa: ARG001
    """Refuse: a file arrives in one request."""
    raise InvalidRequest(f"uploads in parts are not supported; {LATER}")


@router.post("/v1/vector_stores/{name}/file_batches", include_in_schema=False)
async def refuse_file_batches(name: Name, caller: Caller) -> Response:  # noqa: ARG001
    """Refuse: files are attached one by one."""
    raise InvalidRequest(f"file batches are not supported; {LATER}")


@router.post(
    "/v1/vector_stores/{name}/files", response_model=StoreFileResponse, summary="Attach a file to a vector store"
)
async def attach_file(name: Name, body: AttachBody, caller: Caller, request: Request) -> Response:
    """Read a file into a collection. The answer arrives when its documents are searchable, or when it has failed."""
    attached = await _attach(request, caller, name, body.file_id, dict(body.attributes or {}))
    return JsonResponse(await asyncio.to_thread(_shown, parts_of(request), attached))


@router.get(
    "/v1/vector_stores/{name}/files", response_model=StoreFilesResponse, summary="List the files of a vector store"
)
async def list_attached_files(
    name: Name,
    caller: Caller,
    request: Request,
    *,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
    order: Order = "desc",
    after: Cursor = None,
    before: Cursor = None,
    status: Annotated[FileStatus | None, Query(alias="filter", description="Only files of this status.")] = None,
) -> Response:
    """List files by the time of their upload. `after` and `before` may name files that were removed."""
    page = Page(limit=limit + 1, after=_cursor(after), before=_cursor(before), newest_first=order == "desc")

    def listed() -> StoreFilesResponse:
        catalog = parts_of(request).disk.catalog
        collection = catalog.collections.get(caller.tenant, name)
        found = catalog.uploads.attached_files(caller.tenant, name, page, status=status)
        now = datetime.now(UTC)
        shown = [shown_status(each, now) for each in found]
        return store_files_response(shown, limit=limit, chunk_tokens=collection.chunk_tokens)

    return JsonResponse(await asyncio.to_thread(listed))


@router.get(
    "/v1/vector_stores/{name}/files/{file_id}",
    response_model=StoreFileResponse,
    summary="Describe a file of a vector store",
)
async def read_attached_file(name: Name, file_id: FileId, caller: Caller, request: Request) -> Response:
    parts = parts_of(request)
    return JsonResponse(
        await asyncio.to_thread(lambda: _shown(parts, parts.uploads.attached(caller.tenant, name, file_id)))
    )


@router.post(
    "/v1/vector_stores/{name}/files/{file_id}",
    response_model=StoreFileResponse,
    summary="Change the attributes of a file in a vector store",
)
async def change_attached_file(
    name: Name, file_id: FileId, body: AttributesBody, caller: Caller, request: Request
) -> Response:
    """Read the file again, with other attributes."""
    await asyncio.to_thread(parts_of(request).uploads.attached, caller.tenant, name, file_id)
    attached = await _attach(request, caller, name, file_id, dict(body.attributes or {}))
    return JsonResponse(await asyncio.to_thread(_shown, parts_of(request), attached))


@router.delete(
    "/v1/vector_stores/{name}/files/{file_id}",
    response_model=DeletedObject,
    summary="Remove a file from a vector store",
)
async def detach_file(name: Name, file_id: FileId, caller: Caller, request: Request) -> Response:
    """Remove the documents of a file. The file itself stays."""
    await parts_of(request).uploads.detach(caller.tenant, name, file_id)
    return JsonResponse(deleted_object(file_id, "vector_store.file"))


@router.get(
    "/v1/vector_stores/{name}/files/{file_id}/content",
    response_model=FileContentResponse,
    summary="Read the text of a file in a vector store",
)
async def read_attached_content(name: Name, file_id: FileId, caller: Caller, request: Request) -> Response:
    """Return the text of each document that the file became."""
    parts = parts_of(request)
    texts = await parts.ingest.looked(partial(parts.uploads.texts, caller.tenant, name, file_id))
    return JsonResponse(file_content_response(texts))


async def _attach(
    request: Request, caller: Principal, name: str, file_id: str, attributes: dict[str, AttributeValue]
) -> AttachedFile:
    """Read a file into a collection, and charge its tenant."""
    parts, bill = parts_of(request), bill_of(request)
    bill.add(Usage(tenant=caller.tenant, day=parts.usage.today()))  # a file that cannot be read computes nothing
    return await parts.uploads.attach(caller.tenant, name, file_id, attributes, charge=bill.add)


def _shown(parts: Services, attached: AttachedFile) -> StoreFileResponse:
    """Blocks."""
    collection = parts.disk.catalog.collections.get(attached.file.tenant, attached.collection)
    shown = shown_status(attached, datetime.now(UTC))
    return store_file_response(shown, chunk_tokens=collection.chunk_tokens)


def _purpose_of(fields: dict[str, str]) -> str:
    """Raises `InvalidRequest`."""
    purpose = fields.get("purpose", "")
    if not re.fullmatch(PURPOSE_PATTERN, purpose, re.ASCII):
        raise InvalidRequest("purpose is missing or not a word such as assistants or user_data", param="purpose")
    others = sorted(name for name in fields if name != "purpose")
    if others:
        raise InvalidRequest(
            f"the field {others[0][:40]!r} is not supported; files do not expire", param=others[0][:40]
        )
    return purpose


def _cursor(id_: str | None) -> str | None:
    """Raises `FileNotFound` for what is no id of a file, whose place in the order is unknown."""
    if id_ is not None and not is_file_id(id_):
        raise FileNotFound(id_[:80])
    return id_
