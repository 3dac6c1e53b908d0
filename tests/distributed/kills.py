"""Tests that a run on a Ray cluster that loses a node makes the collection of the local engine, to the bit.

    python -m tests.distributed.kills --documents 5000 --kills 10 --seed 1
    python -m tests.distributed.kills --documents 20000 --kills 0

Runs `winnow index` with the bundled embedder, first with the local engine, then on a cluster of three small nodes (the
head has no CPU for workers). In each round one node is killed (SIGKILL, by its process id) at a random moment, told by
the commits that an undisturbed run makes and so never after its end, and another one joins. Compares documents, chunk
numbers, spans and the bits of every vector. Prints wall and CPU seconds of both engines, of the command with all its
processes and of the cluster. Exits with 1 if anything differs. Needs the extra `ray`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.indexing.cpu_time import counted
from bench.indexing.interrupt import COLLECTION, write_corpus
from tests.distributed.runs import Ended, finish, rows, start
from winnow.retrieval.files.layout import Layout
from winnow.retrieval.tenancy import DEFAULT_TENANT

NODES: Final = 2  # beside the head
MOMENTS: Final = (0.0, 0.8)  # of an undisturbed run's commits, between which a node is killed
OBJECT_STORE_BYTES: Final = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A run, and what it took."""

    ended: Ended
    wall_seconds: float
    cpu_seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    moments = random.Random(asked.seed)
    base = Path(tempfile.mkdtemp(prefix="ray-kills-"))
    wrong = 0
    try:
        corpus = base / "corpus.jsonl"
        write_corpus(corpus, documents=asked.documents)
        local = timed(corpus, base / "local")
        print(f"local: {local.wall_seconds:.0f} s, {local.cpu_seconds:.0f} CPU s", flush=True)
        expected = rows(base / "local")
        whole = on_cluster(corpus, base / "whole", kill_after=None)
        wrong += shown("ray", whole, is_same=rows(base / "whole") == expected)
        print(f"CPU ratio, cluster included: {whole.cpu_seconds / local.cpu_seconds:.2f}", flush=True)
        for turn in range(asked.kills):
            after = round(moments.uniform(*MOMENTS) * commits(base / "whole"))
            run = on_cluster(corpus, base / "killed", kill_after=after)
            wrong += shown(f"killed {turn}, after {after} commits", run, is_same=rows(base / "killed") == expected)
            shutil.rmtree(base / "killed")
    finally:
        shutil.rmtree(base)
    return 1 if wrong else 0


def shown(name: str, run: Timed, *, is_same: bool) -> int:
    engine = run.ended.report["engine"]
    lost = sum(each["lost"] for each in engine["workers"])
    print(
        f"{name}: {run.wall_seconds:.0f} s, {run.cpu_seconds:.0f} CPU s, workers lost {lost}, windows sent again "
        f"{engine['windows_sent_again']}, {'same' if is_same else 'DIFFERS'}",
        flush=True,
    )
    return int(not is_same)


def timed(
    corpus: Path,
    data: Path,
    *flags: str,
    also: frozenset[int] = frozenset(),
    meanwhile: Callable[[subprocess.Popen[bytes]], None] = lambda process: None,
) -> Timed:
    """`also` are processes to count besides those of the command."""
    began = time.monotonic()
    process = start(corpus, data, *flags)
    with counted({process.pid} | also) as cpu:
        meanwhile(process)
        ended = finish(process)
    return Timed(ended=ended, wall_seconds=time.monotonic() - began, cpu_seconds=cpu.seconds)


def on_cluster(corpus: Path, data: Path, *, kill_after: int | None) -> Timed:
    """Index on a new cluster, one of whose nodes is killed after so many commits."""
    with cluster() as (nodes, pids):
        flags = ("--engine", "ray", "--ray-address", nodes.address, "--workers", str(NODES))

        def disturb(process: subprocess.Popen[bytes]) -> None:
            if kill_after is not None:
                while process.poll() is None and commits(data) <= kill_after:
                    time.sleep(0.02)
                replace_node(nodes)

        return timed(corpus, data, *flags, also=pids, meanwhile=disturb)


def commits(data: Path) -> int:
    folder = Layout(data).collection(DEFAULT_TENANT, COLLECTION)
    return len(list(folder.corpus.glob("_versions/*.manifest")))


def replace_node(nodes: Any) -> None:
    """Kill the first node's raylet, with which its workers end, and let another node join."""
    doomed = min(nodes.worker_nodes, key=lambda node: str(node.unique_id))
    os.kill(doomed.all_processes["raylet"][0].process.pid, signal.SIGKILL)
    with contextlib.suppress(Exception):  # Ray's own class: on a busy machine a node gives up joining after 30 s
        nodes.add_node(num_cpus=1, node_ip_address="127.0.0.1", object_store_memory=OBJECT_STORE_BYTES)


@contextlib.contextmanager
def cluster() -> Iterator[tuple[Any, frozenset[int]]]:
    """Yield a cluster on loopback, and the processes it consists of."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "node_ip_address": "127.0.0.1",
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        },
    )
    try:
        for _ in range(NODES):
            nodes.add_node(num_cpus=1, node_ip_address="127.0.0.1", object_store_memory=OBJECT_STORE_BYTES)
        everything = [nodes.head_node, *nodes.worker_nodes]
        pids = {each.process.pid for node in everything for kind in node.all_processes.values() for each in kind}
        yield nodes, frozenset(pids)
    finally:
        nodes.shutdown()


if __name__ == "__main__":
    sys.exit(main())
