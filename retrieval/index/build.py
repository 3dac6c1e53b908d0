"""An index of a snapshot, by the recipe that suits it, and how much of the truth it finds.

An approximate index is tuned where it is built. Its queries are made of pairs of stored vectors: each is one of them,
turned by the angle whose cosine is 0.8 towards another. Stored vectors themselves would be too easy, because graph and
lists lead straight to them; noise in every direction would leave the space that the model uses. The parameters are
chosen on one half of the queries, and the recall that the manifest states is that of the other half, which chose
nothing. The truth is an exact search over the snapshot's own vectors, batch by batch.
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
from winnow.retrieval.index.planner import SAMPLE_MAX, Conditions, IndexWish, Plan, Recipe, chosen
from winnow.retrieval.index.vector_index import VectorIndex
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import StoreSnapshot

RECALL_AT: Final = 100  # candidates; what the large rerankers are given
_QUERIES: Final = 256  # half of them choose, half of them measure
_TURN: Final = 0.8  # cosine between a query and the stored vector that it was made of
_RECALL_SLACK: Final = 0.005  # by which the two halves of the queries may differ
_SEED: Final = 20261125
_EF_SEARCH: Final = (100, 128, 160, 200, 256, 320, 400, 512, 768, 1_024, 2_048, 4_096)
_NPROBE: Final = (
    *(1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256),
    *(288, 320, 352, 384, 448, 512, 640, 768, 1_024, 2_048, 4_096),
)
_K_FACTOR: Final = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFacts:
    """By which recipe an index was built, why, and what it reaches."""

    recipe: Recipe
    reason: str
    recall_target: float
    recall: float  # of the 100 nearest; 1 where every vector is compared
    parameters: dict[str, int] = field(default_factory=dict)  # of a search


def planned(snapshot: StoreSnapshot, dimension: int, wish: IndexWish, *, writes_per_second: float = 0.0) -> Plan:
    """What would be built of the snapshot on this machine now. Raises `MemoryTooSmall`."""
    conditions = Conditions(
        count=snapshot.count(),
        dimension=dimension,
        memory_bytes=available_bytes(),
        recall_target=wish.recall_target,
        writes_per_second=writes_per_second,
        device=wish.device,
        device_memory_bytes=wish.device_memory_bytes,
    )
    return chosen(conditions, wanted=wish.recipe)


def built_index(
    snapshot: StoreSnapshot, plan: Plan, wish: IndexWish
) -> tuple[FaissFlatIndex | FaissApproximateIndex, IndexFacts]:
    """What was planned of this snapshot; exact after all where nothing was set, and the target is out of reach."""
    if plan.recipe.stored is Recipe.EXACT:
        return _exact(snapshot, plan, wish)
    index, facts = _approximate(snapshot, plan, wish)
    if wish.recipe is not None or facts.recall >= wish.recall_target - _RECALL_SLACK:
        return index, facts
    try:
        exact = planned(snapshot, plan.dimension, replace(wish, recipe=Recipe.EXACT))
    except MemoryTooSmall:
        return index, facts
    del index
    why = (
        f"{plan.reason}; but {plan.recipe} finds {facts.recall:.3f} of the nearest, and {wish.recall_target} is wanted"
    )
    return _exact(snapshot, replace(exact, reason=why), wish)


def recall_of(index: VectorIndex, queries: Vectors, truth: list[ChunkNumbers]) -> float:
    """The share of the truly nearest that the index finds, over all queries."""
    found = [
        len(np.intersect1d(index.search(query, len(nearest)).numbers, nearest)) / len(nearest)
        for query, nearest in zip(queries, truth, strict=True)
    ]
    return float(np.mean(found))


def queries_of(sample: Vectors) -> Vectors:
    """Held-out queries, the same for the same sample."""
    chance = np.random.default_rng(_SEED)
    rows = chance.integers(0, len(sample), size=(2, _QUERIES))
    near, far = sample[rows[0]].astype(np.float32), sample[rows[1]].astype(np.float32)
    sideways = far - np.einsum("ij,ij->i", near, far)[:, None] * near
    lengths = np.linalg.norm(sideways, axis=1, keepdims=True)
    turned = _TURN * near + np.sqrt(1 - _TURN**2) * sideways / np.maximum(lengths, 1e-6)
    queries: Vectors = (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
    return queries


def nearest_of(snapshot: StoreSnapshot, queries: Vectors, k: int) -> list[ChunkNumbers]:
    """The truth: the numbers of the `k` nearest for each query, by comparing all, one batch in memory at a time."""
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


def sample_of(snapshot: StoreSnapshot) -> Vectors:
    """Vectors from everywhere in the snapshot, the same for the same snapshot."""
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
    sample = sample_of(snapshot)
    builder = ApproximateBuilder(plan, sample, snapshot.vectors if len(sample) < snapshot.count() else None)
    queries = queries_of(sample)
    del sample
    for batch in snapshot.vectors():
        builder.add(batch)
    truth = nearest_of(snapshot, queries, min(RECALL_AT, snapshot.count()))
    half = _QUERIES // 2
    index, parameters = _tuned(builder, plan, queries[:half], truth[:half], wish.recall_target)
    facts = IndexFacts(
        recipe=plan.recipe,
        reason=plan.reason,
        recall_target=wish.recall_target,
        recall=round(recall_of(index, queries[half:], truth[half:]), 4),
        parameters=parameters,
    )
    return index, facts


def _tuned(
    builder: ApproximateBuilder, plan: Plan, queries: Vectors, truth: list[ChunkNumbers], target: float
) -> tuple[FaissApproximateIndex, dict[str, int]]:
    """With the cheapest parameters that reach the target, or with the most thorough."""
    first, *further = _ladder(plan)
    index, parameters = builder.finished(first), first
    for each in further:
        if recall_of(index, queries, truth) >= target:
            break
        index, parameters = index.with_parameters(each), each
    return _less_refined(index, parameters, queries, truth, target)


def _ladder(plan: Plan) -> Iterator[dict[str, int]]:
    """Parameters of a search, the cheapest first."""
    if plan.recipe is Recipe.HNSW:
        yield from ({"ef_search": ef_search} for ef_search in _EF_SEARCH)
        return
    for nprobe in [*(each for each in _NPROBE if each < plan.lists), plan.lists]:
        yield {"nprobe": nprobe, "k_factor": _K_FACTOR[-1]}


def _less_refined(
    index: FaissApproximateIndex, parameters: dict[str, int], queries: Vectors, truth: list[ChunkNumbers], target: float
) -> tuple[FaissApproximateIndex, dict[str, int]]:
    """The same lists, and as few codes compared again as reach the target."""
    if "k_factor" not in parameters:
        return index, parameters
    for k_factor in _K_FACTOR[:-1]:
        fewer = {**parameters, "k_factor": k_factor}
        lighter = index.with_parameters(fewer)
        if recall_of(lighter, queries, truth) >= target:
            return lighter, fewer
    return index, parameters
