"""Approximate FAISS indexes: graphs and inverted lists.

As in retrieval/index/faiss_flat.py, chunk numbers are kept outside the FAISS index. If FAISS returns too few hits,
because lists or a selector cut off the rest, the search goes wider and at last compares everything. An index may miss
some of the nearest, but never returns fewer hits than there are.
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
from winnow.retrieval.index.backend_probe import IndexFault, RawSearch, find_faults
from winnow.retrieval.index.centroids import Everything, learn_centroids
from winnow.retrieval.index.faiss_flat import FAISS_VERSION, make_selector, one_thread, read_index, write_index
from winnow.retrieval.index.filtered_search import search_gathered
from winnow.retrieval.index.planner import Plan, Recipe
from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import VectorBatch

PROBE_FLOOR: Final = 0.75  # share of probed vectors that must find themselves; an intact index finds nearly all
FURTHEST: Final = 64  # times the tuned width; beyond it everything is compared
QUICK_EF_SEARCH: Final = 320  # of a graph; 1.2 ms among 200,000 vectors of 512 dimensions
SCANNED_SHARE: Final = 0.25  # of the index; a search for more compares everything
_FAISS: Final[Any] = faiss  # its stubs have the C++ constructors, not the Python ones
_GRAPH_LINKS: Final = 32
_TINY_SAMPLE: Final = 1_024  # vectors
_PROBED: Final = 16  # vectors
_PROBE_TOLERANCE: Final = 1e-3  # similarity


class FaissApproximateIndex:
    """An index by one of the approximate recipes; implements `VectorIndex`. Immutable."""

    def __init__(self, numbers: ChunkNumbers, index: Any, recipe: Recipe, parameters: Mapping[str, int]) -> None:
        """`parameters` configure searches: ef_search of a graph; nprobe and k_factor of lists."""
        assert len(numbers) == index.ntotal, "one number for each vector. This is a bug."
        self._numbers = numbers
        self._index = index
        self._recipe = recipe
        self._parameters = dict(parameters)
        self._usual_parameters = self._search_parameters(
            None, 0, 1
        )  # built once: building it takes a noticeable part of a search

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

    @property
    def is_quick(self) -> bool:
        """Whether a search takes about as long as handing it to a thread, in an index of any size."""
        return self._parameters.get("ef_search", QUICK_EF_SEARCH + 1) <= QUICK_EF_SEARCH

    def with_parameters(self, parameters: Mapping[str, int]) -> FaissApproximateIndex:
        """The same vectors with other search parameters."""
        return FaissApproximateIndex(self._numbers, self._index, self._recipe, parameters)

    def vectors_of(self, numbers: ChunkNumbers) -> Vectors:
        stored: Vectors = self._index.reconstruct_batch(np.searchsorted(self._numbers, numbers))
        return stored

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        held = None if allowed is None else mask_sorted(self._numbers, allowed)
        inside = len(self._numbers) if held is None else int(held.sum())
        wanted = min(k, inside)
        if 0 < wanted <= SCANNED_SHARE * len(self._numbers):
            further = -(-len(self._numbers) // inside)  # the fewer are allowed, the further apart they lie
            while further <= FURTHEST:
                hits = self._search_wider(query, wanted, held, further=further)
                if len(hits.numbers) >= wanted:
                    return hits
                further *= 4
        return search_gathered(self, query, max(k, 0), self._numbers if held is None else self._numbers[held])

    def _search_wider(self, query: Vectors, k: int, held: NDArray[np.bool_] | None, *, further: int) -> Hits:
        """Search `further` times as wide as tuned; returns distinct, allowed hits."""
        similarities, positions = self.raw_search(query, k, held, further=further)
        answers = (positions >= 0) & (positions < len(self._numbers))
        if held is not None:
            answers[answers] = held[positions[answers]]
        numbers, similarities = self._numbers[positions[answers]], similarities[answers]
        if len(set(numbers.tolist())) < len(numbers):
            numbers, first = np.unique(numbers, return_index=True)
            similarities = similarities[first]
        order = np.lexsort((numbers, -similarities))[:k]
        return Hits(numbers=numbers[order], similarities=similarities[order])

    def raw_search(
        self, query: Vectors, k: int, held: NDArray[np.bool_] | None, *, further: int = 1
    ) -> tuple[Vectors, NDArray[np.int64]]:
        """Similarities and positions as FAISS returns them, unchecked."""
        row = np.ascontiguousarray(query, dtype=np.float32).reshape(1, -1)
        is_usual = held is None and further == 1 and k <= self._parameters.get("ef_search", k)
        parameters = self._usual_parameters if is_usual else self._search_parameters(held, k, further)
        with one_thread():
            similarities, positions = self._index.search(row, k, params=parameters)
        return similarities[0], positions[0]

    def _search_parameters(self, held: NDArray[np.bool_] | None, k: int, further: int) -> Any:
        chosen = {} if held is None else {"sel": make_selector(held)}
        if self._recipe is Recipe.HNSW:
            return _FAISS.SearchParametersHNSW(efSearch=max(k, further * self._parameters["ef_search"]), **chosen)
        lists = _FAISS.downcast_index(self._index.base_index).nlist
        probed = _FAISS.SearchParametersIVF(nprobe=min(lists, further * self._parameters["nprobe"]), **chosen)
        return _FAISS.IndexRefineSearchParameters(
            k_factor=float(self._parameters["k_factor"]), base_index_params=probed
        )

    def write(self, sink: Callable[[bytes], object]) -> None:
        """Write the FAISS index block by block, without numbers and parameters."""
        write_index(self._index, sink)

    @classmethod
    def read(
        cls, source: BinaryIO, numbers: ChunkNumbers, recipe: Recipe, parameters: Mapping[str, int]
    ) -> FaissApproximateIndex:
        """Read what `write` wrote. The caller has checked the checksum of `source`."""
        index = read_index(source, len(numbers))
        expected = faiss.IndexHNSWSQ if recipe is Recipe.HNSW else faiss.IndexRefine
        if not isinstance(index, expected) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise GenerationCorrupt(f"the index is not {recipe} over inner products")
        if parameters.keys() != parameter_names(recipe):
            raise GenerationCorrupt(f"{', '.join(parameters) or 'nothing'}: not the parameters of {recipe}")
        return cls(numbers, index, recipe, parameters)


class ApproximateBuilder:
    """Trains on a sample, adds batches, and finishes the index. Holds at most one batch besides the index."""

    def __init__(self, plan: Plan, sample: Vectors, everything: Everything | None = None) -> None:
        """`everything` yields all vectors, sample included; lists are then trained on all of them."""
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

    def finish(self, parameters: Mapping[str, int]) -> FaissApproximateIndex:
        return FaissApproximateIndex(np.concatenate(self._numbers), self._index, self._plan.recipe, parameters)


def parameter_names(recipe: Recipe) -> set[str]:
    """Names of the search parameters of a recipe."""
    return {"ef_search"} if recipe is Recipe.HNSW else {"nprobe", "k_factor"}


@functools.cache
def faults_of(recipe: Recipe) -> frozenset[IndexFault]:
    """Faults of this build of FAISS with a recipe; tested once per process."""
    return frozenset(find_faults(lambda rows: _tiny(recipe, rows)))


def probe_approximate(index: FaissApproximateIndex) -> None:
    """Check that FAISS works and most stored vectors find themselves. Raises `GenerationCorrupt`."""
    wrong = sorted(faults_of(index.recipe))
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
        raise GenerationCorrupt(f"only {share:.0%} of the probed vectors find themselves; {PROBE_FLOOR:.0%} must")


def _tiny(recipe: Recipe, rows: Vectors) -> RawSearch:
    """Build an index of a few rows, trained on more."""
    sample = np.random.default_rng(0).normal(size=(_TINY_SAMPLE, rows.shape[1])).astype(np.float32)
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    plan = Plan(recipe=recipe, dimension=rows.shape[1], lists=2, index_bytes=0, building_bytes=0, reason="")
    builder = ApproximateBuilder(plan, sample)
    builder.add(VectorBatch(numbers=np.arange(len(rows), dtype=np.int64), vectors=rows))
    every = {"ef_search": _TINY_SAMPLE} if recipe is Recipe.HNSW else {"nprobe": plan.lists, "k_factor": 4}
    return builder.finish(every).raw_search


def _factory(plan: Plan, dimension: int) -> str:
    if plan.recipe is Recipe.HNSW:
        return f"HNSW{_GRAPH_LINKS},SQ8"
    if plan.recipe is Recipe.IVF_RABITQ:
        return f"IVF{plan.lists},RaBitQfs4,Refine(SQ8)"
    assert plan.recipe is Recipe.IVF_PQ, f"{plan.recipe} is not built here. This is a bug."
    pieces = dimension // 2 if dimension % 2 == 0 else dimension
    return f"IVF{plan.lists},PQ{pieces}x4fs,Refine(SQ8)"
