"""POST /v1/search: parse, call, render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import Response

from winnow.api.assemble import Services
from winnow.api.fields import deadline_of
from winnow.api.http.auth import Caller, MeteredRoute, bill_of, parts_of, principal_of
from winnow.api.http.description.openapi import PROBLEM
from winnow.api.http.disconnect import while_connected
from winnow.api.http.metrics import Telemetry
from winnow.api.http.problems import MEDIA_TYPE
from winnow.api.schemas.search_request import SearchBody
from winnow.api.schemas.search_response import SearchResponse, search_response
from winnow.api.search.records import Answer, Question
from winnow.api.search.two_stage import Prepared
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import InvalidRequest


class ProblemBody(BaseModel):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    message: str
    error: dict[str, str | None]
    id: str
    limit: str | None = None


class JsonResponse(Response):
    """A JSON response, serialised by orjson."""

    media_type = "application/json"

    def __init__(self, body: Mapping[str, object] | Sequence[object], *, status: int = 200) -> None:
        super().__init__(orjson.dumps(body), status_code=status)


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": said, "content": {MEDIA_TYPE: PROBLEM}}  # models of pydantic would delay the start
    for status, said in (
        (401, "The API key is missing or invalid"),
        (
            403,
            "The key lacks the scope, or a storage limit of the tenant would be exceeded; then `limit` names it",
        ),
        (404, "There is no such collection, document or instruction"),
        (408, "The body did not arrive in time"),
        (409, "The current state does not allow this"),
        (413, "The request is larger than a limit of this route"),
        (415, "The body is compressed, or its Content-Type is not supported"),
        (422, "The request is invalid; `error.param` names the field"),
        (429, "The tenant has used up a quota; `limit` names it, Retry-After says when to retry"),
        (500, "Stored data or the service is faulty; the service's log has the details"),
        (503, "The service is overloaded, or the reranker failed and on_rerank_failure is error; see Retry-After"),
        (504, "The deadline passed before any result was available"),
        (507, "Writing to the disk failed; nothing was acknowledged"),
    )
}


def telemetry_of(request: Request) -> Telemetry:
    telemetry = request.app.state.telemetry
    assert isinstance(telemetry, Telemetry), "create_app sets it. This is a bug."
    return telemetry


router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute)


@router.post("/v1/search", response_model=SearchResponse, tags=["search"], summary="Search a collection")
async def search(body: SearchBody, caller: Caller, request: Request) -> Response:
    """Search a collection: recall finds candidates, the reranker ranks them.

    If relevance has no weight, the reranker is skipped, and `rerank_skipped` says why. If it fails, the answer is in
    recall's order with `degraded` set, unless `on_rerank_failure` is `error`.
    """
    collection = body.collection or caller.defaults.collection
    if collection is None:
        raise InvalidRequest("name a collection; this key has none of its own", param="collection")
    answered = await answer_question(request, body.question_in(collection, caller.tenant), timeout_ms=body.timeout_ms)
    said = JsonResponse(search_response(answered.answer, explain=body.explain, grouped=body.group_by_document))
    said.background = answered.afterwards
    return said


class Answered(NamedTuple):
    """An answer, and what to do once it was sent."""

    answer: Answer
    afterwards: BackgroundTask


async def answer_question(request: Request, question: Question, *, timeout_ms: int | None) -> Answered:
    """Answer a search, charge its tenant, and count it. For the routes of all dialects. Raises what `Search` raises.

    The default instruction of the caller's key applies where the question has none.
    """
    parts = parts_of(request)
    of_key = (await principal_of(request)).defaults.instruction
    if of_key is not None:
        question = replace(question, key_instruction=of_key)
    deadline = deadline_of(timeout_ms, parts.settings.timeout_ms)
    prepared = await parts.search.prepare(question)
    if prepared.is_reranked:
        await parts.quotas.require_tokens(question.tenant)
    question, answer = await while_connected(request, _resolved_and_answered(parts, question, deadline, prepared))
    telemetry_of(request).searched(answer)
    bill_of(request).add(answer)
    parts.feedback.searches.add(question, answer)
    return Answered(answer, BackgroundTask(_note, parts, question, answer))


async def _resolved_and_answered(
    parts: Services, question: Question, deadline: Deadline, prepared: Prepared
) -> tuple[Question, Answer]:
    """Each query beyond the first counts as a request."""
    resolved = await parts.conversations.resolved(question, deadline)
    await parts.quotas.spend_requests(question.tenant, len(resolved.queries) - 1)
    return resolved, await parts.search.answer(resolved, deadline, prepared)


async def _note(parts: Services, question: Question, answer: Answer) -> None:
    """Hand an answered search to shadows and samples, after the answer was sent. Waits for nothing."""
    await parts.shadowing.answered(question, answer)
    await parts.sampling.answered(question, answer)
