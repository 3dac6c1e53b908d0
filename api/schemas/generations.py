"""Requests and answers about the generations of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from winnow.api.collections.folding import Standing, Why
from winnow.api.fields import Strict
from winnow.api.schemas.response import JsonObject
from winnow.api.schemas.search_response import IndexResponse
from winnow.retrieval.generation.listing import Listed
from winnow.retrieval.generation.pointer import Rollback
from winnow.retrieval.index.planner import Recipe
from winnow.retrieval.search.reader import Searcher


class RollbackBody(Strict):
    """POST /v1/collections/{name}/generations/rollback"""

    to: str | None = Field(
        default=None,
        description="Generation to make current. null or left out: the newest intact one before the current one.",
    )


class GenerationResponse(JsonObject):
    """One generation of an index."""

    name: str
    current: Annotated[bool, Field(description="Whether it is the current generation.")]
    rolled_back: Annotated[bool, Field(description="Whether a rollback went back from it.")]
    chunks: Annotated[int | None, Field(description="null, like the next five, if the generation cannot be read.")]
    store_version: int | None
    built_at: str | None
    built_with: str | None
    recipe: Annotated[Recipe | None, Field(description="How its vectors are stored and searched.")]
    recall: Annotated[
        float | None,
        Field(description="Share of the 100 nearest chunks that it found, measured when it was built; 1 for exact."),
    ]
    bytes: int
    fault: Annotated[str | None, Field(description="What is wrong with it; null if no fault was found.")]


class GenerationsResponse(JsonObject):
    """The generations of a collection, newest first. Only their sizes are checked; `winnow verify` reads every byte."""

    collection: str
    rolled_back_from: Annotated[
        str | None,
        Field(
            description="After a rollback: the newest generation at that time. No fold starts by itself until one is "
            "requested."
        ),
    ]
    generations: list[GenerationResponse]
    serving: Annotated[
        IndexResponse | None, Field(description="What this service searches; null if the collection is not open.")
    ]


class FoldedResponse(JsonObject):
    """POST /v1/collections/{name}/fold"""

    collection: str
    generation: Annotated[str | None, Field(description="The new generation; null while it is still being built.")]


class FoldResponse(JsonObject):
    """The state of a collection's folds, in /readyz."""

    building: Annotated[Why | None, Field(description="Why a generation is being built; null if none is.")]
    failures: Annotated[int, Field(description="Failed attempts since the last success.")]
    problem: Annotated[str | None, Field(description="Why the last attempt failed.")]


def generations_response(
    collection: str, listed: Sequence[Listed], rollback: Rollback | None, view: Searcher | None = None
) -> GenerationsResponse:
    return {
        "collection": collection,
        "rolled_back_from": rollback.newest if rollback else None,
        "generations": [_generation(each) for each in listed],
        "serving": None if view is None else _serving(view),
    }


def folded_response(collection: str, generation: str | None) -> FoldedResponse:
    return {"collection": collection, "generation": generation}


def fold_response(standing: Standing) -> FoldResponse:
    return {"building": standing.why, "failures": standing.failures, "problem": standing.problem}


def _generation(each: Listed) -> GenerationResponse:
    manifest = each.manifest
    return {
        "name": each.name,
        "current": each.is_current,
        "rolled_back": each.is_rolled_back,
        "chunks": manifest.count if manifest else None,
        "store_version": manifest.store_version if manifest else None,
        "built_at": manifest.built_at if manifest else None,
        "built_with": manifest.built_with if manifest else None,
        "recipe": manifest.index.recipe if manifest else None,
        "recall": manifest.index.recall if manifest else None,
        "bytes": each.bytes,
        "fault": each.fault,
    }


def _serving(view: Searcher) -> IndexResponse:
    return {
        "generation": view.generation,
        "fresh_chunks": view.delta_count,
        "fallback_from": view.fallback_from,
        "device": view.seat.device,
        "device_fault": view.seat.fault,
    }
