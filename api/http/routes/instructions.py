"""The instruction library over HTTP: parse, call, render."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from winnow.api.collections.preview_passage import find_passage, given_passage
from winnow.api.fields import VersionInPath, deadline_of
from winnow.api.http.auth import Caller, MeteredRoute, Tenant, bill_of, intake_of, parts_of
from winnow.api.http.disconnect import while_connected
from winnow.api.http.request_body import take_body
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.library.content import ContentBody
from winnow.api.library.instructions import Instructions
from winnow.api.library.yaml_file import exported, imported
from winnow.api.schemas.collections import DeletedResponse, deleted_response
from winnow.api.schemas.instruction_requests import SAMPLE_DOCUMENT, DefaultBody, PreviewBody, PublishBody, TrialBody
from winnow.api.schemas.instructions import (
    DefaultResponse,
    DiffResponse,
    ImportedResponse,
    InstructionResponse,
    InstructionsResponse,
    InstructionVersionsResponse,
    PreviewResponse,
    TrialResponse,
    default_response,
    diff_response,
    imported_response,
    instruction_response,
    instructions_response,
    preview_response,
    trial_response,
    versions_response,
)
from winnow.api.schemas.search_request import InstructionChoice
from winnow.api.search.preview import Preview, previewed, to_preview
from winnow.retrieval.catalog.instructions import BUILT_IN_PREFIX, Reference

Name = Annotated[str, Path(max_length=64)]
Version = Annotated[VersionInPath, Path()]
YAML = "application/yaml"
router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["instructions"])


def library_of(request: Request) -> Instructions:
    return parts_of(request).disk.catalog.instructions


@router.get("/v1/instructions", response_model=InstructionsResponse, summary="List instructions")
async def list_instructions(tenant: Tenant, request: Request) -> Response:
    """List all versions in every state, by name and version, with built-in instructions and the tenant's default."""
    library = library_of(request)
    own, default = await asyncio.to_thread(lambda: (library.versions(tenant), library.default(tenant)))
    return JsonResponse(instructions_response(own, library.built_in, default))


@router.post(
    "/v1/instructions",
    response_model=InstructionResponse,
    status_code=201,
    summary="Publish or draft an instruction",
)
async def publish_instruction(body: PublishBody, caller: Caller, request: Request) -> Response:
    """Publish the next version of this name. Published versions never change; unchanged content publishes nothing.

    With `draft` it becomes the name's draft instead, which can be edited until it is published.
    """
    write = library_of(request).write_draft if body.draft else library_of(request).publish
    written = await asyncio.to_thread(write, caller.tenant, body.name, body.content, by=caller.actor)
    return JsonResponse(instruction_response(written), status=201)


@router.get("/v1/instructions/default", response_model=DefaultResponse, summary="Read the tenant's default instruction")
async def get_default(tenant: Tenant, request: Request) -> Response:
    return JsonResponse(default_response(await asyncio.to_thread(library_of(request).default, tenant)))


@router.put(
    "/v1/instructions/default", response_model=DefaultResponse, summary="Choose the tenant's default instruction"
)
async def set_default(body: DefaultBody, caller: Caller, request: Request) -> Response:
    """Set the instruction for searches without one, in collections without one."""
    await asyncio.to_thread(library_of(request).set_default, caller.tenant, body.instruction, by=caller.actor)
    return JsonResponse(default_response(body.instruction))


@router.get(
    "/v1/instructions/export",
    response_class=Response,
    responses={200: {"content": {YAML: {"schema": {}}}}},
    summary="Export instructions as YAML",
)
async def export_instructions(
    tenant: Tenant,
    request: Request,
    name: Annotated[
        list[str] | None, Query(description="Names to export. Default: all of the tenant's own instructions.")
    ] = None,
) -> Response:
    """Export versions with numbers, states and dates: importing into an empty library gives the same export again."""
    library = library_of(request)

    def written() -> str:
        names: list[str | None] = list(dict.fromkeys(name)) if name else [None]
        return exported([version for each in names for version in library.versions(tenant, each)])

    return Response(await asyncio.to_thread(written), media_type=YAML)


@router.post(
    "/v1/instructions/import",
    response_model=ImportedResponse,
    summary="Import instructions from YAML",
    openapi_extra={"requestBody": {"required": True, "content": {YAML: {"schema": {"type": "string"}}}}},
)
async def import_instructions(caller: Caller, request: Request) -> Response:
    """Import all of the file or nothing. Identical versions are skipped; 409 if a number has other content here."""
    content, library = take_body(request), library_of(request)
    versions = await intake_of(request).one_by_one(partial(imported, tenant=caller.tenant), content)

    def bring_in() -> ImportedResponse:
        added = library.bring_in(caller.tenant, versions, by=caller.actor)
        return imported_response(added, of=len(versions))

    return JsonResponse(await asyncio.to_thread(bring_in))


@router.post("/v1/instructions/preview", response_model=PreviewResponse, summary="Preview the prompt of an instruction")
async def preview_instruction(body: PreviewBody, tenant: Tenant, request: Request) -> Response:
    """Return the exact prompt for one query and one document: text, token count, and token ids on request.

    With `collection` and `document_id` it is the prompt that a search of the collection gives the reranker.

    Nothing is reranked. Content that could not be saved is refused like when saving.
    """
    parts = parts_of(request)

    def made() -> Preview:
        content, chosen = body.checked, body.instruction
        if content is not None:
            instruction = library_of(request).preview(content, body.variables)
        else:
            assert chosen is not None, "the body has one of both. This is a bug."
            wanted = chosen.named if isinstance(chosen, InstructionChoice) else chosen
            instruction = to_preview(library_of(request), tenant, wanted)
        if (wanted_passage := body.passage) is None:
            passage, reranker = given_passage(body.document, body.fields), None
        else:
            passage, reranker = find_passage(parts.disk, tenant, wanted_passage, sample=SAMPLE_DOCUMENT)
        return previewed(
            parts.settings, instruction, reranker=body.reranker or reranker, query=body.query, passage=passage
        )

    return JsonResponse(preview_response(await asyncio.to_thread(made), ids=body.ids))


@router.post("/v1/instructions/try", response_model=TrialResponse, summary="Compare instructions on one query")
async def try_instructions(body: TrialBody, tenant: Tenant, request: Request) -> Response:
    """Recall once, with the first instruction's embedding task, and rerank the candidates with each instruction."""
    parts = parts_of(request)
    await parts.quotas.require_tokens(tenant)
    deadline = deadline_of(body.timeout_ms, parts.settings.timeout_ms)
    trial = await while_connected(request, parts.trials.run(body.question(tenant), deadline))
    bill_of(request).add(trial)
    return JsonResponse(trial_response(trial))


@router.get(
    "/v1/instructions/builtin/{name}", response_model=InstructionVersionsResponse, summary="Read a built-in instruction"
)
async def get_built_in(name: Name, tenant: Tenant, request: Request) -> Response:
    """Return all versions of a built-in instruction."""
    full = f"{BUILT_IN_PREFIX}{name}"
    return JsonResponse(versions_response(full, library_of(request).versions(tenant, full)))


@router.get("/v1/instructions/{name}", response_model=InstructionVersionsResponse, summary="Read an instruction")
async def get_instruction(name: Name, tenant: Tenant, request: Request) -> Response:
    """Return all versions of an instruction, in every state."""
    return JsonResponse(versions_response(name, await asyncio.to_thread(library_of(request).versions, tenant, name)))


@router.get(
    "/v1/instructions/{name}/versions/{version}", response_model=InstructionResponse, summary="Read one version"
)
async def get_version(name: Name, version: Version, tenant: Tenant, request: Request) -> Response:
    reference = Reference(name=name, version=version)
    return JsonResponse(instruction_response(await asyncio.to_thread(library_of(request).version, tenant, reference)))


@router.get("/v1/instructions/{name}/diff", response_model=DiffResponse, summary="Compare two versions")
async def diff_versions(
    name: Name,
    tenant: Tenant,
    request: Request,
    before: Annotated[VersionInPath, Query(description="First version to compare.")],
    after: Annotated[VersionInPath, Query(description="Second version to compare.")],
) -> Response:
    """Compare two versions, field by field and line by line."""
    library = library_of(request)

    def compared() -> DiffResponse:
        was, now = (library.version(tenant, Reference(name=name, version=each)) for each in (before, after))
        return diff_response(was, now)

    return JsonResponse(await asyncio.to_thread(compared))


@router.put("/v1/instructions/{name}/draft", response_model=InstructionResponse, summary="Write a draft")
async def write_draft(name: Name, body: ContentBody, caller: Caller, request: Request) -> Response:
    """Create or replace the draft. A name has at most one, whose number is that of the next version."""
    written = await asyncio.to_thread(
        library_of(request).write_draft, caller.tenant, name, body.content, by=caller.actor
    )
    return JsonResponse(instruction_response(written))


@router.post(
    "/v1/instructions/{name}/versions/{version}/publish", response_model=InstructionResponse, summary="Publish a draft"
)
async def publish_draft(name: Name, version: Version, caller: Caller, request: Request) -> Response:
    """Publish a draft as the newest version, which never changes."""
    return JsonResponse(
        instruction_response(
            await asyncio.to_thread(library_of(request).publish_draft, caller.tenant, name, version, by=caller.actor)
        )
    )


@router.post(
    "/v1/instructions/{name}/versions/{version}/retire", response_model=InstructionResponse, summary="Retire a version"
)
async def retire_version(name: Name, version: Version, caller: Caller, request: Request) -> Response:
    """Retire a version. The name then means the published version before it; the number still works."""
    return JsonResponse(
        instruction_response(
            await asyncio.to_thread(library_of(request).retire, caller.tenant, name, version, by=caller.actor)
        )
    )


@router.delete("/v1/instructions/{name}/versions/{version}", response_model=DeletedResponse, summary="Delete a draft")
async def delete_draft(name: Name, version: Version, caller: Caller, request: Request) -> Response:
    """Delete a draft. Published versions cannot be deleted."""
    await asyncio.to_thread(library_of(request).delete_draft, caller.tenant, name, version, by=caller.actor)
    return JsonResponse(deleted_response(f"{name}@{version}"))
