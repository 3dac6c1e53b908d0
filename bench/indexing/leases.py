"""What a writer's lease on PostgreSQL costs a write.

    python -m bench.indexing.leases --chunks 10000 --rounds 100

Upserts and deletes documents of one store in turn, with the file lock alone and with the lease as well, so that other
load on the machine affects both. Embedding is excluded. The server is local, with the wheel's settings and fsync on.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from bench.upsert import CHUNKS, DIMENSION, embedded, name_of, write
from tests.postgres import running
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.store.lance_store import LanceStore

WARM_UP: Final = 5  # rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="leases-"))
    folder = CollectionFolder(base / "docs")
    try:
        write(folder, options.chunks, options.seed)
        with running() as server:
            server.execute("ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()")
            database = SqlDatabase.open(server.new())
            leases: dict[str, WriterLease] = {
                "file lock": ONE_HOST,
                "and lease": SqlWriterLease(database, "default", "docs"),
            }
            took = measured(folder, leases, documents=options.chunks // CHUNKS, rounds=options.rounds)
        show(took)
    finally:
        shutil.rmtree(base)


def measured(
    folder: CollectionFolder, leases: dict[str, WriterLease], *, documents: int, rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Milliseconds of each write, by kind and lease."""
    rng = np.random.default_rng(1)
    stores = {name: LanceStore.open(folder.corpus, dimension=DIMENSION, lease=lease) for name, lease in leases.items()}
    took: dict[tuple[str, str], list[float]] = {(kind, name): [] for kind in ("upsert", "delete") for name in leases}
    for turn in range(WARM_UP + rounds):
        for name in rng.permutation(list(leases)).tolist():
            at = int(rng.integers(documents))
            document = embedded(at, CHUNKS, f"turn {turn}", rng)
            stores[name].snapshot().counts()  # read what the other store has written, which is no part of a write
            for kind in ("upsert", "delete"):
                started = time.perf_counter()
                with leases[name].writing(folder):
                    stores[name].replace([document]) if kind == "upsert" else stores[name].delete([name_of(at)])
                took[kind, name].append(1e3 * (time.perf_counter() - started))
    return {which: each[WARM_UP:] for which, each in took.items()}


def show(took: dict[tuple[str, str], list[float]]) -> None:
    print(
        "| write | file lock p50 ms | and lease p50 ms | ratio of p50 | median difference ms |\n|---|---|---|---|---|"
    )
    for kind in ("upsert", "delete"):
        alone, leased = (np.array(took[kind, name]) for name in ("file lock", "and lease"))
        first, second, more = np.median(alone), np.median(leased), np.median(leased - alone)
        print(f"| {kind} | {first:.1f} | {second:.1f} | {second / first:.2f} | {more:.1f} |")


if __name__ == "__main__":
    main()
