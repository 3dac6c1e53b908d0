"""The list of models in OpenAI's shape, with what Xinference's client reads of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from winnow.api.schemas.response import JsonObject

ModelType = Literal["embedding", "rerank"]


class ModelCard(JsonObject):
    """A model of the service, by name."""

    id: str
    object: str
    created: Annotated[int, Field(description="0: the service does not know.")]
    owned_by: str
    model_type: Annotated[ModelType, Field(description="What it does, in the words of Xinference.")]
    model_name: str


class ModelsResponse(JsonObject):
    """GET /v1/models"""

    object: str
    data: Annotated[list[ModelCard], Field(description="The embedder, then the rerankers, the default one first.")]


def model_card(id_: str, name: str, type_: ModelType) -> ModelCard:
    """`id_` is what a client asked for: the name, perhaps with an instruction after it."""
    return {
        "id": id_,
        "object": "model",
        "created": 0,
        "owned_by": "winnow",
        "model_type": type_,
        "model_name": name,
    }


def models_response(types: Mapping[str, ModelType]) -> ModelsResponse:
    return {"object": "list", "data": [model_card(name, name, type_) for name, type_ in types.items()]}
