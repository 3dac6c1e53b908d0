"""GET /v1/models, as OpenAI has it: names, which need no key."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from winnow.api.assemble import Services
from winnow.api.http.auth import AuthorizedRoute, parts_of
from winnow.api.http.problem_response import ProblemResponse
from winnow.api.http.problems import Problem
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.http.scopes import MODELS_PATH
from winnow.api.schemas.compat.models import ModelCard, ModelsResponse, ModelType, model_card, models_response

router = APIRouter(route_class=AuthorizedRoute, tags=["embeddings"])


@router.get(MODELS_PATH, response_model=ModelsResponse, summary="List the models")
async def list_models(request: Request) -> Response:
    """List the names of the embedder and the rerankers. Works without a key: some clients ask before they have one."""
    return JsonResponse(models_response(_types(parts_of(request))))


@router.get(
    "/v1/models/{name:path}",  # names of a hub have a slash, and some clients send it as it is
    response_model=ModelCard,
    summary="Read one model",
    responses={status: PROBLEMS[status] for status in (404, 422)},
)
async def read_model(name: str, request: Request) -> Response:
    """Works without a key, as the list does. An instruction may follow the name: `MODEL@NAME[@VERSION]`."""
    if not name:
        return RedirectResponse(request.url.replace(path=MODELS_PATH))
    model = name.partition("@")[0]
    if (type_ := _types(parts_of(request)).get(model)) is not None:
        return JsonResponse(model_card(name, model, type_))
    return ProblemResponse(
        Problem(status=HTTPStatus.NOT_FOUND, code="model_not_found", message=f"no model is named {name[:80]!r}")
    )


def _types(parts: Services) -> dict[str, ModelType]:
    """Return what each model does. A name that both have is the embedder's."""
    types: dict[str, ModelType] = {parts.embedding.embedder.identity.name: "embedding"}
    for name in parts.rerankers.names:
        types.setdefault(name, "rerank")
    return types
