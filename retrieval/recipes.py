"""Which kind of index suits this collection, and why? One pure function; nothing here measures, builds or searches.

    exact        every vector is compared: right by construction, and the time of a search grows with the count
    hnsw         a graph over vectors of one byte for each number: the fastest, and the slowest to build
    ivf-rabitq   lists of four-bit codes, the best of which are compared again by vectors of one byte for each number
    ivf-pq       the same with codes half as large: the smallest
    gpu-flat     every vector in half precision on a GPU
    gpu-cagra    a graph on a GPU, over vectors in half precision
    gpu-ivf-pq   lists of codes of half a byte for each number on a GPU, refined on the host

The last three can be chosen, and cannot be built yet: none has been through `retrieval.index_probe` on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import isqrt
from typing import Final

from retrieval.errors import InvalidRequest, MemoryTooSmall

EXACT_COUNT_MAX: Final = 100_000  # vectors; up to here comparing all of them takes some milliseconds
GPU_EXACT_COUNT_MAX: Final = 10_000_000  # vectors; of 1,024 dimensions 20 GB, by calculation a few milliseconds
APPROXIMATE_COUNT_MIN: Final = 1_000  # vectors; below it there is nothing to learn from, and nothing to gain
EXACT_RECALL: Final = 0.99  # a target above it is not promised by vectors of one byte for each number
GRAPH_WRITES_MAX: Final = 60  # chunks per second; above it the index is built anew so often that a graph costs too much
SAMPLE_MAX: Final = 131_072  # vectors that lists are learned from
SAMPLE_PER_LIST: Final = 40  # vectors; FAISS complains below 39
BUILDING_FACTOR: Final = 2.5  # FAISS doubles its arrays as they fill: the old one and the new one stand side by side
EXACT_BUILDING_FACTOR: Final = 1.35  # room is made at once; measured 1.2 to 1.3 (bench/growth.py)
READING_BYTES: Final = 48_000_000  # of the store beside it, whatever the count; measured 15 to 45 MB
TUNING_BYTES: Final = 64_000_000  # what it takes to compare a batch with all queries of the tuning
RECALL_TARGET: Final = 0.98  # of the 100 nearest, unless a deployment sets another


class Recipe(StrEnum):
    """How vectors are kept and searched."""

    EXACT = "exact"
    HNSW = "hnsw"
    IVF_RABITQ = "ivf-rabitq"
    IVF_PQ = "ivf-pq"
    GPU_FLAT = "gpu-flat"
    GPU_CAGRA = "gpu-cagra"
    GPU_IVF_PQ = "gpu-ivf-pq"


BUILDABLE: Final = (Recipe.EXACT, Recipe.HNSW, Recipe.IVF_RABITQ, Recipe.IVF_PQ)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexWish:
    """What a deployment asks of its indexes."""

    recipe: Recipe | None = None  # None: whichever suits
    recall_target: float = RECALL_TARGET

    def __post_init__(self) -> None:
        if self.recipe is not None and self.recipe not in BUILDABLE:
            raise InvalidRequest(f"{self.recipe} cannot be built; {', '.join(BUILDABLE)} can")


ANY_INDEX: Final = IndexWish()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a choice depends on."""

    count: int
    dimension: int
    memory_bytes: int | None = None  # that may be used on the device; None where nobody knows
    device: str = "cpu"
    recall_target: float = RECALL_TARGET
    writes_per_second: float = 0.0  # chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A recipe, and why it was chosen."""

    recipe: Recipe
    dimension: int
    lists: int  # of an inverted file; 0 where there is none
    index_bytes: int
    building_bytes: int
    reason: str


def chosen(conditions: Conditions, *, wanted: Recipe | None = None) -> Plan:
    """What to build. `wanted` is built unless it cannot be. Raises `MemoryTooSmall`, with figures."""
    if wanted is not None:
        return _wanted(conditions, wanted)
    if conditions.device != "cpu":
        return _first_that_fits(conditions, _on_gpu(conditions), "there is a GPU")
    if conditions.count <= EXACT_COUNT_MAX:
        return _first_that_fits(
            conditions,
            [Recipe.EXACT, *([Recipe.IVF_RABITQ, Recipe.IVF_PQ] if conditions.count >= APPROXIMATE_COUNT_MIN else [])],
            f"{conditions.count:,} vectors are few enough to compare them all",
        )
    if conditions.recall_target > EXACT_RECALL:
        why = f"a recall of {conditions.recall_target} is wanted, which only comparing all of them promises"
        return _first_that_fits(conditions, [Recipe.EXACT], why)
    small = [Recipe.IVF_RABITQ, Recipe.IVF_PQ]
    if conditions.writes_per_second > GRAPH_WRITES_MAX:
        why = f"{conditions.writes_per_second:,.0f} chunks are written per second, and lists are built faster"
        return _first_that_fits(conditions, small, why)
    why = f"{conditions.count:,} vectors are too many to compare them all"
    return _first_that_fits(conditions, [Recipe.HNSW, *small], why)


def index_bytes(recipe: Recipe, *, count: int, dimension: int, lists: int = 0) -> int:
    """Of the index and the chunk numbers beside it, once it is built."""
    links = 32 * 2 * 4 + 24  # of a vector in the graph: two times 32 on the ground, a few above it
    each = {
        Recipe.EXACT: 4 * dimension,
        Recipe.HNSW: dimension + links,
        Recipe.IVF_RABITQ: dimension + dimension // 2 + 40,
        Recipe.IVF_PQ: dimension + _pq_bytes(dimension) + 12,
        Recipe.GPU_FLAT: 2 * dimension,
        Recipe.GPU_CAGRA: 2 * dimension + 64 * 4,
        Recipe.GPU_IVF_PQ: dimension // 2 + 8,
    }[recipe]
    return count * (each + 8) + 4 * dimension * lists


def lists_for(count: int) -> int:
    """Four times the square root, as long as each is learned from enough vectors."""
    return max(1, min(4 * isqrt(count), min(count, SAMPLE_MAX) // SAMPLE_PER_LIST))


def _on_gpu(conditions: Conditions) -> list[Recipe]:
    """A GPU reads terabytes in a second: comparing all is quick for far longer than on a CPU."""
    if conditions.recall_target > EXACT_RECALL or conditions.count < APPROXIMATE_COUNT_MIN:
        return [Recipe.GPU_FLAT]
    return [Recipe.GPU_FLAT if conditions.count <= GPU_EXACT_COUNT_MAX else Recipe.GPU_CAGRA, Recipe.GPU_IVF_PQ]


def _wanted(conditions: Conditions, wanted: Recipe) -> Plan:
    if wanted is not Recipe.EXACT and conditions.count < APPROXIMATE_COUNT_MIN:
        why = f"{wanted} is set, but {conditions.count:,} vectors are too few for it"
        return _first_that_fits(conditions, [Recipe.EXACT], why)
    return _first_that_fits(conditions, [wanted], f"{wanted} is set")


def _first_that_fits(conditions: Conditions, recipes: list[Recipe], why: str) -> Plan:
    plans = [_plan(conditions, recipe) for recipe in recipes]
    for plan in plans:
        if conditions.memory_bytes is None or plan.building_bytes <= conditions.memory_bytes:
            passed = [f"{each.recipe} needs {_megabytes(each.building_bytes)}" for each in plans[: plans.index(plan)]]
            room = [f"{' and '.join(passed)}, {_megabytes(conditions.memory_bytes or 0)} are free"] if passed else []
            return replace(plan, reason="; ".join([why, *room]))
    needs = ", ".join(f"{each.recipe} needs {_megabytes(each.building_bytes)}" for each in plans)
    raise MemoryTooSmall(
        f"an index of {conditions.count:,} vectors of {conditions.dimension} dimensions cannot be built in the "
        f"{_megabytes(conditions.memory_bytes or 0)} that are free: {needs}"
    )


def _plan(conditions: Conditions, recipe: Recipe) -> Plan:
    count, dimension = conditions.count, conditions.dimension
    lists = lists_for(count) if recipe in {Recipe.IVF_RABITQ, Recipe.IVF_PQ, Recipe.GPU_IVF_PQ} else 0
    size = index_bytes(recipe, count=count, dimension=dimension, lists=lists)
    if recipe is Recipe.EXACT:
        building = int(EXACT_BUILDING_FACTOR * size) + READING_BYTES
    else:
        building = int(BUILDING_FACTOR * size) + 2 * 4 * dimension * min(count, SAMPLE_MAX) + TUNING_BYTES
    return Plan(
        recipe=recipe,
        dimension=dimension,
        lists=lists,
        index_bytes=size,
        building_bytes=building,
        reason="",
    )


def _pq_bytes(dimension: int) -> int:
    """Four bits for each two numbers, or for each one where they do not pair up."""
    return dimension // 4 if dimension % 2 == 0 else dimension // 2 + 1


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
