"""Tests which FAISS indexes on a GPU give correct answers, and what winnow's search path adds to the fastest of them.

    python -m bench.gpu.index --out FILE.jsonl                  # needs faiss-gpu-cuvs, torch and a GPU; a few minutes
    python -m bench.gpu.index --sizes 1000000 --only generation exact

Four parts; each row is written as soon as it is known:

    probe       retrieval/index/backend_probe.py tests a tiny index of every kind; each in its own process, because some
                kinds crash it
    generation  200,000 vectors, published and opened with a device and on the CPU; then the next generation
    exact       all vectors in half precision: FAISS alone and retrieval/index/gpu_index.py over the same index, query
                by query in turn, and the recall of the 100 nearest
    lists       IVF-PQ, and CAGRA: the cheapest setting that reaches the recall, with its hits compared again in full

Vectors are generated on the GPU: clusters in few dimensions, like embeddings. The truth is computed in float32.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from bench.gpu.made import DIMENSION, K, Made
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import DeviceUnusable
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index.backend_probe import RawSearch, find_faults
from winnow.retrieval.index.faiss_flat import FaissFlatIndex, make_selector
from winnow.retrieval.index.faiss_gpu import FaissGpu
from winnow.retrieval.index.gpu_index import DeviceFlatIndex, IndexDevice
from winnow.retrieval.index.planner import IndexWish, Recipe
from winnow.retrieval.records import Vectors
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.contract import VectorBatch

WANTED: Final = 0.98
REFINED: Final = (1, 2, 4, 8)  # times K that are compared again
NPROBE: Final = (8, 16, 32, 64, 128, 256, 512, 1_024)
ITOPK: Final = (128, 192, 256, 384, 512)
SHARES: Final = (0.5, 0.01)  # of the vectors that are allowed
BATCH: Final = 16_384  # vectors; as a store yields them
PUBLISHED: Final = 200_000  # vectors of the generation
AS_ASKED: Final = "flat as winnow asks"
PARTS: Final = ("probe", "lists", "generation", "exact")
PROBED: Final = (AS_ASKED, "flat classic", "flat cuvs", "ivf-pq classic", "ivf-pq cuvs", "cagra")
_FAISS: Final[Any] = faiss  # its stubs lack the GPU

Say: TypeAlias = Callable[..., None]


def flat(resources: Any, dimension: int, *, cuvs: bool) -> Any:
    config = _FAISS.GpuIndexFlatConfig()
    config.use_cuvs = cuvs
    config.useFloat16 = True
    return _FAISS.GpuIndexFlatIP(resources, dimension, config)


def ivf_pq(resources: Any, dimension: int, *, lists: int, pieces: int, cuvs: bool) -> Any:
    config = _FAISS.GpuIndexIVFPQConfig()
    config.use_cuvs = cuvs
    config.interleavedLayout = cuvs
    return _FAISS.GpuIndexIVFPQ(resources, dimension, lists, pieces, 8, faiss.METRIC_INNER_PRODUCT, config)


def cagra(resources: Any, dimension: int, *, degree: int) -> Any:
    config = _FAISS.GpuIndexCagraConfig()
    config.graph_degree, config.intermediate_graph_degree = degree, 2 * degree
    return _FAISS.GpuIndexCagra(resources, dimension, faiss.METRIC_INNER_PRODUCT, config)


def asked_of(index: Any, told: Callable[[Any], Any]) -> RawSearch:
    """`told` makes search parameters from a selector or None."""

    def asked(query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]:
        selector = None if held is None else make_selector(held)
        similarities, positions = index.search(query.reshape(1, -1), k, params=told(selector))
        return similarities[0], positions[0]

    return asked


def probed(kind: str) -> list[str]:
    """Faults of this kind."""
    if kind == AS_ASKED:
        try:
            IndexDevice(FaissGpu(0)).require_correct()
        except DeviceUnusable as unusable:
            return [unusable.message]
        return []
    resources = _FAISS.StandardGpuResources()

    def tiny(rows: Vectors) -> RawSearch:
        dimension, cuvs = rows.shape[1], kind.endswith("cuvs")
        learned = np.random.default_rng(0).normal(size=(4_096, dimension)).astype(np.float32)
        if kind.startswith("flat"):
            index = flat(resources, dimension, cuvs=cuvs)
            index.add(rows)
            return asked_of(index, _told_flat)
        if kind.startswith("ivf-pq"):
            index = ivf_pq(resources, dimension, lists=2, pieces=dimension // 2, cuvs=cuvs)
            index.train(learned)
            index.add(rows)
            return asked_of(index, lambda selector: _told_lists(selector, nprobe=2))
        index = cagra(resources, dimension, degree=2)
        index.train(rows)
        return asked_of(index, lambda selector: _told_graph(selector, itopk=64))

    return sorted(find_faults(tiny))


def _told_flat(selector: Any) -> Any:
    return None if selector is None else _FAISS.SearchParameters(sel=selector)


def _told_lists(selector: Any, *, nprobe: int) -> Any:
    chosen = {} if selector is None else {"sel": selector}
    return _FAISS.SearchParametersIVF(nprobe=nprobe, **chosen)


def _told_graph(selector: Any, *, itopk: int) -> Any:
    told = _FAISS.SearchParametersCagra()  # plain parameters with a selector crash the process
    told.itopk_size = itopk
    if selector is not None:
        told.sel = selector
    return told


def probes(say: Say) -> None:
    for kind in PROBED:
        command = [sys.executable, "-m", "bench.gpu.index", "--probe", kind]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        lines = ended.stdout.strip().splitlines()
        wrong = json.loads(lines[-1]) if ended.returncode == 0 and lines else None
        say(
            part="probe",
            index=kind,
            wrong=wrong,
            exit=ended.returncode,
            error=ended.stderr[-400:] if wrong is None else "",
        )


class Watched(FaissGpu):
    """The product's GPU class; keeps the last FAISS index, to search it without the product."""

    last: Any = None

    def flat(self, vectors: Vectors) -> Any:
        self.last = super().flat(vectors)
        return self.last


def exact(count: int, say: Say) -> None:
    """Measure through `IndexDevice.place`, as when a generation is opened."""
    made, card = Made(count), Watched(0)
    began = time.perf_counter()
    host = FaissFlatIndex.build(_batches(made), dimension=DIMENSION)
    torch.cuda.empty_cache()
    built, queries, truth = time.perf_counter() - began, made.queries, made.truth
    began = time.perf_counter()
    ours, seat = IndexDevice(card).place(host, Recipe.EXACT)
    placing = time.perf_counter() - began
    say(part="placed", count=count, built_s=round(built, 1), placed_s=round(placing, 1), searched_on=asdict(seat))
    if not isinstance(ours, DeviceFlatIndex):
        return
    bare, mine = partial(_bare, card.last), lambda query: ours.search(query, K).numbers
    first, second, found = _in_turn(queries, bare, mine)
    rate, others = _threads(mine, queries, found)
    say(
        part="exact", count=count, bare_ms=first, ours_ms=second, ratio=round(second / first, 3),
        recall=_recall(found, truth), many_ms=_many(card.last, queries), threads_per_s=rate, answered_otherwise=others,
    )  # fmt: skip
    for share in SHARES:
        held = np.random.default_rng(3).random(count) < share
        allowed = np.flatnonzero(held).astype(np.int64)
        bare = partial(_bare, card.last, told=_told_flat(make_selector(held)))
        mine = lambda query, allowed=allowed: ours.search(query, K, allowed=allowed).numbers  # noqa: E731
        first, second, found = _in_turn(queries[:50], bare, mine)
        say(
            part="exact", count=count, share=share, bare_ms=first, ours_ms=second, ratio=round(second / first, 3),
            outside=sum(not held[list(each)].all() for each in found),
        )  # fmt: skip
    say(part="left", count=count, searched_on=asdict(ours.seat))


def generation(count: int, say: Say) -> None:
    """Publish, open on the device and on the host, then publish the next one."""
    made = Made(count)
    store = _Stored(np.concatenate(list(made.blocks())))
    torch.cuda.empty_cache()
    identity = EmbedderIdentity(name="made", revision="1", dimension=DIMENSION)
    device = IndexDevice(FaissGpu.named("cuda"))
    wish = IndexWish(device=device.name, device_memory_bytes=_free(device))
    with tempfile.TemporaryDirectory() as place:
        folder = CollectionFolder(Path(place) / "made")
        manifest = publish(folder, store.snapshot(), identity, wish=wish)
        host = IndexReader(folder=folder, store=store, identity=identity).view()
        searchable = IndexReader(folder=folder, store=store, identity=identity, device=device)
        before, began = _free(device), time.perf_counter()
        there = searchable.view()
        opened = time.perf_counter() - began
        first, second, found = _in_turn(
            made.queries[:50], lambda query: host.search(query, K).numbers, lambda query: there.search(query, K).numbers
        )
        right = [set(host.search(query, K).numbers.tolist()) for query in made.queries[:50]]
        say(
            part="generation", count=count, recipe=manifest.index.recipe, reason=manifest.index.reason,
            opened_s=round(opened, 1), host_ms=first, device_ms=second, recall=_recall(found, right),
            memory=before - _free(device), searched_on=asdict(there.seat),
        )  # fmt: skip
        publish(folder, store.snapshot(), identity, wish=wish)
        name, seat = there.generation, there.seat
        there = searchable.refresh()
        say(
            part="generation", count=count, first=name, first_on=seat.device, then=there.generation,
            then_on=there.seat.device, fault=there.seat.fault, memory=before - _free(device),
        )  # fmt: skip


class _Stored:
    """Vectors of chunks that never change: the parts of a store and snapshot that an index needs."""

    version = 1

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def snapshot(self) -> Any:
        return self

    def count(self, *, after: int = -1) -> int:
        return max(0, len(self._vectors) - 1 - after)

    def alive(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (numbers >= 0) & (numbers < len(self._vectors))

    def vectors(self, *, after: int = -1) -> Iterator[VectorBatch]:
        for start in range(after + 1, len(self._vectors), BATCH):
            rows = self._vectors[start : start + BATCH]
            yield VectorBatch(numbers=np.arange(start, start + len(rows), dtype=np.int64), vectors=rows)


def _batches(made: Made) -> Iterator[VectorBatch]:
    start = 0
    for block in made.blocks():
        yield VectorBatch(numbers=np.arange(start, start + len(block), dtype=np.int64), vectors=block)
        start += len(block)


def _bare(index: Any, query: Vectors, k: int = K, told: Any = None) -> NDArray[np.int64]:
    """FAISS alone."""
    positions: NDArray[np.int64] = index.search(query.reshape(1, -1), k, params=told)[1][0]
    return positions


def _threads(mine: Callable[[Vectors], Any], queries: Vectors, right: list[set[int]]) -> tuple[float, int]:
    """Queries per second of eight threads, and how many answers differ from those of one thread."""
    began = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        found = [set(each.tolist()) for each in threads.map(mine, queries)]
    rate = len(queries) / (time.perf_counter() - began)
    return round(rate, 1), sum(some != other for some, other in zip(found, right, strict=True))


def _free(device: IndexDevice) -> int:
    memory = device.memory()
    assert memory is not None, "torch sees the GPU"
    return memory.free_bytes


def approximate(count: int, say: Say) -> None:
    made = Made(count)
    rows = np.concatenate(list(made.blocks()))
    torch.cuda.empty_cache()
    lists = 4 * int(count**0.5)
    for name, make, settings, told in (
        ("ivf-pq cuvs", lambda found: ivf_pq(found, DIMENSION, lists=lists, pieces=256, cuvs=True), NPROBE,
         lambda setting: _told_lists(None, nprobe=setting)),
        ("cagra", lambda found: cagra(found, DIMENSION, degree=64), ITOPK,
         lambda setting: _told_graph(None, itopk=setting)),
    ):  # fmt: skip
        resources = _FAISS.StandardGpuResources()
        index, began = make(resources), time.perf_counter()
        try:
            index.train(rows)
            if not index.ntotal:
                index.add(rows)
        except RuntimeError as error:
            say(part="lists", index=name, count=count, error=str(error)[-400:])
            continue
        built = time.perf_counter() - began
        for row in _tried(index, rows, made, settings, told):
            say(part="lists", index=name, count=count, built_s=round(built, 1), **row)
        del index


def _tried(
    index: Any, rows: Vectors, made: Made, settings: Sequence[int], told: Callable[[int], Any]
) -> Iterator[dict[str, Any]]:
    """Yield settings up to the first with enough recall, each with the fewest codes to compare again."""
    queries, truth = made.queries, made.truth
    for setting in settings:
        for factor in REFINED:
            if isinstance(told(setting), _FAISS.SearchParametersCagra) and factor * K > setting:
                continue

            bare = partial(_bare, index, k=factor * K, told=told(setting))
            first, second, found = _in_turn(queries, bare, partial(_compared, rows, bare))
            recall = _recall(found, truth)
            yield {"setting": setting, "refined": factor * K, "recall": recall, "bare_ms": first, "ours_ms": second}
            if recall >= WANTED:
                return


def _compared(rows: Vectors, found: Callable[[Vectors], NDArray[np.int64]], query: Vectors) -> NDArray[np.int64]:
    """Order what was found by the original vectors."""
    positions = found(query)
    kept = np.unique(positions[positions >= 0])
    nearest: NDArray[np.int64] = kept[np.argsort(-(rows[kept] @ query))[:K]]
    return nearest


def _in_turn(
    queries: Vectors, bare: Callable[[Vectors], Any], ours: Callable[[Vectors], Any]
) -> tuple[float, float, list[set[int]]]:
    """Median milliseconds of both, and our hits; the first ten queries warm up."""
    spent: tuple[list[float], list[float]] = ([], [])
    found = []
    for query in [*queries[:10], *queries]:
        for way, times in ((bare, spent[0]), (ours, spent[1])):
            began = time.perf_counter()
            said = way(query)
            times.append(1e3 * (time.perf_counter() - began))
        found.append(set(said.tolist()))
    return round(median(spent[0][10:]), 3), round(median(spent[1][10:]), 3), found[10:]


def _many(index: Any, queries: Vectors) -> float:
    """Median milliseconds of all queries in one call, by FAISS alone."""
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        index.search(queries, K, params=None)
        spent.append(1e3 * (time.perf_counter() - began))
    return round(median(spent), 2)


def _recall(found: list[set[int]], truth: list[set[int]]) -> float:
    return round(sum(len(some & all_) for some, all_ in zip(found, truth, strict=True)) / (K * len(truth)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-index.jsonl"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--probe", choices=PROBED, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.probe:
        print(json.dumps(probed(given.probe)))
        return
    with given.out.open("a", encoding="utf-8") as out:

        def say(**row: Any) -> None:
            line = json.dumps(row)
            print(line, file=out, flush=True)
            print(line, flush=True)

        say(part="run", faiss=faiss.__version__, torch=torch.__version__, card=torch.cuda.get_device_name())
        if "probe" in given.only:
            probes(say)
        if "lists" in given.only:
            approximate(given.sizes[0], say)
        if "generation" in given.only:
            generation(PUBLISHED, say)
        for count in given.sizes if "exact" in given.only else ():
            exact(count, say)


if __name__ == "__main__":
    main()
