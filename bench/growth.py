"""Measures whether an index costs the same per chunk at every size.

    OMP_NUM_THREADS=1 python -m bench.growth --sizes 10000,100000,1000000 --rounds 5

Builds a store of each size as bench/upsert.py does, and publishes it: reading the vectors, building the exact index,
writing its files, synced to disk, and reading everything back. Each publication runs in its own process, like a fold,
after publishing a tiny collection there, so that work done once per process does not count. Sizes take turns in random
order, so that other load on the machine affects all of them. With one thread FAISS does not busy-wait.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bench.upsert import DIMENSION, IDENTITY, in_another_process, write
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index.planner import IndexWish, Recipe
from winnow.retrieval.store.lance_store import LanceStore

TINY: Final = 1_000  # chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Cost of one publication."""

    seconds: float
    cpu_seconds: float  # of this process, which other load affects less
    bytes: int  # peak above the memory of the open store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,1000000", help="numbers of chunks, comma-separated, ascending")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None, help="where to build (default: a temporary folder)")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    base = Path(tempfile.mkdtemp(prefix="growth-", dir=options.folder))
    try:
        for size in (TINY, *sizes):
            in_another_process(write, CollectionFolder(base / str(size)), size, options.seed)
        show(sizes, measured(base, sizes, rounds=options.rounds, seed=options.seed))
    finally:
        shutil.rmtree(base)


def measured(base: Path, sizes: list[int], *, rounds: int, seed: int) -> dict[int, list[Published]]:
    rng = np.random.default_rng(seed)
    costs: dict[int, list[Published]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in rng.permutation(sizes).tolist():
            costs[size].append(in_another_process(published, base, size))
    return costs


def published(base: Path, size: int) -> Published:
    costs = [cost_of(CollectionFolder(base / str(each))) for each in (TINY, size)]
    return costs[-1]


def cost_of(folder: CollectionFolder) -> Published:
    snapshot = LanceStore.open(folder.corpus, dimension=DIMENSION).snapshot()
    snapshot.count()  # reads where each chunk is
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # resets the peak
    started, cpu = time.perf_counter(), time.process_time()
    publish(folder, snapshot, IDENTITY, wish=IndexWish(recipe=Recipe.EXACT))
    took = Published(
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu,
        bytes=resident("VmHWM") - before,
    )
    shutil.rmtree(folder.generations)
    folder.current.unlink()
    return took


def resident(line: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` the peak."""
    for found in Path("/proc/self/status").read_text("ascii").splitlines():
        if found.startswith(f"{line}:"):
            return int(found.split()[1]) * 1024
    raise LookupError(line)


def show(sizes: list[int], costs: dict[int, list[Published]]) -> None:
    """Print the medians of each size, and the cost of one more chunk since the size before."""
    print(f"{'chunks':>10} {'s':>7} {'CPU µs/chunk':>13} {'least':>6} {'bytes/chunk':>12}", end=" ")
    print(f"{'one more: CPU µs':>17} {'bytes':>6}")
    before: tuple[int, float, float] | None = None
    for size in sizes:
        seconds, cpu, memory = (
            float(np.median([getattr(each, name) for each in costs[size]]))
            for name in ("seconds", "cpu_seconds", "bytes")
        )
        least = min(each.cpu_seconds for each in costs[size])
        print(f"{size:>10} {seconds:>7.2f} {1e6 * cpu / size:>13.2f} {1e6 * least / size:>6.2f}", end=" ")
        print(f"{memory / size:>12.0f}", end=" ")
        if before is not None:
            more = size - before[0]
            print(f"{1e6 * (cpu - before[1]) / more:>17.2f} {(memory - before[2]) / more:>6.0f}", end="")
        print(flush=True)
        before = size, cpu, memory


if __name__ == "__main__":
    main()
