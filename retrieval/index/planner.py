"""Which kind of index suits this collection, and why? One pure function; nothing here measures, builds or searches.

    exact        every vector is compared: right by construction, and the time of a search grows with the count
    hnsw         a graph over vectors of one byte for each number: the fastest, and the slowest to build
    ivf-rabitq   lists of four-bit codes, the best of which are compared again by vectors of one byte for each number
    ivf-pq       the same with codes half as large: the smallest
    gpu-flat     exact on the disk, and searched on a GPU, over a copy in half precision

The last is not built but opened (retrieval/index/gpu_index.py): what is published can be opened on any machine. Graphs
and lists on a GPU are not among them: at a million vectors they were no faster by enough to matter (bench/RESULTS.md),
and would have to be built and tuned anew at every opening.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import isqrt
from typing import Final

from winnow.retrieval.errors import InvalidRequest, MemoryTooSmall

EXACT_COUNT_MAX: Final = 100_000  # vectors; up to here comparing all of them takes some milliseconds
CPU: Final = "cpu"
GPU_EXACT_COUNT_MAX: Final = 10_000_000  # vectors; as many of 1,024 dimensions take an H200 five milliseconds
DEVICE_COUNT_MIN: Final = 10_000  # vectors; fewer are compared on the CPU in the time that it takes to ask a GPU
DEVICE_SCRATCH_BYTES: Final = 268_435_456  # that FAISS takes beside an index there, for what is on its way
DEVICE_WORK_BYTES: Final = 1_000_000_000  # scratch, and the pages in which vectors are copied, before they are rounded
DEVICE_WORK_EACH: Final = 24  # bytes for each vector: its length, twice, its similarity, and who may answer
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

    @property
    def stored(self) -> Recipe:
        """How it lies on the disk, which is the same with and without a GPU."""
        return Recipe.EXACT if self is Recipe.GPU_FLAT else self


BUILDABLE: Final = (Recipe.EXACT, Recipe.HNSW, Recipe.IVF_RABITQ, Recipe.IVF_PQ)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexWish:
    """What a deployment asks of its indexes."""

    recipe: Recipe | None = None  # None: whichever suits
    recall_target: float = RECALL_TARGET
    device: str = CPU  # where they will be searched
    device_memory_bytes: int | None = None  # of that device, in all; None where nobody knows

    def __post_init__(self) -> None:
        if self.recipe is not None and self.recipe not in BUILDABLE:
            raise InvalidRequest(f"{self.recipe} cannot be built; {', '.join(BUILDABLE)} can")


ANY_INDEX: Final = IndexWish()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a choice depends on."""

    count: int
    dimension: int
    memory_bytes: int | None = None  # that may be used while it is built; None where nobody knows
    device: str = CPU
    device_memory_bytes: int | None = None  # that may be used on the device; None where nobody knows
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
    device_bytes: int = 0  # that it takes on a GPU


def chosen(conditions: Conditions, *, wanted: Recipe | None = None) -> Plan:
    """What to build. `wanted` is built unless it cannot be. Raises `MemoryTooSmall`, with figures."""
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
        return _wanted(conditions, wanted)
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
    }[recipe.stored]
    return count * (each + 8) + 4 * dimension * lists


def lists_for(count: int) -> int:
    """Four times the square root, as long as each is learned from enough vectors."""
    return max(1, min(4 * isqrt(count), min(count, SAMPLE_MAX) // SAMPLE_PER_LIST))


def device_bytes(*, count: int, dimension: int) -> int:
    """On a GPU, of an exact index in half precision while it is copied and searched there."""
    return count * (2 * dimension + DEVICE_WORK_EACH) + DEVICE_WORK_BYTES


def _unfit_for_device(conditions: Conditions) -> str | None:
    """Why the device will not search all vectors; None where it will: it compares far more of them than a CPU can."""
    count, device, memory = conditions.count, conditions.device, conditions.device_memory_bytes
    if count < DEVICE_COUNT_MIN:
        return f"{count:,} vectors are too few for {device} to gain by"
    if count > GPU_EXACT_COUNT_MAX:
        return f"{count:,} vectors are more than {device} is known to compare in time"
    needed = device_bytes(count=count, dimension=conditions.dimension)
    if memory is not None and needed > memory:
        return f"{Recipe.GPU_FLAT} needs {megabytes(needed)} on {device}, which has {megabytes(memory)}"
    return None


def _with_device(conditions: Conditions, wanted: Recipe | None) -> list[Recipe]:
    """What is built lies in the memory of the host, too; where that is too small, smaller ones are left."""
    if wanted is not None or conditions.recall_target > EXACT_RECALL:
        return [Recipe.GPU_FLAT]
    return [Recipe.GPU_FLAT, Recipe.IVF_RABITQ, Recipe.IVF_PQ]


def _wanted(conditions: Conditions, wanted: Recipe) -> Plan:
    if wanted is not Recipe.EXACT and conditions.count < APPROXIMATE_COUNT_MIN:
        why = f"{wanted} is set, but {conditions.count:,} vectors are too few for it"
        return _first_that_fits(conditions, [Recipe.EXACT], why)
    return _first_that_fits(conditions, [wanted], f"{wanted} is set")


def _first_that_fits(conditions: Conditions, recipes: list[Recipe], why: str) -> Plan:
    plans = [_plan(conditions, recipe) for recipe in recipes]
    for plan in plans:
        if conditions.memory_bytes is None or plan.building_bytes <= conditions.memory_bytes:
            passed = [f"{each.recipe} needs {megabytes(each.building_bytes)}" for each in plans[: plans.index(plan)]]
            room = [f"{' and '.join(passed)}, {megabytes(conditions.memory_bytes or 0)} are free"] if passed else []
            return replace(plan, reason="; ".join([why, *room]))
    needs = ", ".join(f"{each.recipe} needs {megabytes(each.building_bytes)}" for each in plans)
    raise MemoryTooSmall(
        f"an index of {conditions.count:,} vectors of {conditions.dimension} dimensions cannot be built in the "
        f"{megabytes(conditions.memory_bytes or 0)} that are free: {needs}"
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
    """Four bits for each two numbers, or for each one where they do not pair up."""
    return dimension // 4 if dimension % 2 == 0 else dimension // 2 + 1


def megabytes(count: int) -> str:
    """For people: they compare it with what is free."""
    return f"{count / 1e6:,.0f} MB"
