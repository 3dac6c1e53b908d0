"""Bodies and answers for the generations of an index."""

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
    current: bool = Field(description="Whether it is the current generation.")
    rolled_back: bool = Field(description="Whether it was rolled back from.")
    chunks: int | None = Field(description="null if it cannot be read")
    store_version: int | None
    built_at: str | None
    built_with: str | None
    recipe: str | None = Field(description="How its vectors are stored: exact, hnsw, ivf-rabitq or ivf-pq.")
    recall: float | None = Field(
        description="Recall of the 100 nearest, measured when it was built; 1 if all vectors are compared."
    )
    bytes: int
    fault: str | None = Field(description="What is wrong with it; null if no fault was found.")


class GenerationsResponse(ResponseModel):
    """GET /v1/collections/{name}/generations, newest first. Compares file sizes; `winnow verify` reads every byte."""

    collection: str
    rolled_back_from: str | None = Field(
        description="The newest generation, if a rollback chose an older one; then none is built automatically."
    )
    generations: list[GenerationResponse]
    serving: IndexResponse | None = Field(description="What this service currently searches; null if nothing is open.")


class FoldedResponse(ResponseModel):
    """POST /v1/collections/{name}/fold"""

    collection: str
    generation: str | None = Field(description="null while it is still being built")


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
    """Return the state of folding for /readyz."""
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
        default=None, description="Generation to make current. Default: the newest intact one before the current."
    )
