"""Recall and speed of each kind of index, compared with plain FAISS tuned by hand, in one run.

    python -m bench.recipes                    # 100,000 x 384, every recipe, k 100, about ten minutes
    python -m bench.recipes --count 1000000    # about 6 GB
    python -m bench.recipes --collections SCIFACT STARD COSQA    # real texts and real questions, BEIR folders

winnow's index is built and tuned by retrieval/index/build.py, which never sees the queries of this file: they are new
vectors of the same kind, or real questions if collections are given. Plain FAISS is the same kind of index, built by
FAISS alone; its parameters are tuned finely on these very queries, and the fastest with at least winnow's recall are
used: the best possible for a person who knew the questions. Both then answer each query in turn, so that other load on
the machine affects both; first in one thread, then in as many as there are cores, each with its own queries, as in a
service. FAISS uses one thread per search, and all for building. Recall is against all similarities, computed by numpy.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import faiss
import numpy as np

from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.index.build import IndexFacts, build_index, plan_index
from winnow.retrieval.index.planner import RECALL_TARGET, IndexWish, Plan, Recipe
from winnow.retrieval.model.folder import BUNDLED_EMBEDDER, find_model
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import VectorBatch

K: Final = 100
LATENT: Final = 96  # dimensions in which the vectors really differ; embeddings have fewer than numbers
CLUSTER_SIZE: Final = 100  # vectors on one topic
SPREAD: Final = 0.7  # within a topic, relative to the distance between topics
BATCH: Final = 8_192
TEXT_CHARACTERS: Final = 1_200  # about a chunk
ROUNDS: Final = 3
EF_SEARCH: Final = (100, 110, 120, 130, 140, 160, 180, 200, 225, 250, 300, 350, 400, 500, 600, 800, 1_000, 1_500, 2_000)
NPROBE: Final = (4, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512, 768)
K_FACTOR: Final = (1, 2, 3, 4, 6, 8)

Ask: TypeAlias = Callable[[Vectors], ChunkNumbers]
_FAISS: Final[Any] = faiss


class Held:
    """Vectors in memory, as a store's snapshot yields them."""

    version = 1

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def count(self, *, after: int = -1) -> int:
        return len(self._vectors) - after - 1

    def vectors(self, *, after: int = -1) -> Iterator[VectorBatch]:
        for start in range(after + 1, len(self._vectors), BATCH):
            block = self._vectors[start : start + BATCH]
            yield VectorBatch(numbers=np.arange(start, start + len(block), dtype=np.int64), vectors=block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Results of one recipe."""

    facts: IndexFacts
    build_s: float
    bytes_each: float
    recall: float
    qps: float
    plain: str  # parameters of plain FAISS
    plain_recall: float
    plain_qps: float
    qps_all: float  # with as many threads as cores
    plain_qps_all: float


def made(count: int, dimension: int, queries: int, seed: int) -> tuple[Vectors, Vectors]:
    """Vectors on some thousand topics, and new queries on the same."""
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(LATENT, dimension)).astype(np.float32)
    things = rng.normal(size=(max(1, count // CLUSTER_SIZE), LATENT)).astype(np.float32)
    rows = np.empty((count + queries, dimension), dtype=np.float32)
    for start in range(0, len(rows), 50_000):
        size = min(50_000, len(rows) - start)
        near = things[rng.integers(0, len(things), size)] + SPREAD * rng.normal(size=(size, LATENT)).astype(np.float32)
        block = near @ basis
        rows[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return rows[:count], rows[count:]


def embedded(folders: list[Path], queries: int) -> tuple[Vectors, Vectors]:
    """All passages, and as many questions of each as make `queries`, embedded by the bundled embedder."""
    embedder = QwenEmbedder.load(find_model(BUNDLED_EMBEDDER, kind="embedder"), device="cpu")
    passages, questions = [], []
    for folder in folders:
        passages += [
            f"{each['title']}\n{each['text']}"[:TEXT_CHARACTERS] for each in _lines(folder / "corpus.jsonl.gz")
        ]
        questions += [each["text"] for each in _lines(folder / "queries.jsonl.gz")][: queries // len(folders)]
    with asyncio.Runner() as runner:
        vectors = runner.run(embedder.embed_passages(passages)).vectors
        asked = runner.run(embedder.embed_queries(questions)).vectors
    return vectors.astype(np.float32), asked.astype(np.float32)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def truth_of(vectors: Vectors, queries: Vectors) -> list[set[int]]:
    similarities = queries @ vectors.T
    return [set(row.tolist()) for row in np.argpartition(-similarities, K - 1, axis=1)[:, :K]]


def recall_of(ask: Ask, queries: Vectors, truth: list[set[int]]) -> float:
    return statistics.mean(len(set(ask(query).tolist()) & near) / K for query, near in zip(queries, truth, strict=True))


def qps_of(asks: dict[str, Ask], queries: Vectors) -> dict[str, float]:
    """All ways in turn; the median time of each query over several rounds."""
    times: dict[str, list[list[float]]] = {name: [[] for _ in queries] for name in asks}
    for _ in range(ROUNDS):
        for place, query in enumerate(queries):
            for name, ask in asks.items():
                began = time.perf_counter()
                ask(query)
                times[name][place].append(time.perf_counter() - began)
    return {name: 1 / statistics.mean(map(statistics.median, each)) for name, each in times.items()}


def qps_all_of(asks: dict[str, Ask], queries: Vectors) -> dict[str, float]:
    """All ways in turn; the median of several rounds in which all threads take queries until none are left."""
    speeds: dict[str, list[float]] = {name: [] for name in asks}
    with ThreadPoolExecutor(os.cpu_count(), initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        for _ in range(ROUNDS):
            for name, ask in asks.items():
                began = time.perf_counter()
                list(pool.map(ask, queries))
                speeds[name].append(len(queries) / (time.perf_counter() - began))
    return {name: statistics.median(each) for name, each in speeds.items()}


def plain_index(plan: Plan, vectors: Vectors) -> Any:
    """FAISS alone, with its own factory."""
    half = plan.dimension // 2
    kind = {
        Recipe.EXACT: "Flat",
        Recipe.HNSW: "HNSW32,SQ8",
        Recipe.IVF_RABITQ: f"IVF{plan.lists},RaBitQfs4,Refine(SQ8)",
        Recipe.IVF_PQ: f"IVF{plan.lists},PQ{half}x4fs,Refine(SQ8)",
    }[plan.recipe]
    index = _FAISS.index_factory(plan.dimension, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    return index


def plain_asks(plan: Plan, index: Any) -> Iterator[tuple[str, Ask]]:
    """All settings that a person would try, the cheapest of each kind first."""
    if plan.recipe is Recipe.EXACT:
        yield "", _asking(index, None)
    elif plan.recipe is Recipe.HNSW:
        for ef in EF_SEARCH:
            yield f"ef {ef}", _asking(index, _FAISS.SearchParametersHNSW(efSearch=ef))
    else:
        for k_factor, nprobe in itertools.product(K_FACTOR, NPROBE):
            probed = _FAISS.SearchParametersIVF(nprobe=nprobe)
            told = _FAISS.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=probed)
            yield f"nprobe {nprobe}, k_factor {k_factor}", _asking(index, told)


def _asking(index: Any, told: Any) -> Ask:
    return lambda query: index.search(query.reshape(1, -1), K, params=told)[1][0]


def tuned(plan: Plan, index: Any, queries: Vectors, truth: list[set[int]], wanted: float) -> tuple[str, Ask, float]:
    """The fastest setting with at least the `wanted` recall; else the one with the highest recall."""
    tried = [(name, ask, recall_of(ask, queries, truth)) for name, ask in plain_asks(plan, index)]
    enough = [each for each in tried if each[2] >= wanted] or [max(tried, key=lambda each: each[2])]
    some = queries[: min(100, len(queries))]
    speeds = qps_of({name: ask for name, ask, _ in enough}, some)
    return max(enough, key=lambda each: speeds[each[0]])


def measured(recipe: Recipe, vectors: Vectors, queries: Vectors, truth: list[set[int]], target: float) -> Row:
    snapshot: Any = Held(vectors)
    wish = IndexWish(recipe=recipe, recall_target=target)
    plan = plan_index(snapshot, vectors.shape[1], wish)
    began = time.perf_counter()
    index, facts = build_index(snapshot, plan, wish)
    build_s = time.perf_counter() - began
    blocks: list[int] = []
    index.write(lambda block: blocks.append(len(block)))
    plain = plain_index(plan, vectors)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    ours: Ask = lambda query: index.search(query, K).numbers  # noqa: E731  it stands beside others of its kind
    recall = recall_of(ours, queries, truth)
    name, ask, plain_recall = tuned(plan, plain, queries, truth, recall)
    both = {"winnow": ours, "plain": ask}
    speeds, speeds_all = qps_of(both, queries), qps_all_of(both, queries)
    faiss.omp_set_num_threads(threads)
    return Row(
        facts=facts,
        build_s=build_s,
        bytes_each=sum(blocks) / len(vectors) + 8,
        recall=recall,
        qps=speeds["winnow"],
        plain=name,
        plain_recall=plain_recall,
        plain_qps=speeds["plain"],
        qps_all=speeds_all["winnow"],
        plain_qps_all=speeds_all["plain"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--target", type=float, default=RECALL_TARGET)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recipes", nargs="+", default=["exact", "hnsw", "ivf-rabitq", "ivf-pq"])
    parser.add_argument(
        "--collections", nargs="+", type=Path, metavar="FOLDER", help="BEIR folders, instead of --count"
    )
    given = parser.parse_args()
    if given.collections:
        vectors, queries = embedded(given.collections, given.queries)
    else:
        vectors, queries = made(given.count, given.dimension, given.queries, given.seed)
    truth = truth_of(vectors, queries)
    size = f"{len(vectors):,} x {vectors.shape[1]}, {len(queries)} queries"
    print(f"faiss {faiss.__version__}, {size}, recall of the {K} nearest; one thread / {os.cpu_count()} threads")
    print("| recipe | tuned to | stated | recall | QPS | plain FAISS | recall | QPS | ratio | bytes each | built in |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for recipe in map(Recipe, given.recipes):
        row = measured(recipe, vectors, queries, truth, given.target)
        parameters = ", ".join(f"{name} {value}" for name, value in row.facts.parameters.items())
        print(
            f"| {recipe} | {parameters} | {row.facts.recall:.4f} | {row.recall:.4f} | "
            f"{row.qps:,.0f} / {row.qps_all:,.0f} | {row.plain} | {row.plain_recall:.4f} | "
            f"{row.plain_qps:,.0f} / {row.plain_qps_all:,.0f} | "
            f"{row.qps / row.plain_qps:.2f} / {row.qps_all / row.plain_qps_all:.2f} | {row.bytes_each:,.0f} | "
            f"{row.build_s:,.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
