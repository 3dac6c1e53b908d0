"""POST /mcp: the Model Context Protocol. The caller is known before the protocol begins."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.background import BackgroundTasks
from starlette.responses import Response

from winnow.api.http.auth import Caller, MeteredRoute, bill_of, parts_of
from winnow.api.http.description.openapi import PROBLEM
from winnow.api.http.disconnect import while_connected
from winnow.api.http.problem_response import ProblemResponse
from winnow.api.http.problems import MEDIA_TYPE, Problem, problem_of_status
from winnow.api.http.routes.search import PROBLEMS, answer_question
from winnow.api.mcp.library import Defaults, ServiceLibrary
from winnow.api.mcp.mounted import MountedMcp
from winnow.api.search.records import Answer, Question
from winnow.retrieval.catalog.quotas import Usage
from winnow.retrieval.limits import INSTRUCTION_CHARACTERS_MAX

NOT_INSTALLED: Final = Problem(
    status=HTTPStatus.NOT_IMPLEMENTED,
    code="not_installed",
    message="the Model Context Protocol is not installed here; its operator needs: pip install 'winnow-search[mcp]'",
)

_MESSAGE: Final = {
    "type": "object",
    "properties": {"jsonrpc": {"const": "2.0"}, "id": {}, "method": {"type": "string"}, "params": {"type": "object"}},
    "required": ["jsonrpc"],
}  # of JSON-RPC; the protocol's own pages describe the rest
_JSON: Final = "application/json"
_OF_PROTOCOL: Final[dict[int | str, dict[str, Any]]] = {  # besides problems
    200: {"description": "The answer", "content": {_JSON: {"schema": _MESSAGE}}},
    202: {"description": "A notification, which has no answer"},
    **{
        status: {"description": said, "content": {_JSON: {"schema": _MESSAGE}, MEDIA_TYPE: PROBLEM}}
        for status, said in (
            (400, "The message is not valid"),
            (406, "The `Accept` header does not allow JSON"),
            (415, "The Content-Type is not JSON"),
        )
    },
    501: {"description": "The protocol is not installed here", "content": {MEDIA_TYPE: PROBLEM}},
}

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["mcp"])


@router.post(
    "/mcp",
    summary="Model Context Protocol (streamable HTTP, without sessions)",
    response_class=Response,
    responses=_OF_PROTOCOL,
    openapi_extra={"requestBody": {"required": True, "content": {_JSON: {"schema": _MESSAGE}}}},
)
async def answer_mcp(
    caller: Caller,
    request: Request,
    *,
    collection: Annotated[str | None, Query(description="Search this collection where a call names none.")] = None,
    instruction: Annotated[
        str | None,
        Query(
            max_length=INSTRUCTION_CHARACTERS_MAX,
            description="What counts as relevant where a call does not say: a text, or NAME or NAME@VERSION.",
        ),
    ] = None,
) -> Response:
    """Tools: search, fetch, search_filtered, list_collections. Documents are resources."""
    mounted = request.app.state.mcp
    parts, afterwards = parts_of(request), BackgroundTasks()
    bill_of(request).add(Usage(tenant=caller.tenant, day=parts.usage.today()))  # most messages compute nothing
    if not isinstance(mounted, MountedMcp):
        return ProblemResponse(NOT_INSTALLED)

    async def ask(question: Question) -> Answer:
        answered = await answer_question(request, question, timeout_ms=None)
        afterwards.tasks.append(answered.afterwards)
        return answered.answer

    defaults = Defaults(collection=collection or caller.defaults.collection, instruction=instruction or None)
    library = ServiceLibrary(parts, tenant=caller.tenant, ask=ask, defaults=defaults)
    answer = await while_connected(request, mounted.answer(request, library))
    if answer.status_code >= HTTPStatus.BAD_REQUEST and "content-type" not in answer.headers:
        answer = ProblemResponse(problem_of_status(answer.status_code, bytes(answer.body).decode()))
    answer.background = afterwards
    return answer
