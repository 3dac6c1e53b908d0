"""GET /v1/models, as OpenAI has it: names, which need no key."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from winnow.api.assemble import Services
from winnow.api.http.auth import AuthorizedRoute, parts_of
from winnow.api.http.problem_response import ProblemResponse
from winnow.api.http.problems import Problem
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.compat.models import ModelCard, ModelsResponse, model_card, models_response

router = APIRouter(route_class=AuthorizedRoute, tags=["embeddings"])


@router.get("/v1/models", response_model=ModelsResponse, summary="List the models")
async def list_models(request: Request) -> Response:
    """List the names of the embedder and the rerankers. Works without a key: some clients ask before they have one."""
    return JsonResponse(models_response(_names(parts_of(request))))


@router.get(
    "/v1/models/{name}",
    response_model=ModelCard,
    summary="Read one model",
    responses={status: PROBLEMS[status] for status in (404, 422)},
)
async def read_model(name: str, request: Request) -> Response:
    """Works without a key, as the list does."""
    if name in _names(parts_of(request)):
        return JsonResponse(model_card(name))
    return ProblemResponse(
        Problem(status=HTTPStatus.NOT_FOUND, code="model_not_found", message=f"no model is named {name[:80]!r}")
    )


def _names(parts: Services) -> list[str]:
    return [parts.embedding.embedder.identity.name, *parts.rerankers.names]
