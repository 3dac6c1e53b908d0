"""Stops processes that write, lets others take over, and continues them: nothing late is published, nothing lost.

    python -m tests.faults.fence --pauses 20 --seed 1

1. Every write path, stopped (SIGSTOP) after each of its renewals, so right before each of its commits and removals, and
   every move of the pointer, stopped after each look at its token. Another writer waits until the lease expires, takes
   over, commits five times and publishes; then the first continues (SIGCONT).
2. The same with a writer that must publish a fence itself, and with one whose collection is made again meanwhile.
3. A process that writes one document after the other, stopped at random moments.
4. The controls: without the fence, deletions and publications must be found to arrive late.

Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.faults.fencing import (
    LATE,
    MOVES,
    PATHS,
    Outcome,
    PausingLease,
    TakenOver,
    UnfencedLease,
    contents,
    fail,
    faults,
    lease,
    lock_of,
    opened,
    prepare,
    run,
    take_over,
)
from tests.faults.scripted import IDENTITY, OPERATIONS, Model, document, folder_of, write
from tests.postgres import running
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.errors import CollectionBusy, StoreCorrupt, WriteFailed, WriterSuperseded
from winnow.retrieval.generation.history import fold

LEASE_SECONDS: Final = 1.0
STEP_SECONDS_MAX: Final = 120.0  # for a process to reach its pause or its end
SUPERSEDED: Final = 3  # exit code
GONE: Final = 4  # exit code: the files that it needs were removed with its collection
PAUSE_SECONDS_MAX: Final = 2.0  # between two random pauses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pauses", type=int, default=20, help="random ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--paths", nargs="+", default=[*PATHS, *MOVES], choices=[*PATHS, *MOVES])
    parser.add_argument("--writer", nargs=4, metavar=("ROOT", "URL", "PATH", "AT"), help=argparse.SUPPRESS)
    parser.add_argument("--stream", nargs=2, metavar=("ROOT", "URL"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.writer:
        return written(Path(asked.writer[0]), SqlDatabase.at(asked.writer[1]), asked.writer[2], int(asked.writer[3]))
    if asked.stream:
        return streamed(Path(asked.stream[0]), SqlDatabase.at(asked.stream[1]))
    base = Path(tempfile.mkdtemp(prefix="fence-"))
    wrong = 0
    try:
        with running() as server:
            url = server.new()
            database = SqlDatabase.open(url)
            for path in asked.paths:
                wrong += shown(path, list(matrix(base, database, url, path)))
            wrong += shown("upsert, with a fence to publish", list(matrix(base, database, url, "upsert", failed=True)))
            for path in ("upsert", "delete", "words"):
                again = list(matrix(base, database, url, path, replaces=True))
                wrong += shown(f"{path}, with the collection made again", again)
            wrong += randomly_paused(base, database, url, pauses=asked.pauses, seed=asked.seed)
            for path in ("delete", "publication"):
                control = list(matrix(base, database, url, path, second=UnfencedLease))
                found = sum(bool(each.wrong) for each in control)
                print(f"control without a fence, {path}: {found} of {len(control)} pauses published what was late")
                wrong += not found
    finally:
        shutil.rmtree(base)
    return 1 if wrong else 0


def matrix(
    base: Path,
    database: SqlDatabase,
    url: str,
    path: str,
    *,
    failed: bool = False,
    replaces: bool = False,
    second: type[SqlWriterLease] = SqlWriterLease,
) -> Iterator[Outcome]:
    """Stop a writer of this path after each of its renewals."""
    prepared = base / "prepared"
    prepare(path, prepared)
    try:
        for at in range(1, sys.maxsize):
            root = Path(tempfile.mkdtemp(prefix="run-", dir=base)) / "data"
            shutil.copytree(prepared, root)
            if failed:
                fail(root, lease(SqlWriterLease, database, str(root)))
            outcome = stopped(root, database, url, path, at=at, second=second, replaces=replaces)
            if not outcome.at:
                return
            yield outcome
    finally:
        shutil.rmtree(prepared)


def stopped(
    root: Path, database: SqlDatabase, url: str, path: str, *, at: int, second: type[SqlWriterLease], replaces: bool
) -> Outcome:
    with started("--writer", str(root), url, path, str(at)) as process:
        if not is_stopped(process):
            return Outcome(path=path, at=0, superseded=False)
        expected = take_over(root, lease(second, database, str(root), host="two"), replaces=replaces)
        os.kill(process.pid, signal.SIGCONT)
        code = process.wait(STEP_SECONDS_MAX)
    outcome = Outcome(path=path, at=at, superseded=code in {SUPERSEDED, GONE})
    if code not in {0, SUPERSEDED} and not (code == GONE and replaces):
        return replace(outcome, wrong=(f"the first writer ended with {code}",))
    return replace(outcome, wrong=tuple(faults(root, database, expected)))


def written(root: Path, database: SqlDatabase, path: str, at: int) -> int:
    """The first writer, a process of its own."""
    held = lease(PausingLease, database, str(root), seconds=LEASE_SECONDS)
    assert isinstance(held, PausingLease)
    held.at, held.pause = at, lambda: os.kill(os.getpid(), signal.SIGSTOP)
    try:
        with held.writing(lock_of(root, "first"), wait_seconds=STEP_SECONDS_MAX):
            run(path, root, held)
    except LATE:
        return SUPERSEDED
    except (StoreCorrupt, WriteFailed):
        return GONE
    return 0


def randomly_paused(base: Path, database: SqlDatabase, url: str, *, pauses: int, seed: int) -> int:
    """Stop a process at random moments; each time another writer takes over. Return how much is wrong."""
    moments = random.Random(seed)
    root = base / "random"
    model = OPERATIONS["upsert"].prepare(root)
    late: set[str] = set()
    with started("--stream", str(root), url) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # it writes now
        os.set_blocking(process.stdout.fileno(), False)
        for turn in range(pauses):
            time.sleep(moments.uniform(0.2, PAUSE_SECONDS_MAX))  # the moment is what is drawn
            os.kill(process.pid, signal.SIGSTOP)
            assert is_stopped(process), "it writes until it is ended"
            model |= second_writer(root, database, turn, late)
            os.kill(process.pid, signal.SIGCONT)
        time.sleep(PAUSE_SECONDS_MAX)  # in which it must find itself superseded and go on
        process.terminate()
        os.set_blocking(process.stdout.fileno(), True)
        lines = [first.strip(), *process.stdout.read().split()]
    acknowledged = {line for line in lines if line != "superseded"}
    superseded = lines.count("superseded")
    found = contents(opened(root, lease(SqlWriterLease, database, str(root))))
    lost = {name for name in model if found.get(name) != model[name]} | (acknowledged - found.keys())
    doubled = {name for name, (_, pieces) in found.items() if name in acknowledged and pieces != 1}
    came_late = late & found.keys() - acknowledged
    print(
        f"random pauses: {pauses}, superseded {superseded}, acknowledged {len(acknowledged)}: "
        f"lost {len(lost)}, doubled {len(doubled)}, late {len(came_late)}"
    )
    store = opened(root, lease(SqlWriterLease, database, str(root)))
    generation = fold(folder_of(root), store.snapshot(), IDENTITY).name
    wrong = faults(root, database, TakenOver(documents=found, generation=generation))
    return len(lost) + len(doubled) + len(came_late) + (not superseded) + len(wrong)


def second_writer(root: Path, database: SqlDatabase, turn: int, late: set[str]) -> Model:
    """Take over, note the next documents of the stopped writer, which must not appear, and write one."""
    held = lease(SqlWriterLease, database, str(root), host="two")
    with held.writing(lock_of(root, "second"), wait_seconds=STEP_SECONDS_MAX):
        store = opened(root, held)
        mine: Model = {f"t{turn}": (f"taken over {turn}", 1)}
        write(store, mine)
        streams = [int(name[1:]) for name in contents(store) if name.startswith("s")]
        late.add(f"s{max(streams, default=-1) + 1}")
        return mine


def streamed(root: Path, database: SqlDatabase) -> int:
    """Write one document after the other, and print each that is acknowledged. A lost one is not repeated."""
    held = lease(SqlWriterLease, database, str(root), seconds=LEASE_SECONDS)
    store = opened(root, held)
    at = 0
    while True:
        try:
            with held.writing(lock_of(root, "first"), wait_seconds=STEP_SECONDS_MAX):
                while True:
                    name, at = f"s{at}", at + 1
                    store.replace([document(name, f"streamed {name}", 1)])
                    print(name, flush=True)
        except WriterSuperseded:
            print("superseded", flush=True)
        except CollectionBusy:
            continue


def shown(path: str, outcomes: list[Outcome]) -> int:
    """Print one line, and each thing that is wrong. Return how many pauses were."""
    wrong = [each for each in outcomes if each.wrong]
    superseded = sum(each.superseded for each in outcomes)
    print(f"{path}: {len(outcomes)} pauses, {superseded} superseded, {len(wrong)} wrong", flush=True)
    for each in wrong:
        print(f"    after renewal {each.at}: {'; '.join(each.wrong)}", flush=True)
    return len(wrong) + (not superseded)


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


if __name__ == "__main__":
    sys.exit(main())
