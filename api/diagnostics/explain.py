"""Explains why the index is what it is, and what would be built now, for `winnow generations explain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from winnow.retrieval.errors import DeviceUnusable, MemoryTooSmall
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.manifest import Manifest
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.generation.publish import writes_per_second
from winnow.retrieval.index.build import IndexFacts, plan_index
from winnow.retrieval.index.gpu_index import ON_CPU, IndexDevice, Seat
from winnow.retrieval.index.memory import available_bytes
from winnow.retrieval.index.planner import IndexWish, Plan
from winnow.retrieval.model.gpu_memory import GpuMemory
from winnow.retrieval.store.contract import StoreSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFound:
    """The configured device, at this moment."""

    name: str
    memory: GpuMemory | None  # None: unknown
    fault: str | None  # why no index is searched there


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The recipe of the current generation, and that of the next one as far as known now."""

    manifest: Manifest | None  # None: nothing was published, or it cannot be read
    vectors: int  # vectors of the next generation
    writes_per_second: float
    memory_bytes: int | None  # free memory; None if unknown
    plan: Plan | None
    refused: str | None  # why there is no plan
    seat: Seat  # where a service with these settings would search the current one
    device: DeviceFound | None  # None: none is configured


def explained(
    folder: CollectionFolder,
    snapshot: StoreSnapshot,
    dimension: int,
    wish: IndexWish,
    *,
    device: IndexDevice | None = None,
) -> Explained:
    """Explain without building, and without reading vectors. Device memory used by running services counts as taken."""
    name = current_name(folder)
    rate = writes_per_second(folder, snapshot)
    plan, refused = None, None
    try:
        plan = plan_index(snapshot, dimension, wish, writes_per_second=rate)
    except MemoryTooSmall as error:
        refused = error.message
    manifest = check_generation(folder, name, thorough=False)[0] if name else None
    return Explained(
        manifest=manifest,
        vectors=snapshot.count(),
        writes_per_second=rate,
        memory_bytes=available_bytes(),
        plan=plan,
        refused=refused,
        seat=_foresee_seat(manifest, device),
        device=None if device is None else _describe_device(device),
    )


def _foresee_seat(manifest: Manifest | None, device: IndexDevice | None) -> Seat:
    if manifest is None or device is None:
        return ON_CPU
    return device.predict_placement(manifest.index.recipe, count=manifest.count, dimension=manifest.embedder.dimension)


def _describe_device(device: IndexDevice) -> DeviceFound:
    fault = None
    try:
        device.require_correct()
    except DeviceUnusable as unusable:
        fault = unusable.message
    return DeviceFound(name=device.name, memory=device.memory(), fault=fault)


def explained_said(collection: str, found: Explained) -> dict[str, Any]:
    """Return the explanation as JSON."""
    return {
        "collection": collection,
        "current": {
            "generation": found.manifest.name,
            "chunks": found.manifest.count,
            **index_json(found.manifest.index),
            "searched_on": {"device": found.seat.device, "reason": found.seat.reason, "fault": found.seat.fault},
        }
        if found.manifest
        else None,
        "next": {
            "recipe": found.plan.recipe.value,
            "reason": found.plan.reason,
            "index_bytes": found.plan.index_bytes,
            "building_bytes": found.plan.building_bytes,
            "stored_as": found.plan.recipe.stored.value,
            "device_bytes": found.plan.device_bytes,
        }
        if found.plan
        else None,
        "refused": found.refused,
        "chunks": found.vectors,
        "writes_per_second": round(found.writes_per_second, 3),
        "memory_bytes": found.memory_bytes,
        "device": None if found.device is None else _device_json(found.device),
    }


def _device_json(found: DeviceFound) -> dict[str, Any]:
    memory = found.memory
    return {
        "name": found.name,
        "free_bytes": memory.free_bytes if memory else None,
        "total_bytes": memory.total_bytes if memory else None,
        "fault": found.fault,
    }


def index_json(facts: IndexFacts) -> dict[str, Any]:
    """Return the recipe of an index, its reason, and the recall it reaches."""
    return {
        "recipe": facts.recipe.value,
        "reason": facts.reason,
        "parameters": dict(facts.parameters),
        "recall": facts.recall,
        "recall_target": facts.recall_target,
    }
