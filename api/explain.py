"""Why is the index what it is, and what would be built now? For `winnow generations explain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from retrieval.errors import MemoryTooSmall
from retrieval.generation import Manifest, current_name, examined, writes_per_second
from retrieval.index_building import IndexFacts, planned
from retrieval.layout import CollectionFolder
from retrieval.machine_memory import available_bytes
from retrieval.recipes import IndexWish, Plan
from retrieval.store import StoreSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The current generation's recipe, and the next one's as far as anybody can tell now."""

    manifest: Manifest | None  # None: nothing was published, or what was cannot be read
    vectors: int  # that the next generation would hold
    writes_per_second: float
    memory_bytes: int | None  # that are free; None where nobody knows
    plan: Plan | None
    refused: str | None  # why there is no plan


def explained(folder: CollectionFolder, snapshot: StoreSnapshot, dimension: int, wish: IndexWish) -> Explained:
    """Builds nothing, and reads no vector."""
    name = current_name(folder)
    rate = writes_per_second(folder, snapshot)
    plan, refused = None, None
    try:
        plan = planned(snapshot, dimension, wish, writes_per_second=rate)
    except MemoryTooSmall as error:
        refused = error.message
    return Explained(
        manifest=examined(folder, name, thorough=False)[0] if name else None,
        vectors=snapshot.count(),
        writes_per_second=rate,
        memory_bytes=available_bytes(),
        plan=plan,
        refused=refused,
    )


def explained_said(collection: str, found: Explained) -> dict[str, Any]:
    """As JSON."""
    return {
        "collection": collection,
        "current": {
            "generation": found.manifest.name,
            "chunks": found.manifest.count,
            **index_said(found.manifest.index),
        }
        if found.manifest
        else None,
        "next": {
            "recipe": found.plan.recipe.value,
            "reason": found.plan.reason,
            "index_bytes": found.plan.index_bytes,
            "building_bytes": found.plan.building_bytes,
        }
        if found.plan
        else None,
        "refused": found.refused,
        "chunks": found.vectors,
        "writes_per_second": round(found.writes_per_second, 3),
        "memory_bytes": found.memory_bytes,
    }


def index_said(facts: IndexFacts) -> dict[str, Any]:
    """By which recipe an index was built, why, and what it reaches."""
    return {
        "recipe": facts.recipe.value,
        "reason": facts.reason,
        "parameters": dict(facts.parameters),
        "recall": facts.recall,
        "recall_target": facts.recall_target,
    }
