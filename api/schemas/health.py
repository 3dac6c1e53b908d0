"""Answers of /healthz and /readyz."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from winnow.api.schemas.generations import FoldResponse
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.vllm.replica import Standing


class HealthResponse(JsonObject):
    """The process is alive."""

    status: Literal["alive"]
    version: str


class ProbeResponse(JsonObject):
    """What a model of this process answered to a known pair, at the start."""

    model: str
    language: str
    query: str
    relevant: float
    irrelevant: float
    separated: bool


class ModelServerResponse(JsonObject):
    """A vLLM server that winnow uses."""

    url: Annotated[str | None, Field(description="null unless the key has the scope operator.")]
    standing: Standing
    problem: Annotated[str | None, Field(description="null if there is none, or without the scope operator.")]
    tokens_in_flight: int


class ReadyModelsResponse(JsonObject):
    """The models."""

    embedder: str
    reranker: str
    rerankers: list[str]
    device: str
    probes: list[ProbeResponse]
    servers: list[ModelServerResponse]


class SpawnedServerResponse(JsonObject):
    """A vLLM server that winnow started."""

    role: str
    state: str
    seconds: Annotated[float, Field(description="Time in this state.")]
    starts: int
    note: str | None
    url: Annotated[str | None, Field(description="null unless the key has the scope operator.")]


class ReadyCollectionResponse(JsonObject):
    """A collection of the caller's tenant. Fields of its index are null while it is not open, or has none."""

    name: str
    open: bool
    generation: str | None
    rolled_back_from: str | None
    store_version: int | None
    unfolded_chunks: int | None
    fold: FoldResponse | None
    index_device: str | None
    problem: str | None


class ReadyResponse(JsonObject):
    """Whether the service can answer. Status 503 has the same body."""

    status: Literal["ready", "not ready"]
    problems: Annotated[list[str] | None, Field(description="null unless the key has the scope operator.")]
    models: ReadyModelsResponse
    spawned: list[SpawnedServerResponse]
    collections: Annotated[list[ReadyCollectionResponse] | None, Field(description="null without a key.")]
