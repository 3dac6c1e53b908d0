"""The answer of `winnow stability perturb`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from winnow.api.schemas.response import JsonObject
from winnow.api.stability.perturb import Flip, Tried


class FlippedPlace(JsonObject):
    """A chunk."""

    document_id: str
    ordinal: int


class FlipResponse(JsonObject):
    """A query whose first place changed."""

    query: str
    disturbed: Annotated[str, Field(description="The query as it was asked then.")]
    before: FlippedPlace
    after: FlippedPlace | None


class TriedResponse(JsonObject):
    """What one kind of disturbance did."""

    kind: str
    tries: int
    flips: int
    flip_rate: Annotated[float | None, Field(description="null if it could be applied to no query.")]
    overlap_at_10: float | None
    score_shift_max: float | None
    examples: list[FlipResponse]


class PerturbResponse(JsonObject):
    """What all kinds did."""

    name: Annotated[str, Field(description="Of the golden set.")]
    queries: int
    seed: int
    kinds: list[TriedResponse]


def perturb_response(name: str, queries: int, seed: int, tried: Sequence[Tried]) -> PerturbResponse:
    return {"name": name, "queries": queries, "seed": seed, "kinds": [_tried(each) for each in tried]}


def _tried(tried: Tried) -> TriedResponse:
    return {
        "kind": tried.kind.value,
        "tries": tried.tries,
        "flips": tried.flips,
        "flip_rate": tried.flip_rate,
        "overlap_at_10": tried.overlap,
        "score_shift_max": tried.score_shift_max,
        "examples": [_flip(each) for each in tried.examples],
    }


def _flip(flip: Flip) -> FlipResponse:
    return {
        "query": flip.query,
        "disturbed": flip.disturbed,
        "before": _place(flip.before),
        "after": None if flip.after is None else _place(flip.after),
    }


def _place(place: tuple[str, int]) -> FlippedPlace:
    return {"document_id": place[0], "ordinal": place[1]}
