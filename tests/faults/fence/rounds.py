"""One writer in a process of its own, which is stopped, and another one, in this process, which takes over."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.faults.fence.sites import AHEAD_SECONDS, ANSWER_SECONDS, Site
from tests.faults.fence.wire import Wire
from tests.faults.fence.writers import (
    LATE,
    MADE_AT,
    Outcome,
    PausingLease,
    TakenOver,
    contents,
    fail,
    faults,
    lease,
    lock_of,
    prepare,
    run,
    take_over,
)
from tests.faults.scripted import IDENTITY, OPERATIONS, Model, document, write
from tests.s3_server import BUCKET, S3
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.errors import CollectionBusy, StorageError, WriterSuperseded
from winnow.retrieval.files.lease import ONE_HOST
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.generation.history import fold
from winnow.retrieval.generation.shared import fetch_newest

LEASE_SECONDS: Final = 1.0
STEP_SECONDS_MAX: Final = 120.0  # for a process to reach its pause or its end
SUPERSEDED: Final = 3  # exit code
GONE: Final = 4  # exit code: the files that it needs were removed with its collection
PAUSE_SECONDS_MAX: Final = 2.0  # between two random pauses


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Where rounds take place: a folder of temporary files, a catalog, and perhaps a bucket."""

    base: Path
    url: str  # of the catalog
    database: SqlDatabase
    s3: S3 | None = None

    def new_site(self) -> Site:
        root = Path(tempfile.mkdtemp(prefix="run-", dir=self.base)) / "data"
        if self.s3 is None:
            return Site(name=str(root), root=root)
        bucket = BucketRoot(url=f"s3://{BUCKET}/fence", access=self.s3.access, answer_seconds=ANSWER_SECONDS)
        return Site(name=str(root), root=root, bucket=bucket, ahead_seconds=AHEAD_SECONDS)

    def lease(self, site: Site, kind: type[SqlWriterLease] = SqlWriterLease, *, host: str = "one") -> SqlWriterLease:
        return lease(kind, self.database, site.name, host=host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What differs between the rounds of one matrix."""

    path: str
    has_failed: bool = False  # an earlier writer has, so the first must publish a fence itself
    replaces: bool = False  # the second makes the collection again
    second: type[SqlWriterLease] = SqlWriterLease


def stopped_rounds(grounds: Grounds, each: Round) -> Iterator[Outcome]:
    """Stop a writer of this path after each of its renewals."""
    return _rounds(grounds, each, lambda site, at: _stopped(grounds, each, site, at))


def held_rounds(grounds: Grounds, each: Round, wire: Wire) -> Iterator[Outcome]:
    """Hold each request of this path that changes something, and stop its writer; the request lands when it is late."""
    return _rounds(grounds, each, lambda site, at: _held(grounds, each, site, at, wire))


def _rounds(grounds: Grounds, each: Round, one: Callable[[Site, int], Outcome]) -> Iterator[Outcome]:
    with tempfile.TemporaryDirectory(dir=grounds.base) as folder:
        prepared = Path(folder) / "prepared"
        prepare(each.path, prepared)
        for at in itertools.count(1):
            site = grounds.new_site()
            site.fill(prepared)
            if each.has_failed:
                fail(site, grounds.lease(site))
            outcome = one(site, at)
            if not outcome.at:
                return
            yield outcome


def _stopped(grounds: Grounds, each: Round, site: Site, at: int) -> Outcome:
    with started("--writer", site.to_json(), grounds.url, each.path, str(at)) as process:
        if not is_stopped(process):
            return Outcome(path=each.path, at=0, superseded=False)
        taken = take_over(site, grounds.lease(site, each.second, host="two"), replaces=each.replaces)
        os.kill(process.pid, signal.SIGCONT)
        code = process.wait(STEP_SECONDS_MAX)
    return _judged(grounds, each, at, code, taken)


def _held(grounds: Grounds, each: Round, site: Site, at: int, wire: Wire) -> Outcome:
    wire.hold(at)
    with started("--writer", site.through(wire.url).to_json(), grounds.url, each.path, "0") as process:
        while not wire.is_held.wait(0.01):
            if process.poll() is not None:
                return Outcome(path=each.path, at=0, superseded=False)
        os.kill(process.pid, signal.SIGSTOP)
        assert is_stopped(process), "it waits for its request"
        taken = take_over(site, grounds.lease(site, each.second, host="two"), replaces=each.replaces)
        wire.let_go()
        os.kill(process.pid, signal.SIGCONT)
        code = process.wait(STEP_SECONDS_MAX)
    return replace(_judged(grounds, each, at, code, taken), held=wire.held)


def _judged(grounds: Grounds, each: Round, at: int, code: int, taken: tuple[Site, TakenOver]) -> Outcome:
    outcome = Outcome(path=each.path, at=at, superseded=code in {SUPERSEDED, GONE})
    if code not in {0, SUPERSEDED} and not (code == GONE and each.replaces):
        return replace(outcome, wrong=(f"the first writer ended with {code}",))
    return replace(outcome, wrong=tuple(faults(*taken, grounds.database)))


def written(site: Site, database: SqlDatabase, path: str, at: int) -> int:
    """The first writer, a process of its own. It stops itself after its renewal `at`, counted from 1."""
    held = lease(PausingLease, database, site.name, seconds=LEASE_SECONDS)
    assert isinstance(held, PausingLease)
    held.at, held.pause = at, lambda: os.kill(os.getpid(), signal.SIGSTOP)
    try:
        with held.writing(lock_of(site, "first"), wait_seconds=STEP_SECONDS_MAX):
            run(path, site, held)
    except LATE:
        return SUPERSEDED
    except StorageError as error:
        print(error.message, file=sys.stderr)
        return GONE
    return 0


def randomly_paused(grounds: Grounds, *, pauses: int, seed: int) -> int:
    """Stop a process at random moments; each time another writer takes over. Return how much is wrong."""
    moments = random.Random(seed)
    site, late = grounds.new_site(), set[str]()
    prepared = site.root.with_name("prepared")
    model = OPERATIONS["upsert"].prepare(prepared)
    site.fill(prepared)
    other = site.seen_by_another()
    with started("--stream", site.to_json(), grounds.url) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # it writes now
        os.set_blocking(process.stdout.fileno(), False)
        for turn in range(pauses):
            time.sleep(moments.uniform(0.2, PAUSE_SECONDS_MAX))  # the moment is what is drawn
            os.kill(process.pid, signal.SIGSTOP)
            assert is_stopped(process), "it writes until it is ended"
            model |= _second_writer(grounds, other, turn, late)
            os.kill(process.pid, signal.SIGCONT)
        time.sleep(PAUSE_SECONDS_MAX)  # in which it must find itself superseded and go on
        process.terminate()
        os.set_blocking(process.stdout.fileno(), True)
        lines = [first.strip(), *process.stdout.read().split()]
    acknowledged = {line for line in lines if line != "superseded"}
    superseded = lines.count("superseded")
    store = other.open(grounds.lease(site))
    found = contents(store)
    lost = {name for name in model if found.get(name) != model[name]} | (acknowledged - found.keys())
    doubled = {name for name, (_, pieces) in found.items() if name in acknowledged and pieces != 1}
    came_late = late & found.keys() - acknowledged
    print(
        f"random pauses: {pauses}, superseded {superseded}, acknowledged {len(acknowledged)}: "
        f"lost {len(lost)}, doubled {len(doubled)}, late {len(came_late)}"
    )
    if other.shared is not None:
        fetch_newest(other.folder, other.shared, made_at=MADE_AT, lease=ONE_HOST)
    generation = fold(other.folder, store.snapshot(), IDENTITY, shared=other.shared).name
    wrong = faults(other, TakenOver(documents=found, generation=generation), grounds.database)
    return len(lost) + len(doubled) + len(came_late) + (not superseded) + len(wrong)


def _second_writer(grounds: Grounds, site: Site, turn: int, late: set[str]) -> Model:
    """Take over, note the next documents of the stopped writer, which must not appear, and write one."""
    held = grounds.lease(site, host="two")
    with held.writing(lock_of(site, "second"), wait_seconds=STEP_SECONDS_MAX):
        store = site.open(held)
        mine: Model = {f"t{turn}": (f"taken over {turn}", 1)}
        write(store, mine)
        streams = [int(name[1:]) for name in contents(store) if name.startswith("s")]
        late.add(f"s{max(streams, default=-1) + 1}")
        return mine


def streamed(site: Site, database: SqlDatabase) -> int:
    """Write one document after the other, and print each that is acknowledged. A lost one is not repeated."""
    held = lease(SqlWriterLease, database, site.name, seconds=LEASE_SECONDS)
    store = site.open(held)
    at = 0
    while True:
        try:
            with held.writing(lock_of(site, "first"), wait_seconds=STEP_SECONDS_MAX):
                while True:
                    name, at = f"s{at}", at + 1
                    store.replace([document(name, f"streamed {name}", 1)])
                    print(name, flush=True)
        except WriterSuperseded:
            print("superseded", flush=True)
        except CollectionBusy:
            continue


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.faults.fence", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_stopped(process: subprocess.Popen[str]) -> bool:
    """Wait until the process has stopped itself or ended; return which. A zombie is left for `wait`."""
    until = time.monotonic() + STEP_SECONDS_MAX
    while time.monotonic() < until:
        state = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(") ")[2][0]
        if state in "TZ":
            return state == "T"
        time.sleep(0.01)
    raise TimeoutError(f"the process neither stopped nor ended within {STEP_SECONDS_MAX:.0f} s")
