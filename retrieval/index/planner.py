"""Chooses the kind of index for a collection. Pure: measures, builds and searches nothing.

    exact        compares every vector: correct by construction, and linear in their number
    hnsw         a graph over vectors of one byte per dimension: the fastest, and the slowest to build
    ivf-rabitq   lists of four-bit codes, the best of which are compared again by one byte per dimension
    ivf-pq       the same with codes half as large: the smallest
    gpu-flat     exact on disk, and searched on a GPU, over a copy in half precision

The last one is chosen at opening, not built (retrieval/index/gpu_index.py): what is published can be opened on any
machine. Graphs and lists on a GPU are not offered: at a million vectors they were not fast enough to matter
(bench/RESULTS.md), and would have to be built and tuned at every opening.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import isqrt
from typing import Final

from winnow.retrieval.errors import InvalidRequest, MemoryTooSmall

# Bytes of vectors. One core compares as many, by their codes first, in 6 ms; a graph of embeddings of text takes 4 to
# 6 ms to find 0.98 of the nearest, and a minute to be built. To find `GRAPH_RECALL` it takes 1 ms (bench/RESULTS.md).
SCAN_BYTES_MAX: Final = 410_000_000
SCAN_BYTES_MAX_BESIDE_GRAPH: Final = 100_000_000  # where no more than `GRAPH_RECALL` is wanted
GRAPH_RECALL: Final = 0.95
CPU: Final = "cpu"
GPU_EXACT_COUNT_MAX: Final = 10_000_000  # vectors; an H200 compares as many of 1,024 dimensions in five milliseconds
DEVICE_COUNT_MIN: Final = 10_000  # vectors; the CPU compares fewer in the time that a call to the GPU takes
DEVICE_SCRATCH_BYTES: Final = 268_435_456  # FAISS takes this beside an index on the device, for data in transit
DEVICE_WORK_BYTES: Final = 1_000_000_000  # scratch, and the pages in which vectors are copied, before they are rounded
DEVICE_WORK_EACH: Final = 24  # bytes per vector: its length, twice, its similarity, and the selector
APPROXIMATE_COUNT_MIN: Final = 1_000  # vectors; fewer are too few to train on, and gain nothing
EXACT_RECALL: Final = 0.99  # vectors of one byte per dimension cannot promise more
GRAPH_WRITES_MAX: Final = 60  # chunks per second; above it the index is rebuilt so often that a graph costs too much
SAMPLE_MAX: Final = 131_072  # vectors that lists are trained on
SAMPLE_PER_LIST: Final = 40  # vectors; FAISS complains below 39
BUILDING_FACTOR: Final = 2.5  # FAISS doubles its arrays as they fill, with the old and the new one in memory
EXACT_BUILDING_FACTOR: Final = 1.35  # memory is allocated at once; measured 1.2 to 1.3 (bench/growth.py)
READING_BYTES: Final = 48_000_000  # of the store during a build, whatever the count; measured 15 to 45 MB
TUNING_BYTES: Final = 64_000_000  # for comparing a batch with all tuning queries
RECALL_TARGET: Final = 0.98  # of the 100 nearest, unless the deployment sets another


class Recipe(StrEnum):
    """How vectors are stored and searched."""

    EXACT = "exact"
    HNSW = "hnsw"
    IVF_RABITQ = "ivf-rabitq"
    IVF_PQ = "ivf-pq"
    GPU_FLAT = "gpu-flat"

    @property
    def stored(self) -> Recipe:
        """The recipe on disk, which is the same with and without a GPU."""
        return Recipe.EXACT if self is Recipe.GPU_FLAT else self


BUILDABLE: Final = (Recipe.EXACT, Recipe.HNSW, Recipe.IVF_RABITQ, Recipe.IVF_PQ)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexWish:
    """Options of a deployment for its indexes."""

    recipe: Recipe | None = None  # None: chosen by the planner
    recall_target: float = RECALL_TARGET
    device: str = CPU  # where they will be searched
    device_memory_bytes: int | None = None  # total memory of that device; None if unknown

    def __post_init__(self) -> None:
        if self.recipe is not None and self.recipe not in BUILDABLE:
            raise InvalidRequest(f"{self.recipe} cannot be built; choose one of {', '.join(BUILDABLE)}")


ANY_INDEX: Final = IndexWish()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Inputs of the choice."""

    count: int
    dimension: int
    memory_bytes: int | None = None  # available for building; None if unknown
    device: str = CPU
    device_memory_bytes: int | None = None  # available on the device; None if unknown
    recall_target: float = RECALL_TARGET
    writes_per_second: float = 0.0  # chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A recipe, its sizes, and the reason for it."""

    recipe: Recipe
    dimension: int
    lists: int  # of an inverted file; 0 if there is none
    index_bytes: int
    building_bytes: int
    reason: str
    device_bytes: int = 0  # on a GPU


def choose_plan(conditions: Conditions, *, wanted: Recipe | None = None) -> Plan:
    """Choose what to build: `wanted` if possible. Raises `MemoryTooSmall`, with figures."""
    if conditions.device == CPU or wanted not in {None, Recipe.EXACT}:
        return _on_cpu(conditions, wanted)
    why_not = _unfit_for_device(conditions)
    if why_not is None:
        why = f"{conditions.device} compares {conditions.count:,} vectors in a few milliseconds"
        return _first_that_fits(conditions, _with_device(conditions, wanted), why)
    plan = _on_cpu(conditions, wanted)
    return replace(plan, reason=f"{why_not}; {plan.reason}")


def _on_cpu(conditions: Conditions, wanted: Recipe | None) -> Plan:
    if wanted is not None:
        return _plan_wanted(conditions, wanted)
    scanned_max = SCAN_BYTES_MAX if conditions.recall_target > GRAPH_RECALL else SCAN_BYTES_MAX_BESIDE_GRAPH
    if vector_bytes(conditions.count, conditions.dimension) <= scanned_max:
        return _first_that_fits(
            conditions,
            [Recipe.EXACT, *([Recipe.IVF_RABITQ, Recipe.IVF_PQ] if conditions.count >= APPROXIMATE_COUNT_MIN else [])],
            f"{conditions.count:,} vectors are few enough to compare them all",
        )
    if conditions.recall_target > EXACT_RECALL:
        why = f"the recall target is {conditions.recall_target}, which only comparing all vectors guarantees"
        return _first_that_fits(conditions, [Recipe.EXACT], why)
    small = [Recipe.IVF_RABITQ, Recipe.IVF_PQ]
    if conditions.writes_per_second > GRAPH_WRITES_MAX:
        why = f"{conditions.writes_per_second:,.0f} chunks are written per second, and lists are built faster"
        return _first_that_fits(conditions, small, why)
    why = f"{conditions.count:,} vectors are too many to compare them all"
    return _first_that_fits(conditions, [Recipe.HNSW, *small], why)


def vector_bytes(count: int, dimension: int) -> int:
    """Return the size of the vectors themselves, in float32."""
    return 4 * count * dimension


def index_bytes(recipe: Recipe, *, count: int, dimension: int, lists: int = 0) -> int:
    """Size of the finished index and its chunk numbers."""
    links = 32 * 2 * 4 + 24  # per vector in the graph: two times 32 on the bottom layer, a few above it
    each = {
        Recipe.EXACT: 4 * dimension,
        Recipe.HNSW: dimension + links,
        Recipe.IVF_RABITQ: dimension + dimension // 2 + 40,
        Recipe.IVF_PQ: dimension + _pq_bytes(dimension) + 12,
    }[recipe.stored]
    return count * (each + 8) + 4 * dimension * lists


def lists_for(count: int) -> int:
    """Four times the square root, but no more than the sample can train."""
    return max(1, min(4 * isqrt(count), min(count, SAMPLE_MAX) // SAMPLE_PER_LIST))


def device_bytes(*, count: int, dimension: int) -> int:
    """Device memory of an exact index in half precision while it is copied and searched."""
    return count * (2 * dimension + DEVICE_WORK_EACH) + DEVICE_WORK_BYTES


def _unfit_for_device(conditions: Conditions) -> str | None:
    """Why the device will not search all vectors; None if it will: it compares far more of them than a CPU can."""
    count, device, memory = conditions.count, conditions.device, conditions.device_memory_bytes
    if count < DEVICE_COUNT_MIN:
        return f"{count:,} vectors are too few to gain from {device}"
    if count > GPU_EXACT_COUNT_MAX:
        return f"{count:,} vectors are more than {device} is known to compare in time"
    needed = device_bytes(count=count, dimension=conditions.dimension)
    if memory is not None and needed > memory:
        return f"{Recipe.GPU_FLAT} needs {megabytes(needed)} on {device}, which has {megabytes(memory)}"
    return None


def _with_device(conditions: Conditions, wanted: Recipe | None) -> list[Recipe]:
    """The built index is in host memory, too; if that is too small, smaller recipes remain."""
    if wanted is not None or conditions.recall_target > EXACT_RECALL:
        return [Recipe.GPU_FLAT]
    return [Recipe.GPU_FLAT, Recipe.IVF_RABITQ, Recipe.IVF_PQ]


def _plan_wanted(conditions: Conditions, wanted: Recipe) -> Plan:
    if wanted is not Recipe.EXACT and conditions.count < APPROXIMATE_COUNT_MIN:
        why = f"{wanted} is configured, but {conditions.count:,} vectors are too few for it"
        return _first_that_fits(conditions, [Recipe.EXACT], why)
    return _first_that_fits(conditions, [wanted], f"{wanted} is configured")


def _first_that_fits(conditions: Conditions, recipes: list[Recipe], why: str) -> Plan:
    plans = [_plan(conditions, recipe) for recipe in recipes]
    for plan in plans:
        if conditions.memory_bytes is None or plan.building_bytes <= conditions.memory_bytes:
            passed = [f"{each.recipe} needs {megabytes(each.building_bytes)}" for each in plans[: plans.index(plan)]]
            room = (
                [f"{' and '.join(passed)}, {megabytes(conditions.memory_bytes or 0)} are available"] if passed else []
            )
            return replace(plan, reason="; ".join([why, *room]))
    needs = ", ".join(f"{each.recipe} needs {megabytes(each.building_bytes)}" for each in plans)
    raise MemoryTooSmall(
        f"not enough memory to build an index of {conditions.count:,} vectors with {conditions.dimension} dimensions: "
        f"{megabytes(conditions.memory_bytes or 0)} are available; {needs}"
    )


def _plan(conditions: Conditions, recipe: Recipe) -> Plan:
    count, dimension = conditions.count, conditions.dimension
    lists = lists_for(count) if recipe in {Recipe.IVF_RABITQ, Recipe.IVF_PQ} else 0
    size = index_bytes(recipe, count=count, dimension=dimension, lists=lists)
    if recipe.stored is Recipe.EXACT:
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
        device_bytes=device_bytes(count=count, dimension=dimension) if recipe is Recipe.GPU_FLAT else 0,
    )


def _pq_bytes(dimension: int) -> int:
    """Four bits for every two dimensions, or for each one if their number is odd."""
    return dimension // 4 if dimension % 2 == 0 else dimension // 2 + 1


def megabytes(count: int) -> str:
    """Format for people, who compare it with what is free."""
    return f"{count / 1e6:,.0f} MB"
