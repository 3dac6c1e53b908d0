"""Most of the nearest vectors, found without comparing all of them, by FAISS: graphs and inverted lists.

As in retrieval/index/faiss_flat.py, chunk numbers lie beside the index. What FAISS finds too few of, because a list or
a selector kept it from the rest, is found by looking further and at last by comparing everything: an index may miss
some of the nearest, and never gives fewer than there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.arrays import mask_sorted
from winnow.retrieval.errors import GenerationCorrupt
from winnow.retrieval.index.backend_probe import Asked, Misdeed, misdeeds
from winnow.retrieval.index.centroids import Everything, learn_centroids
from winnow.retrieval.index.faiss_flat import FAISS_VERSION, bytes_of, index_of, selector_of
from winnow.retrieval.index.filtered_search import gathered
from winnow.retrieval.index.planner import Plan, Recipe
from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import VectorBatch

PROBE_FLOOR: Final = 0.75  # of the probed vectors must find themselves; a whole index finds nearly all
FURTHEST: Final = 64  # times as far as was tuned; beyond it everything is compared
SCANNED_SHARE: Final = 0.25  # of the index; who wants more of it gets all of it compared
_FAISS: Final[Any] = faiss  # its stubs know the constructors of C++, not those of Python
_GRAPH_LINKS: Final = 32
_TINY_SAMPLE: Final = 1_024  # vectors
_PROBED: Final = 16  # vectors
_PROBE_TOLERANCE: Final = 1e-3  # similarity


class FaissApproximateIndex:
    """An index by one of the approximate recipes; implements `VectorIndex`. Never changed once it is built."""

    def __init__(self, numbers: ChunkNumbers, index: Any, recipe: Recipe, parameters: Mapping[str, int]) -> None:
        """`parameters` are those of a search: ef_search of a graph; nprobe and k_factor of lists."""
        assert len(numbers) == index.ntotal, "one number for each vector. This is a bug."
        self._numbers = numbers
        self._index = index
        self._recipe = recipe
        self._parameters = dict(parameters)
        self._told_usually = self._told(None, 0, 1)  # made once: making it takes as long as a part of the search

    @property
    def recipe(self) -> Recipe:
        return self._recipe

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    @property
    def numbers(self) -> ChunkNumbers:
        return self._numbers

    @property
    def is_exact(self) -> bool:
        return False

    @property
    def selects(self) -> bool:
        return False

    def with_parameters(self, parameters: Mapping[str, int]) -> FaissApproximateIndex:
        """The same vectors, searched in another way."""
        return FaissApproximateIndex(self._numbers, self._index, self._recipe, parameters)

    def vectors_of(self, numbers: ChunkNumbers) -> Vectors:
        stored: Vectors = self._index.reconstruct_batch(np.searchsorted(self._numbers, numbers))
        return stored

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        held = None if allowed is None else mask_sorted(self._numbers, allowed)
        inside = len(self._numbers) if held is None else int(held.sum())
        wanted = min(k, inside)
        if 0 < wanted <= SCANNED_SHARE * len(self._numbers):
            further = -(-len(self._numbers) // inside)  # the fewer may answer, the further apart they lie
            while further <= FURTHEST:
                hits = self._found(query, wanted, held, further=further)
                if len(hits.numbers) >= wanted:
                    return hits
                further *= 4
        return gathered(self, query, max(k, 0), self._numbers if held is None else self._numbers[held])

    def _found(self, query: Vectors, k: int, held: NDArray[np.bool_] | None, *, further: int) -> Hits:
        """What FAISS finds, each once and allowed, looking `further` times as far as was tuned."""
        similarities, positions = self.asked(query, k, held, further=further)
        answers = (positions >= 0) & (positions < len(self._numbers))
        if held is not None:
            answers[answers] = held[positions[answers]]
        numbers, similarities = self._numbers[positions[answers]], similarities[answers]
        if len(set(numbers.tolist())) < len(numbers):
            numbers, first = np.unique(numbers, return_index=True)
            similarities = similarities[first]
        order = np.lexsort((numbers, -similarities))[:k]
        return Hits(numbers=numbers[order], similarities=similarities[order])

    def asked(
        self, query: Vectors, k: int, held: NDArray[np.bool_] | None, *, further: int = 1
    ) -> tuple[Vectors, NDArray[np.int64]]:
        """Similarities and positions as FAISS gives them, unchecked."""
        row = np.ascontiguousarray(query, dtype=np.float32).reshape(1, -1)
        is_usual = held is None and further == 1 and k <= self._parameters.get("ef_search", k)
        told = self._told_usually if is_usual else self._told(held, k, further)
        similarities, positions = self._index.search(row, k, params=told)
        return similarities[0], positions[0]

    def _told(self, held: NDArray[np.bool_] | None, k: int, further: int) -> Any:
        chosen = {} if held is None else {"sel": selector_of(held)}
        if self._recipe is Recipe.HNSW:
            return _FAISS.SearchParametersHNSW(efSearch=max(k, further * self._parameters["ef_search"]), **chosen)
        lists = _FAISS.downcast_index(self._index.base_index).nlist
        probed = _FAISS.SearchParametersIVF(nprobe=min(lists, further * self._parameters["nprobe"]), **chosen)
        return _FAISS.IndexRefineSearchParameters(
            k_factor=float(self._parameters["k_factor"]), base_index_params=probed
        )

    def write(self, sink: Callable[[bytes], object]) -> None:
        """The index as FAISS keeps it, block by block; numbers and parameters are not in it."""
        bytes_of(self._index, sink)

    @classmethod
    def read(
        cls, source: BinaryIO, numbers: ChunkNumbers, recipe: Recipe, parameters: Mapping[str, int]
    ) -> FaissApproximateIndex:
        """The counterpart of `write`. `source` was checked against its checksum."""
        index = index_of(source, len(numbers))
        expected = faiss.IndexHNSWSQ if recipe is Recipe.HNSW else faiss.IndexRefine
        if not isinstance(index, expected) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise GenerationCorrupt(f"the index is not {recipe} over inner products")
        if parameters.keys() != parameter_names(recipe):
            raise GenerationCorrupt(f"{', '.join(parameters) or 'nothing'} are no parameters of {recipe}")
        return cls(numbers, index, recipe, parameters)


class ApproximateBuilder:
    """Learns from a sample, takes batches, becomes an index. Holds one batch beside the index at any time."""

    def __init__(self, plan: Plan, sample: Vectors, everything: Everything | None = None) -> None:
        """`everything` gives all vectors, of which the sample is a part; lists are then learned from all of them."""
        self._plan = plan
        self._index: Any = _FAISS.index_factory(
            sample.shape[1], _factory(plan, sample.shape[1]), faiss.METRIC_INNER_PRODUCT
        )
        learned = np.ascontiguousarray(sample, dtype=np.float32)
        if plan.recipe is not Recipe.HNSW:
            learn_centroids(_FAISS.downcast_index(self._index.base_index), learned, everything)
        self._index.train(learned)
        self._numbers: list[ChunkNumbers] = []

    def add(self, batch: VectorBatch) -> None:
        self._index.add(np.ascontiguousarray(batch.vectors, dtype=np.float32))
        self._numbers.append(batch.numbers)

    def finished(self, parameters: Mapping[str, int]) -> FaissApproximateIndex:
        return FaissApproximateIndex(np.concatenate(self._numbers), self._index, self._plan.recipe, parameters)


def parameter_names(recipe: Recipe) -> set[str]:
    """What a search by this recipe is told."""
    return {"ef_search"} if recipe is Recipe.HNSW else {"nprobe", "k_factor"}


@functools.cache
def misdeeds_of(recipe: Recipe) -> frozenset[Misdeed]:
    """What this build of FAISS does wrong with an index by this recipe; found out once a process."""
    return frozenset(misdeeds(lambda rows: _tiny(recipe, rows)))


def probe_approximate(index: FaissApproximateIndex) -> None:
    """FAISS does what it is told, and most stored vectors find themselves. Raises `GenerationCorrupt`."""
    wrong = sorted(misdeeds_of(index.recipe))
    if wrong:
        raise GenerationCorrupt(f"FAISS {FAISS_VERSION}, as {index.recipe}, {' and '.join(wrong)}")
    step = max(1, len(index.numbers) // _PROBED)
    numbers = index.numbers[::step]
    vectors = index.vectors_of(numbers)
    if not np.isfinite(vectors).all():
        raise GenerationCorrupt("a probed vector is not finite")
    nearest = [index.search(vector, 1).similarities[0] for vector in vectors]
    own = np.einsum("ij,ij->i", vectors, vectors)
    share = float((np.array(nearest) >= own - _PROBE_TOLERANCE).mean())
    if share < PROBE_FLOOR:
        raise GenerationCorrupt(f"only {share:.0%} of the probed vectors find themselves, {PROBE_FLOOR:.0%} must")


def _tiny(recipe: Recipe, rows: Vectors) -> Asked:
    """Of a few rows, learned from more than a few."""
    sample = np.random.default_rng(0).normal(size=(_TINY_SAMPLE, rows.shape[1])).astype(np.float32)
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    plan = Plan(recipe=recipe, dimension=rows.shape[1], lists=2, index_bytes=0, building_bytes=0, reason="")
    builder = ApproximateBuilder(plan, sample)
    builder.add(VectorBatch(numbers=np.arange(len(rows), dtype=np.int64), vectors=rows))
    every = {"ef_search": _TINY_SAMPLE} if recipe is Recipe.HNSW else {"nprobe": plan.lists, "k_factor": 4}
    return builder.finished(every).asked


def _factory(plan: Plan, dimension: int) -> str:
    if plan.recipe is Recipe.HNSW:
        return f"HNSW{_GRAPH_LINKS},SQ8"
    if plan.recipe is Recipe.IVF_RABITQ:
        return f"IVF{plan.lists},RaBitQfs4,Refine(SQ8)"
    assert plan.recipe is Recipe.IVF_PQ, f"{plan.recipe} is not built here. This is a bug."
    pieces = dimension // 2 if dimension % 2 == 0 else dimension
    return f"IVF{plan.lists},PQ{pieces}x4fs,Refine(SQ8)"
