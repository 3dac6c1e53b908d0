"""What does a caller get back about the generations of an index? Built as in api/schemas/search_answer.py."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import (
    Field,
)

from winnow.api.collections.folding import Standing
from winnow.api.fields import (
    Strict,
)
from winnow.api.schemas.response import Json, ResponseModel
from winnow.api.schemas.search_answer import IndexResponse
from winnow.retrieval.generation.listing import Listed
from winnow.retrieval.generation.pointer import Rollback
from winnow.retrieval.search.reader import Searcher


class GenerationResponse(ResponseModel):
    """One generation of an index."""

    name: str
    current: bool = Field(description="It is the one that should serve.")
    rolled_back: bool = Field(description="Somebody went back from it.")
    chunks: int | None = Field(description="null where it cannot be read")
    store_version: int | None
    built_at: str | None
    built_with: str | None
    recipe: str | None = Field(description="How its vectors are kept: exact, hnsw, ivf-rabitq or ivf-pq.")
    recall: float | None = Field(
        description="Of the 100 nearest, measured when it was built; 1 where all are compared."
    )
    bytes: int
    fault: str | None = Field(description="What is wrong with it; null where nothing was found.")


class GenerationsResponse(ResponseModel):
    """GET /v1/collections/{name}/generations, newest first. Sizes are compared; `winnow verify` reads every byte."""

    collection: str
    rolled_back_from: str | None = Field(
        description="The newest generation over which the current one was chosen; nothing is folded by itself then."
    )
    generations: list[GenerationResponse]
    serving: IndexResponse | None = Field(description="What this service really searches; null where nothing is open.")


class FoldedResponse(ResponseModel):
    """POST /v1/collections/{name}/fold"""

    collection: str
    generation: str | None = Field(description="null where it is being built still")


def generations_response(
    collection: str, listed: Sequence[Listed], rollback: Rollback | None, view: Searcher | None = None
) -> Json:
    return {
        "collection": collection,
        "rolled_back_from": rollback.newest if rollback else None,
        "generations": [_generation(each) for each in listed],
        "serving": None
        if view is None
        else {
            "generation": view.generation,
            "fresh_chunks": view.delta_count,
            "fallback_from": view.fallback_from,
            "device": view.seat.device,
            "device_fault": view.seat.fault,
        },
    }


def fold_response(standing: Standing) -> Json:
    """For /readyz."""
    return {
        "building": standing.why.value if standing.why else None,
        "failures": standing.failures,
        "problem": standing.problem,
    }


def _generation(each: Listed) -> Json:
    manifest = each.manifest
    return {
        "name": each.name,
        "current": each.is_current,
        "rolled_back": each.is_rolled_back,
        "chunks": manifest.count if manifest else None,
        "store_version": manifest.store_version if manifest else None,
        "built_at": manifest.built_at if manifest else None,
        "built_with": manifest.built_with if manifest else None,
        "recipe": manifest.index.recipe.value if manifest else None,
        "recall": manifest.index.recall if manifest else None,
        "bytes": each.bytes,
        "fault": each.fault,
    }


class RollbackBody(Strict):
    """POST /v1/collections/{name}/generations/rollback"""

    to: str | None = Field(
        default=None, description="The generation to make current; the newest whole one before it unless given."
    )
