"""What services that are ended must show: no failed request, no lost write, whole usage; and a control that fails."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2

from tests.faults.replicas.load import BOUND_SECONDS, Load
from tests.faults.replicas.proxies import balanced
from tests.faults.replicas.services import HEADERS, STOP_SECONDS_MAX, Replica
from winnow.api.usage_meter import FLUSH_SECONDS
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.quotas import SqlUsageBook

CONTROL_KILLS_MAX: Final = 5
COUNTED_SECONDS: Final = 2.0  # less than the interval in which usage is written


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
    yield from (f"failed behind the proxy: {count} of {said}" for said, count in load.failed.items())
    yield from load.stale
    load.reset()


def losses(load: Load, services: Sequence[Replica]) -> Iterator[str]:
    """Ask each service for everything that was acknowledged."""
    time.sleep(BOUND_SECONDS)
    for service in services:
        with httpx2.Client(base_url=service.url, headers=HEADERS, timeout=60) as client:
            yield from load.lost(client)
    print(f"{len(load.kept)} acknowledged documents and {len(load.removed)} removed ones were asked of each service")


def control(folder: Path, services: Sequence[Replica], *, proxy: str) -> Iterator[str]:
    with balanced(folder, services, proxy=proxy, repeats=False) as address:
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


def stopped(folder: Path, services: Sequence[Replica], url: str, *, proxy: str) -> Iterator[str]:
    """Stop services shortly after they answered; yield what is missing in the usage."""
    time.sleep(FLUSH_SECONDS + 1)
    before = searches(url)
    with balanced(folder, services, proxy=proxy) as address:
        load = Load(address)
        with load.running():
            until = time.monotonic() + STOP_SECONDS_MAX
            while not load.answered["search"] and time.monotonic() < until:
                time.sleep(0.05)
            time.sleep(COUNTED_SECONDS)
        codes = [service.end(signal.SIGTERM) for service in services]
    used = searches(url) - before
    print(f"SIGTERM of all: exit codes {codes}, {load.answered['search']} searches answered, {used} in the usage")
    if set(codes) != {0} or not used or used != load.answered["search"]:
        yield "a service did not stop in order, or searches are missing in the usage"


def searches(url: str) -> int:
    database, today = SqlDatabase.at(url), datetime.now(UTC).date()
    used = SqlUsageBook(database).usage(since=today, until=today)
    database.close()
    return sum(each.searches for each in used)
