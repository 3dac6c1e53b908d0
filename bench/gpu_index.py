"""Which indexes of FAISS on a GPU may be believed, and what does winnow's own search path add to the fastest of them?

    python -m bench.gpu_index --out FILE.jsonl                  # needs faiss-gpu-cuvs, torch and a GPU; a few minutes
    python -m bench.gpu_index --sizes 1000000 --only exact

Three parts, each row written as soon as it is known:

    probe    retrieval/index_probe.py asks a tiny index of every kind for what it must not give; in a process of its
             own, because some kinds end the process
    exact    all vectors in half precision: FAISS alone beside retrieval/faiss_index.py over the same index, query by
             query in turn, and how many of the 100 nearest it finds
    lists    IVF-PQ, and CAGRA: the cheapest setting that finds enough after what it found is compared again in full

Vectors are made on the GPU: clusters in few dimensions, as of embeddings. The truth is float32, computed beside.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.faiss_index import FaissFlatIndex, selector_of
from retrieval.index_probe import Asked, misdeeds
from retrieval.records import Vectors

K: Final = 100
DIMENSION: Final = 1_024
LATENT: Final = 96  # dimensions in which the vectors really differ
CLUSTER_SIZE: Final = 100
SPREAD: Final = 0.7
BLOCK: Final = 500_000  # vectors; 2 GB
QUERIES: Final = 200
WANTED: Final = 0.98
REFINED: Final = (1, 2, 4, 8)  # times K that are compared again
NPROBE: Final = (8, 16, 32, 64, 128, 256, 512, 1_024)
ITOPK: Final = (128, 192, 256, 384, 512)
SHARES: Final = (0.5, 0.01)  # of the vectors that may answer
PROBED: Final = ("flat classic", "flat cuvs", "ivf-pq classic", "ivf-pq cuvs", "cagra")
_FAISS: Final[Any] = faiss  # the stubs do not know the GPU

Say: TypeAlias = Callable[..., None]


class Made:
    """Vectors about many things, in blocks; queries about the same, and the truth once all are read."""

    def __init__(self, count: int, *, seed: int = 1) -> None:
        self.count = count
        self._chance = torch.Generator(device="cuda").manual_seed(seed)
        self._basis = self._normal(LATENT, DIMENSION)
        self._things = self._normal(max(1, count // CLUSTER_SIZE), LATENT)
        self._asked = self._some(QUERIES)
        self._best = torch.empty(QUERIES, 0, device="cuda")
        self._nearest = torch.empty(QUERIES, 0, dtype=torch.int64, device="cuda")

    @property
    def queries(self) -> Vectors:
        asked: Vectors = self._asked.cpu().numpy()
        return asked

    @property
    def truth(self) -> list[set[int]]:
        return [set(row) for row in self._nearest.cpu().tolist()]

    def blocks(self) -> Iterator[Vectors]:
        """Once only."""
        for start in range(0, self.count, BLOCK):
            block = self._some(min(BLOCK, self.count - start))
            best = torch.cat([self._best, self._asked @ block.T], dim=1)
            numbers = torch.arange(start, start + len(block), device="cuda").expand(QUERIES, -1)
            self._best, at = best.topk(min(K, best.shape[1]), dim=1)
            self._nearest = torch.cat([self._nearest, numbers], dim=1).gather(1, at)
            yield block.cpu().numpy()

    def _some(self, count: int) -> torch.Tensor:
        about = torch.randint(len(self._things), (count,), generator=self._chance, device="cuda")
        near = self._things[about] + SPREAD * self._normal(count, LATENT)
        return torch.nn.functional.normalize(near @ self._basis, dim=1)

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self._chance, device="cuda")


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


def asked_of(index: Any, told: Callable[[Any], Any]) -> Asked:
    """`told` makes parameters of a selector, or of none."""

    def asked(query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]:
        selector = None if held is None else selector_of(held)
        similarities, positions = index.search(query.reshape(1, -1), k, params=told(selector))
        return similarities[0], positions[0]

    return asked


def probed(kind: str) -> list[str]:
    """What this kind does wrong."""
    resources = _FAISS.StandardGpuResources()

    def tiny(rows: Vectors) -> Asked:
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

    return sorted(misdeeds(tiny))


def _told_flat(selector: Any) -> Any:
    return None if selector is None else _FAISS.SearchParameters(sel=selector)


def _told_lists(selector: Any, *, nprobe: int) -> Any:
    chosen = {} if selector is None else {"sel": selector}
    return _FAISS.SearchParametersIVF(nprobe=nprobe, **chosen)


def _told_graph(selector: Any, *, itopk: int) -> Any:
    told = _FAISS.SearchParametersCagra()  # plain parameters with a selector end the process
    told.itopk_size = itopk
    if selector is not None:
        told.sel = selector
    return told


def probes(say: Say) -> None:
    for kind in PROBED:
        command = [sys.executable, "-m", "bench.gpu_index", "--probe", kind]
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


def exact(count: int, say: Say) -> None:
    resources = _FAISS.StandardGpuResources()
    made = Made(count)
    index = flat(resources, DIMENSION, cuvs=True)
    began = time.perf_counter()
    for block in made.blocks():
        index.add(block)
    torch.cuda.empty_cache()
    built, queries, truth = time.perf_counter() - began, made.queries, made.truth
    ours = FaissFlatIndex(np.arange(count, dtype=np.int64), index)
    bare = lambda query: index.search(query.reshape(1, -1), K)[1][0]  # noqa: E731
    mine = lambda query: ours.search(query, K).numbers  # noqa: E731
    first, second, found = _in_turn(queries, bare, mine)
    say(
        part="exact", count=count, bare_ms=first, ours_ms=second, ratio=round(second / first, 3),
        recall=_recall(found, truth), many_ms=_many(index, queries), built_s=round(built, 1),
    )  # fmt: skip
    for share in SHARES:
        held = np.random.default_rng(3).random(count) < share
        told, allowed = _told_flat(selector_of(held)), np.flatnonzero(held).astype(np.int64)
        bare = lambda query, told=told: index.search(query.reshape(1, -1), K, params=told)[1][0]  # noqa: E731
        mine = lambda query, allowed=allowed: ours.search(query, K, allowed=allowed).numbers  # noqa: E731
        first, second, found = _in_turn(queries[:50], bare, mine)
        outside = sum(not held[list(each)].all() for each in found)
        say(
            part="exact",
            count=count,
            share=share,
            bare_ms=first,
            ours_ms=second,
            ratio=round(second / first, 3),
            outside=outside,
        )


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
    """Up to the first setting that finds enough, each with the fewest that must be compared again for it."""
    queries, truth = made.queries, made.truth
    for setting in settings:
        for factor in REFINED:
            if isinstance(told(setting), _FAISS.SearchParametersCagra) and factor * K > setting:
                continue

            def search(query: Vectors, setting: int = setting, factor: int = factor) -> NDArray[np.int64]:
                _, positions = index.search(query.reshape(1, -1), factor * K, params=told(setting))
                kept = np.unique(positions[0][positions[0] >= 0])
                nearest: NDArray[np.int64] = kept[np.argsort(-(rows[kept] @ query))[:K]]
                return nearest

            bare = lambda query, s=setting, f=factor: index.search(query.reshape(1, -1), f * K, params=told(s))[1][0]  # noqa: E731
            first, second, found = _in_turn(queries, bare, search)
            recall = _recall(found, truth)
            yield {"setting": setting, "refined": factor * K, "recall": recall, "bare_ms": first, "ours_ms": second}
            if recall >= WANTED:
                return


def _in_turn(
    queries: Vectors, bare: Callable[[Vectors], Any], ours: Callable[[Vectors], Any]
) -> tuple[float, float, list[set[int]]]:
    """Median milliseconds of both, and what ours finds; the first ten queries warm up."""
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
        index.search(queries, K)
        spent.append(1e3 * (time.perf_counter() - began))
    return round(median(spent), 2)


def _recall(found: list[set[int]], truth: list[set[int]]) -> float:
    return round(sum(len(some & all_) for some, all_ in zip(found, truth, strict=True)) / (K * len(truth)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-index.jsonl"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--only", choices=["probe", "exact", "lists"])
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
        if given.only in {None, "probe"}:
            probes(say)
        if given.only in {None, "lists"}:
            approximate(given.sizes[0], say)
        for count in given.sizes if given.only in {None, "exact"} else ():
            exact(count, say)


if __name__ == "__main__":
    main()
