"""Cost and recall of filters, compared with plain FAISS with an IDSelector, in one run.

    python -m bench.filtered                    # 100,000 x 384, flat and HNSW, k 100
    python -m bench.filtered --count 1000000    # about 5 GB

Every chunk has an attribute `bucket` in [0, 1000), so that `{"type": "lt", "key": "bucket", "value": 1}` matches one in
a thousand. winnow's time covers everything from the parsed filter to numbers and similarities: columns read from the
store, rows compared, nearest neighbours found, every number checked. FAISS's time begins when the allowed ids are
known, and includes the selector. Recall is against all similarities in numpy. One thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import faiss
import lance
import numpy as np

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.filters.grammar import Filter, parse_filter
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.records import ChunkNumbers, Document, EmbeddedDocument, Span, Vectors
from winnow.retrieval.search.reader import IndexReader, Searcher
from winnow.retrieval.store.lance_store import LanceStore

BUCKETS: Final = 1_000
SHARES: Final = (0.5, 0.1, 0.01, 0.001)
DOCUMENTS_PER_COMMIT: Final = 20_000
LATENT: Final = 96  # dimensions in which the vectors really differ; embeddings have fewer than numbers
HNSW_NEIGHBOURS: Final = 32
FILTER_ALONE: Final = "  of it the filter"

Search: TypeAlias = Callable[[Vectors], tuple[ChunkNumbers, str]]  # ids, and a note


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Results of one way, over all queries."""

    name: str
    recall: float
    filled: float  # share of the places that were filled
    p50_ms: float
    note: str = ""


def made(count: int, dimension: int, queries: int, seed: int) -> tuple[Vectors, Vectors, ChunkNumbers]:
    """Generate vectors, queries of the same kind, and the bucket of each vector."""
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(LATENT, dimension)).astype(np.float32)
    rows = np.empty((count + queries, dimension), dtype=np.float32)
    for start in range(0, len(rows), 50_000):
        block = rng.normal(size=(min(50_000, len(rows) - start), LATENT)).astype(np.float32) @ basis
        rows[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return rows[:count], rows[count:], rng.integers(0, BUCKETS, size=count)


def filled(base: Path, vectors: Vectors, buckets: ChunkNumbers) -> Searcher:
    """Create, publish and open a collection on disk."""
    identity = EmbedderIdentity(name="random", revision="1", dimension=vectors.shape[1])
    folder = CollectionFolder(base / "c")
    store = LanceStore.create(folder.corpus, dimension=identity.dimension)
    for start in range(0, len(vectors), DOCUMENTS_PER_COMMIT):
        store.replace(list(_documents(vectors, buckets, range(start, min(start + DOCUMENTS_PER_COMMIT, len(vectors))))))
    publish(folder, store.snapshot(), identity)
    return IndexReader(folder=folder, store=store, identity=identity).refresh()


def _documents(vectors: Vectors, buckets: ChunkNumbers, places: range) -> Iterator[EmbeddedDocument]:
    for place in places:
        document = Document(id=f"d{place}", text="text", metadata={"bucket": int(buckets[place])})
        spans = (Span(start=0, end=4),)
        yield EmbeddedDocument(document=document, spans=spans, vectors=vectors[place : place + 1])


def exact(vectors: Vectors, queries: Vectors, allowed: ChunkNumbers, k: int) -> list[set[int]]:
    similarities = queries @ vectors[allowed].T
    return [set(allowed[np.argsort(-row, kind="stable")[:k]].tolist()) for row in similarities]


def measured(searches: dict[str, Search], queries: Vectors, right: list[set[int]]) -> list[Found]:
    """Run all ways in turn for each query, so that other load on the machine affects all of them."""
    answers: dict[str, list[tuple[set[int], str, float]]] = {name: [] for name in searches}
    for search in searches.values():
        search(queries[0])
    for query in queries:
        for name, search in searches.items():
            began = time.perf_counter()
            ids, note = search(query)
            answers[name].append((set(ids.tolist()) - {-1}, note, time.perf_counter() - began))
    wanted = sum(map(len, right))
    return [
        Found(
            name=name,
            recall=sum(len(ids & truth) for (ids, _, _), truth in zip(given, right, strict=True)) / wanted,
            filled=sum(len(ids) for ids, _, _ in given) / wanted,
            p50_ms=1_000 * statistics.median(seconds for _, _, seconds in given),
            note=", ".join(sorted({note for _, note, _ in given if note})),
        )
        for name, given in answers.items()
    ]


def ways(view: Searcher, indexes: dict[str, Any], where: Filter, allowed: ChunkNumbers, k: int) -> dict[str, Search]:
    """winnow's own way, and each index with each selector."""

    def ours(query: Vectors) -> tuple[ChunkNumbers, str]:
        hits, filtered = view.search_matching(query, k, view.snapshot.numbers_where(where))
        return hits.numbers, filtered.way.value

    def filtering(_: Vectors) -> tuple[ChunkNumbers, str]:
        return view.snapshot.numbers_where(where), ""

    searches: dict[str, Search] = {"winnow": ours, FILTER_ALONE: filtering}
    for name, index in indexes.items():
        for selector, made_by in (("batch", faiss.IDSelectorBatch), ("bitmap", _bitmap(index.ntotal))):
            searches[f"FAISS {name}, {selector}"] = _selecting(index, made_by, allowed, k)
    return searches


def _bitmap(total: int) -> Callable[[ChunkNumbers], Any]:
    def made(allowed: ChunkNumbers) -> Any:
        bits = np.zeros(total, dtype=np.bool_)
        bits[allowed] = True
        return faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))

    return made


def _selecting(index: Any, made_by: Callable[[ChunkNumbers], Any], allowed: ChunkNumbers, k: int) -> Search:
    kind, more = (
        (faiss.SearchParametersHNSW, {"efSearch": index.hnsw.efSearch})
        if isinstance(index, faiss.IndexHNSW)
        else (faiss.SearchParameters, {})
    )

    def search(query: Vectors) -> tuple[ChunkNumbers, str]:
        selector = made_by(allowed)
        _, ids = index.search(query.reshape(1, -1), k, params=kind(sel=selector, **more))
        return ids[0], ""

    return search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="vectors")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--k", type=int, default=100, help="number of nearest neighbours")
    parser.add_argument("--ef", type=int, default=256, help="efSearch of plain HNSW")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    faiss.omp_set_num_threads(1)
    vectors, queries, buckets = made(asked.count, asked.dimension, asked.queries, asked.seed)
    flat = faiss.IndexFlatIP(asked.dimension)
    flat.add(vectors)
    hnsw = faiss.IndexHNSWFlat(asked.dimension, HNSW_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    hnsw.hnsw.efSearch = asked.ef
    faiss.omp_set_num_threads(2)
    hnsw.add(vectors)
    faiss.omp_set_num_threads(1)
    print(f"{asked.count:,} x {asked.dimension}, k {asked.k}, {asked.queries} queries, HNSW32 efSearch {asked.ef}")
    print(f"faiss {faiss.__version__}, lance {lance.__version__}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as base:
        view = filled(Path(base), vectors, buckets)
        for share in SHARES:
            bound = round(share * BUCKETS)
            where = parse_filter({"type": "lt", "key": "bucket", "value": bound})
            allowed = np.flatnonzero(buckets < bound)
            assert view.snapshot.numbers_where(where).tolist() == allowed.tolist()
            right = exact(vectors, queries, allowed, asked.k)
            print(f"\n{share:>6}  {len(allowed):,} allowed\n{'':24}{'recall':>8}{'filled':>8}{'p50 ms':>10}")
            for found in measured(ways(view, {"flat": flat, "HNSW": hnsw}, where, allowed, asked.k), queries, right):
                _print(found)


def _print(found: Found) -> None:
    if found.name == FILTER_ALONE:
        print(f"{found.name:24}{'':8}{'':8}{found.p50_ms:10.3f}")
    else:
        print(f"{found.name:24}{found.recall:8.3f}{found.filled:8.3f}{found.p50_ms:10.3f}  {found.note}")


if __name__ == "__main__":
    main()
