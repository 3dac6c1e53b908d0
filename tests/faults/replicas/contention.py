"""Many clients write to one collection through several services: each gets its turn, none is kept waiting.

    python -m tests.faults.replicas.contention --writers 9 --seconds 60 [--place bucket] [--proxy haproxy] [--tree OLD]

The clients repeat a 503 once its Retry-After is over, twice at most, as winnow's own do. Prints how long writes took,
how many were repeated, and the longest time for which one process had the file lock. No write may fail, and nothing
that was acknowledged may be lost. `--tree` is the checkout of another commit, to compare. Exits with 1 if anything is
wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.faults.replicas.load import Load, make_collections
from tests.faults.replicas.places import PLACES, place_at
from tests.faults.replicas.proxies import PROXIES, balanced, why_not
from tests.faults.replicas.rounds import losses
from tests.faults.replicas.services import PROJECT, replicas
from tests.faults.replicas.verdict import exit_code
from tests.postgres import running

RETRIES = 2  # as `Policy` of clients/python
LOOK_SECONDS = 0.02
LOCKS = Path("/proc/locks")


@dataclass(slots=True)
class Held:
    """How long each process had a lock at a stretch, as seen by looking again and again."""

    longest: float = 0.0
    processes: set[int] = field(default_factory=set)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--proxy", choices=PROXIES, default="nginx")
    parser.add_argument("--tree", type=Path, default=PROJECT)
    parser.add_argument("--place", choices=PLACES, default="folder")
    asked = parser.parse_args(arguments)
    if (missing := why_not(asked.proxy)) is not None:
        print(missing)
        return 1
    return exit_code("contention", lambda folder: _wrong(folder, asked))


def _wrong(folder: Path, asked: argparse.Namespace) -> Iterator[str]:
    with (
        running() as server,
        place_at(asked.place, folder, server) as place,
        replicas(folder, place, count=asked.replicas, tree=asked.tree.resolve()) as services,
    ):
        make_collections(services[0].url)
        with balanced(folder, services, proxy=asked.proxy) as address:
            load = Load(address, writers=asked.writers, collections=1, retries=RETRIES)
            with load.running(), watched(folder) as held:
                time.sleep(asked.seconds)
            yield from summary(load, held)
            yield from losses(load, services)


@contextmanager
def watched(folder: Path) -> Iterator[Held]:
    """Watch the file locks of the first collection, of which each host with a cache of its own has one."""
    files = {path.stat().st_ino for path in folder.glob("**/docs-0/lock")}
    held, stopping = Held(), threading.Event()

    def look() -> None:
        since: dict[int, tuple[int, float]] = {}  # by file: the holder, and when it was first seen
        while not stopping.wait(LOOK_SECONDS):
            now, holders = time.monotonic(), holders_of(files)
            since = {
                file: since[file] if since.get(file, (0, 0.0))[0] == holder else (holder, now)
                for file, holder in holders.items()
            }
            for holder, began in since.values():
                held.longest = max(held.longest, now - began)
                held.processes.add(holder)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        stopping.set()
        thread.join()


def holders_of(files: set[int]) -> dict[int, int]:
    """Return the process that has each of these locks just now, by inode."""
    found = {}
    for line in LOCKS.read_text(encoding="ascii").splitlines():
        words = line.split()  # 1: FLOCK ADVISORY WRITE <process> <major:minor:inode> 0 EOF; waiting ones begin with ->
        if words[1] == "FLOCK" and (file := int(words[5].rpartition(":")[2])) in files:
            found[file] = int(words[4])
    return found


def summary(load: Load, held: Held) -> Iterator[str]:
    took = load.seconds.get("write", [])
    by_writer = sorted(known[-1][1] for known in load.versions.values() if known)
    middle, late, longest = (round(float(each), 2) for each in np.quantile(took, (0.5, 0.99, 1.0)))
    print(
        f"{len(took)} writes by {load.writers} clients to one collection, {by_writer[0]} to {by_writer[-1]} each:",
        end=" ",
    )
    print(
        f"p50 {middle} s, p99 {late} s, longest {longest} s; repeated {dict(load.repeated)}, failed {dict(load.failed)}"
    )
    print(f"{len(held.processes)} processes had the lock, at a stretch for {held.longest:.1f} s at most", end=" ")
    print(f"(load average {os.getloadavg()[0]:.0f})")
    yield from (f"failed: {count} of {said}" for said, count in load.failed.items())
    if len(by_writer) < load.writers:
        yield f"{load.writers - len(by_writer)} clients wrote nothing"
    yield from load.stale


if __name__ == "__main__":
    sys.exit(main())
