"""PostgreSQL or the object store is stopped (SIGSTOP) and continued: requests may only fail with winnow's own 503."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.replicas.load import Load
from tests.postgres import PostgresServer

DATABASE_SECONDS: Final = 25.0  # longer than a request waits for PostgreSQL
STORE_SECONDS: Final = 75.0  # longer than a commit waits for the object store
STORE_ANSWER_SECONDS_MAX: Final = 65.0  # until a commit that was sent has failed
RECOVERY_SECONDS_MAX: Final = 10.0
KINDS: Final = ("write", "search", "get")
NAMED: Final = (
    "503 not_ready",  # HAProxy's own, deploy/balance/haproxy.cfg
    "503 catalog_unavailable",
    "503 store_unavailable",
    "503 writer_superseded",
    "503 collection_busy",
)


def database_stopped(load: Load, server: PostgresServer) -> Iterator[str]:
    first = int((server.folder / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    yield from _stopped(load, "PostgreSQL", first, seconds=DATABASE_SECONDS, answer_seconds_max=DATABASE_SECONDS)


def store_stopped(load: Load, server: int) -> Iterator[str]:
    """`server` is the process of the object store."""
    yield from _stopped(
        load, "the object store", server, seconds=STORE_SECONDS, answer_seconds_max=STORE_ANSWER_SECONDS_MAX
    )


def _stopped(load: Load, name: str, first: int, *, seconds: float, answer_seconds_max: float) -> Iterator[str]:
    with load.running():
        time.sleep(1)
        load.reset()
        with silenced(first):
            time.sleep(seconds)
            failed = dict(load.failed)
        load.failed.clear()
        continued = time.monotonic()
        before, again = dict(load.answered), dict[str, float]()
        while len(again) < len(KINDS) and time.monotonic() - continued < 6 * RECOVERY_SECONDS_MAX:
            time.sleep(0.05)
            found = [kind for kind in KINDS if kind not in again and load.answered[kind] > before.get(kind, 0)]
            again |= dict.fromkeys(found, round(time.monotonic() - continued, 1))
        recovery = time.monotonic() - continued
        late = dict(load.failed)
        time.sleep(RECOVERY_SECONDS_MAX - min(recovery, RECOVERY_SECONDS_MAX))
        load.failed.clear()
        time.sleep(2)
        after = dict(load.failed)
    slowest = {said: round(each, 1) for said, each in load.slowest.items()}
    print(f"{name} stopped for {seconds:.0f} s: failed {failed}, then {late}; again after, in seconds: {again}")
    print(f"the slowest failure of each kind, in seconds: {slowest}; failed later than ten seconds: {after}")
    if not failed:
        yield f"nothing failed while {name} was stopped"
    yield from (f"while {name} was stopped: {said}" for said in (*failed, *late) if not said.endswith(NAMED))
    yield from (f"{said} after {each} s" for said, each in slowest.items() if each > answer_seconds_max)
    yield from (f"ten seconds after {name} continued: {said}" for said in after)
    if recovery > RECOVERY_SECONDS_MAX:
        yield f"answers came {recovery:.1f} s after {name} continued"
    yield from load.stale
    load.reset()


@contextmanager
def silenced(first: int) -> Iterator[None]:
    """Stop a process and its children by their ids."""
    os.kill(first, signal.SIGSTOP)  # first, so that no process is added
    processes = [first, *children(first)]
    try:
        for each in processes[1:]:
            os.kill(each, signal.SIGSTOP)
        yield
    finally:
        for each in reversed(processes):
            os.kill(each, signal.SIGCONT)


def children(parent: int) -> Sequence[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = path.read_text(encoding="utf-8").rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest.split()[1]) == parent:
            found.append(int(path.parent.name))
    return found
