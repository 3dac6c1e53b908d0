"""The list of models in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from winnow.api.schemas.response import JsonObject


class ModelCard(JsonObject):
    """A model of the service, by name."""

    id: str
    object: str
    created: Annotated[int, Field(description="0: the service does not know.")]
    owned_by: str


class ModelsResponse(JsonObject):
    """GET /v1/models"""

    object: str
    data: Annotated[list[ModelCard], Field(description="The embedder, then the rerankers, the default one first.")]


def model_card(name: str) -> ModelCard:
    return {"id": name, "object": "model", "created": 0, "owned_by": "winnow"}


def models_response(names: Iterable[str]) -> ModelsResponse:
    return {"object": "list", "data": [model_card(name) for name in dict.fromkeys(names)]}
