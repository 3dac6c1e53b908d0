"""Ends one of three services behind nginx again and again while clients write and read: none of them may notice.

    python -m tests.faults.replicas --rounds 20 --seed 1

1. Rounds of SIGTERM and SIGKILL in turn, each time of another service, which is started again: no request fails, no
   acknowledged write is lost, no read is older than a second.
2. PostgreSQL is stopped (SIGSTOP) and continued: requests fail with winnow's own 503 only, and succeed again within ten
   seconds.
3. All services are stopped in order: every search that was answered since the last writing is in the usage.
4. The control: a service is killed behind nginx without repetitions, and requests must fail.

Needs nginx. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2

from tests.faults.replicas.load import BOUND_SECONDS, Load, make_collections
from tests.faults.replicas.services import HEADERS, Replica, balanced, nginx, replicas
from tests.postgres import PostgresServer, running
from winnow.api.usage_meter import FLUSH_SECONDS
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.quotas import SqlUsageBook

STOPPED_SECONDS: Final = 25.0  # of PostgreSQL: longer than a request waits for it
RECOVERY_SECONDS_MAX: Final = 10.0
NAMED: Final = ("503 catalog_unavailable", "503 writer_superseded", "503 collection_busy")
CONTROL_KILLS_MAX: Final = 5
COUNTED_SECONDS: Final = 2.0  # less than the interval in which usage is written


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="the rounds and the usage only")
    asked = parser.parse_args(arguments)
    if nginx() is None:
        print("nginx is not installed (Debian and Ubuntu: apt-get install nginx-light)")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="winnow-replicas-"))
    wrong: list[str] = []
    try:
        with running() as server:
            url = server.new()
            with replicas(folder, url, count=asked.replicas) as services:
                make_collections(services[0].url)
                with balanced(folder, services) as address:
                    load = Load(address)
                    wrong += rounds(load, services, count=asked.rounds, seed=asked.seed)
                    if not asked.short:
                        wrong += database_stopped(load, server)
                    wrong += losses(load, services)
                if not asked.short:
                    wrong += control(folder, services)
                wrong += stopped(folder, services, url)
    finally:
        if not wrong:
            shutil.rmtree(folder)
    for each in wrong:
        print(f"WRONG: {each}; the logs are in {folder}")
    return 1 if wrong else 0


def rounds(load: Load, services: Sequence[Replica], *, count: int, seed: int) -> Iterator[str]:
    """End one service after the other; yield what is wrong."""
    moments = random.Random(seed)
    with load.running():
        for turn in range(count):
            time.sleep(moments.uniform(0.5, 1.5))
            service, number = services[turn % len(services)], (signal.SIGTERM, signal.SIGKILL)[turn % 2]
            code = service.end(number)
            if number == signal.SIGTERM and code != 0:
                yield f"SIGTERM ended a service with {code}"
            service.start()
            service.wait_until_ready()
    print(f"{count} rounds: answered {dict(load.answered)}, failed {dict(load.failed)}, stale {len(load.stale)}")
    yield from (f"failed behind nginx: {count} of {said}" for said, count in load.failed.items())
    yield from load.stale
    load.failed.clear()
    load.stale.clear()


def database_stopped(load: Load, server: PostgresServer) -> Iterator[str]:
    with load.running():
        time.sleep(1)
        with silenced(server):
            time.sleep(STOPPED_SECONDS)
            failed = dict(load.failed)
        load.failed.clear()
        continued = time.monotonic()
        before = dict(load.answered)
        while not all(load.answered[kind] > before.get(kind, 0) for kind in ("write", "search", "get")):
            time.sleep(0.05)
            if time.monotonic() - continued > 6 * RECOVERY_SECONDS_MAX:
                break
        recovery = time.monotonic() - continued
        late = dict(load.failed)
    print(f"PostgreSQL stopped for {STOPPED_SECONDS:.0f} s: failed {failed}, then {late}; again after {recovery:.1f} s")
    if not failed:
        yield "nothing failed while PostgreSQL was stopped"
    yield from (f"while PostgreSQL was stopped: {said}" for said in (*failed, *late) if not said.endswith(NAMED))
    if recovery > RECOVERY_SECONDS_MAX:
        yield f"answers came {recovery:.1f} s after PostgreSQL continued"
    yield from load.stale
    load.failed.clear()
    load.stale.clear()


@contextmanager
def silenced(server: PostgresServer) -> Iterator[None]:
    """Stop the server's processes by their ids."""
    first = int((server.folder / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    os.kill(first, signal.SIGSTOP)  # first, so that no process is added
    processes = [first, *children(first)]
    try:
        for each in processes[1:]:
            os.kill(each, signal.SIGSTOP)
        yield
    finally:
        for each in reversed(processes):
            os.kill(each, signal.SIGCONT)


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = path.read_text(encoding="utf-8").rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest.split()[1]) == parent:
            found.append(int(path.parent.name))
    return found


def losses(load: Load, services: Sequence[Replica]) -> Iterator[str]:
    """Ask each service for everything that was acknowledged."""
    time.sleep(BOUND_SECONDS)
    for service in services:
        with httpx2.Client(base_url=service.url, headers=HEADERS, timeout=60) as client:
            yield from load.lost(client)
    print(f"{len(load.kept)} acknowledged documents and {len(load.removed)} removed ones were asked of each service")


def control(folder: Path, services: Sequence[Replica]) -> Iterator[str]:
    with balanced(folder, services, repeats=False) as address:
        load = Load(address)
        for kill in range(CONTROL_KILLS_MAX):
            with load.running():
                time.sleep(2)
                services[0].end(signal.SIGKILL)
                time.sleep(1)
            services[0].start()
            services[0].wait_until_ready()
            if load.failed:
                print(f"control without repetitions: {dict(load.failed)} after {kill + 1} kills")
                return
    yield "the control without repetitions shows no failure"


def stopped(folder: Path, services: Sequence[Replica], url: str) -> Iterator[str]:
    """Stop services shortly after they answered; yield what is missing in the usage."""
    time.sleep(FLUSH_SECONDS + 1)
    before = searches(url)
    with balanced(folder, services) as address:
        load = Load(address)
        with load.running():
            time.sleep(COUNTED_SECONDS)
        codes = [service.end(signal.SIGTERM) for service in services]
    used = searches(url) - before
    print(f"SIGTERM of all: exit codes {codes}, {load.answered['search']} searches answered, {used} in the usage")
    if set(codes) != {0} or used != load.answered["search"]:
        yield "a service did not stop in order, or searches are missing in the usage"


def searches(url: str) -> int:
    database, today = SqlDatabase.at(url), datetime.now(UTC).date()
    used = SqlUsageBook(database).usage(since=today, until=today)
    database.close()
    return sum(each.searches for each in used)


if __name__ == "__main__":
    sys.exit(main())
