"""Builds the index of a snapshot by the recipe that suits it, and measures its recall.

An approximate index is tuned when it is built. Its queries come from pairs of stored vectors: each is one of them,
turned towards another by the angle whose cosine is 0.8. Stored vectors themselves would be too easy, because graph and
lists lead straight to them; noise in every direction would leave the space that the model uses. One half of the queries
chooses the parameters; the recall in the manifest comes from the other half, which has parameters widened while it
finds too little. The truth is an exact search over the snapshot's own vectors, batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from winnow.retrieval.errors import MemoryTooSmall
from winnow.retrieval.index.faiss_ann import ApproximateBuilder, FaissApproximateIndex
from winnow.retrieval.index.faiss_flat import FaissFlatIndex
from winnow.retrieval.index.memory import available_bytes
from winnow.retrieval.index.planner import SAMPLE_MAX, Conditions, IndexWish, Plan, Recipe, choose_plan
from winnow.retrieval.index.vector_index import VectorIndex
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import StoreSnapshot

RECALL_AT: Final = 100  # candidates; as many as the large rerankers get
_QUERIES: Final = 256  # half of them for tuning, half for measuring
_TURN: Final = 0.8  # cosine between a query and the stored vector it was made from
_RECALL_SLACK: Final = 0.005  # allowed difference between the two halves of the queries
_SEED: Final = 20261125
_EF_SEARCH: Final = (100, 128, 160, 200, 256, 320, 400, 512, 768, 1_024, 2_048, 4_096)
_NPROBE: Final = (
    *(1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256),
    *(288, 320, 352, 384, 448, 512, 640, 768, 1_024, 2_048, 4_096),
)
_K_FACTOR: Final = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFacts:
    """Recipe of an index, the reason for it, and its recall."""

    recipe: Recipe
    reason: str
    recall_target: float
    recall: float  # of the 100 nearest; 1 if all vectors are compared
    parameters: dict[str, int] = field(default_factory=dict)  # for searching


def plan_index(snapshot: StoreSnapshot, dimension: int, wish: IndexWish, *, writes_per_second: float = 0.0) -> Plan:
    """Plan the index of this snapshot on this machine now. Raises `MemoryTooSmall`."""
    conditions = Conditions(
        count=snapshot.count(),
        dimension=dimension,
        memory_bytes=available_bytes(),
        recall_target=wish.recall_target,
        writes_per_second=writes_per_second,
        device=wish.device,
        device_memory_bytes=wish.device_memory_bytes,
    )
    return choose_plan(conditions, wanted=wish.recipe)


def build_index(
    snapshot: StoreSnapshot, plan: Plan, wish: IndexWish
) -> tuple[FaissFlatIndex | FaissApproximateIndex, IndexFacts]:
    """Build as planned; or build an exact index if no recipe was set and the recall target is missed."""
    if plan.recipe.stored is Recipe.EXACT:
        return _exact(snapshot, plan, wish)
    index, facts = _approximate(snapshot, plan, wish)
    if wish.recipe is not None or facts.recall >= wish.recall_target - _RECALL_SLACK:
        return index, facts
    try:
        exact = plan_index(snapshot, plan.dimension, replace(wish, recipe=Recipe.EXACT))
    except MemoryTooSmall:
        return index, facts
    del index
    why = (
        f"{plan.reason}; but {plan.recipe} finds {facts.recall:.3f} of the nearest; the target is {wish.recall_target}"
    )
    return _exact(snapshot, replace(exact, reason=why), wish)


def measure_recall(index: VectorIndex, queries: Vectors, truth: list[ChunkNumbers]) -> float:
    """Share of the true nearest neighbours that the index finds, averaged over all queries."""
    found = [
        len(np.intersect1d(index.search(query, len(nearest)).numbers, nearest)) / len(nearest)
        for query, nearest in zip(queries, truth, strict=True)
    ]
    return float(np.mean(found))


def make_queries(sample: Vectors) -> Vectors:
    """Make held-out queries; deterministic for a sample."""
    chance = np.random.default_rng(_SEED)
    rows = chance.integers(0, len(sample), size=(2, _QUERIES))
    near, far = sample[rows[0]].astype(np.float32), sample[rows[1]].astype(np.float32)
    sideways = far - np.einsum("ij,ij->i", near, far)[:, None] * near
    lengths = np.linalg.norm(sideways, axis=1, keepdims=True)
    turned = _TURN * near + np.sqrt(1 - _TURN**2) * sideways / np.maximum(lengths, 1e-6)
    queries: Vectors = (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
    return queries


def exact_neighbours(snapshot: StoreSnapshot, queries: Vectors, k: int) -> list[ChunkNumbers]:
    """Exact search: the numbers of the `k` nearest for each query, with one batch in memory at a time."""
    numbers = np.empty((len(queries), 0), dtype=np.int64)
    similarities = np.empty((len(queries), 0), dtype=np.float32)
    for batch in snapshot.vectors():
        numbers = np.hstack([numbers, np.broadcast_to(batch.numbers, (len(queries), len(batch.numbers)))])
        similarities = np.hstack([similarities, queries @ batch.vectors.T.astype(np.float32)])
        if similarities.shape[1] > k:
            best = np.argpartition(-similarities, k - 1, axis=1)[:, :k]
            numbers = np.take_along_axis(numbers, best, axis=1)
            similarities = np.take_along_axis(similarities, best, axis=1)
    return list(numbers)


def draw_sample(snapshot: StoreSnapshot) -> Vectors:
    """Sample vectors from the whole snapshot; deterministic for a snapshot."""
    chance = np.random.default_rng(_SEED)
    share = min(1.0, SAMPLE_MAX / max(1, snapshot.count()))
    kept = [batch.vectors[chance.random(len(batch.vectors)) < share] for batch in snapshot.vectors()]
    return np.concatenate(kept)


def _exact(snapshot: StoreSnapshot, plan: Plan, wish: IndexWish) -> tuple[FaissFlatIndex, IndexFacts]:
    index = FaissFlatIndex.build(snapshot.vectors(), dimension=plan.dimension, count=snapshot.count())
    return index, IndexFacts(
        recipe=plan.recipe.stored, reason=plan.reason, recall_target=wish.recall_target, recall=1.0
    )


def _approximate(snapshot: StoreSnapshot, plan: Plan, wish: IndexWish) -> tuple[FaissApproximateIndex, IndexFacts]:
    sample = draw_sample(snapshot)
    builder = ApproximateBuilder(plan, sample, snapshot.vectors if len(sample) < snapshot.count() else None)
    queries = make_queries(sample)
    del sample
    for batch in snapshot.vectors():
        builder.add(batch)
    truth = exact_neighbours(snapshot, queries, min(RECALL_AT, snapshot.count()))
    half = _QUERIES // 2
    index, parameters = _tune(builder, plan, queries[:half], truth[:half], wish.recall_target)
    recall = measure_recall(index, queries[half:], truth[half:])
    for wider in _wider(plan, parameters):
        if recall >= wish.recall_target - _RECALL_SLACK:
            break
        index, parameters = index.with_parameters(wider), wider
        recall = measure_recall(index, queries[half:], truth[half:])
    facts = IndexFacts(
        recipe=plan.recipe,
        reason=plan.reason,
        recall_target=wish.recall_target,
        recall=round(recall, 4),
        parameters=parameters,
    )
    return index, facts


def _tune(
    builder: ApproximateBuilder, plan: Plan, queries: Vectors, truth: list[ChunkNumbers], target: float
) -> tuple[FaissApproximateIndex, dict[str, int]]:
    """Choose the cheapest parameters that reach the target, or the most thorough ones."""
    first, *further = _ladder(plan)
    index, parameters = builder.finish(first), first
    for each in further:
        if measure_recall(index, queries, truth) >= target:
            break
        index, parameters = index.with_parameters(each), each
    return _reduce_refinement(index, parameters, queries, truth, target)


def _ladder(plan: Plan) -> Iterator[dict[str, int]]:
    """Yield search parameters, the cheapest first."""
    if plan.recipe is Recipe.HNSW:
        yield from ({"ef_search": ef_search} for ef_search in _EF_SEARCH)
        return
    for nprobe in [*(each for each in _NPROBE if each < plan.lists), plan.lists]:
        yield {"nprobe": nprobe, "k_factor": _K_FACTOR[-1]}


def _wider(plan: Plan, parameters: dict[str, int]) -> Iterator[dict[str, int]]:
    """Yield the parameters of the ladder that search more than these, the cheapest first."""
    searched = next(iter(parameters))  # how much of the index: `ef_search` or `nprobe`
    yield from (each for each in _ladder(plan) if each[searched] >= parameters[searched] and each != parameters)


def _reduce_refinement(
    index: FaissApproximateIndex, parameters: dict[str, int], queries: Vectors, truth: list[ChunkNumbers], target: float
) -> tuple[FaissApproximateIndex, dict[str, int]]:
    """Reduce re-ranking of codes to the least that reaches the target, with the same lists."""
    if "k_factor" not in parameters:
        return index, parameters
    for k_factor in _K_FACTOR[:-1]:
        fewer = {**parameters, "k_factor": k_factor}
        lighter = index.with_parameters(fewer)
        if measure_recall(lighter, queries, truth) >= target:
            return lighter, fewer
    return index, parameters
