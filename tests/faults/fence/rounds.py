"""One writer in a process of its own, which is paused, and another one, in this process, which takes over."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Protocol, Self

from tests.faults.fence.calls import hold_call
from tests.faults.fence.judging import Fault, Kind, TakenOver
from tests.faults.fence.leases import LEASE_SECONDS, PausingLease
from tests.faults.fence.paths import LATE
from tests.faults.fence.wire import Wire
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.errors import WinnowError

warnings.filterwarnings("ignore", message="lance is not fork-safe")  # the server of forks imports it and calls nothing

STEP_SECONDS_MAX: Final = 120.0  # for a process to reach its pause or its end
SUPERSEDED: Final = 3  # exit code
REFUSED: Final = 4  # exit code: another error with a name, such as that files were removed with their collection

_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.faults.fence.scenes"])


class Scene(Protocol):
    """One collection, and one way to change it. It is sent to the process of the first writer."""

    @property
    def folder(self) -> Path: ...

    def begin(self, database: SqlDatabase) -> None: ...

    def first_lease(self, kind: type[SqlWriterLease], database: SqlDatabase, *, seconds: float) -> SqlWriterLease: ...

    def write(self, held: PausingLease) -> None: ...

    def take_over(
        self,
        kind: type[SqlWriterLease],
        database: SqlDatabase,
        *,
        host: str,
        fenced: Callable[[], None] = ...,
    ) -> TakenOver: ...

    def faults(self, expected: TakenOver, database: SqlDatabase, *, is_acknowledged: bool) -> list[Fault]: ...

    def through(self, endpoint: str) -> Self: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pause led to."""

    paused_at: str
    superseded: bool
    wrong: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Pauses the first writers of scenes that `new` makes, and lets second writers of a kind take over."""

    new: Callable[[], Scene]
    url: str  # of the catalog
    database: SqlDatabase
    second: type[SqlWriterLease] = SqlWriterLease

    def after_renewals(self, first: int = 1) -> Iterator[Outcome]:
        """Stop a writer after it has taken its lease, and after each renewal: so right before each of its commits."""
        for at in itertools.count(first):
            scene = self._begun()
            with self._first(scene, at=at) as (process, _):
                if not is_stopped(process):
                    return
                yield self._continued(scene, process, f"renewal {at}")

    def on_the_wire(self, wire: Wire) -> Iterator[Outcome]:
        """Hold each request that changes something, and stop its writer; the request arrives when it is late."""
        for at, is_at_fence in _twice_each():
            scene = self._begun()
            with self._first(scene.through(wire.url), waits=True) as (process, connection):
                wire.hold(at)
                connection.send("go on")
                while not wire.is_held.wait(0.01):
                    if has_ended(process):
                        return
                os.kill(ident(process), signal.SIGSTOP)
                assert is_stopped(process), "it waits for its request"
                yield self._continued(scene, process, wire.held, wire.let_go, is_at_fence=is_at_fence)

    def at_calls(self) -> Iterator[Outcome]:
        """Hold each call that renames, links or removes something in the folder, and stop its writer with it."""
        for at, is_at_fence in _twice_each():
            scene = self._begun()
            here, there = _FORKS.Pipe()
            with self._first(scene, waits=True) as (process, connection):
                tracing = _FORKS.Process(target=hold_call, args=(ident(process), scene.folder, at, there), daemon=True)
                tracing.start()
                assert here.recv() == "traced"
                connection.send("go on")
                held = here.recv()
                tracing.join(STEP_SECONDS_MAX)
                if not held:
                    return
                assert is_stopped(process), "it was stopped with its call"
                yield self._continued(scene, process, held, is_at_fence=is_at_fence)

    def at_random(self, count: int, moments: random.Random) -> Iterator[Outcome]:
        """Stop a writer at a random moment, `count` times. One that has ended by then does not count.

        It continues right after the second writer's fence, and in every other round only after its publication.
        """
        longest = max(self._undisturbed() for _ in range(3))
        for _ in range(10 * count):
            if not count:
                return
            scene, moment = self._begun(), moments.uniform(0, longest)
            with self._first(scene, waits=True) as (process, connection):
                connection.send("go on")
                time.sleep(moment)  # which is what is drawn
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(ident(process), signal.SIGSTOP)
                if is_stopped(process) and not connection.poll():
                    count -= 1
                    yield self._continued(scene, process, f"{moment:.3f} s", is_at_fence=count % 2 == 1)
        raise AssertionError("the writer ends too early to be stopped")

    def _undisturbed(self) -> float:
        with self._first(self._begun(), waits=True) as (_, connection):
            began = time.monotonic()
            connection.send("go on")
            assert connection.poll(STEP_SECONDS_MAX), "it writes"
            return time.monotonic() - began

    def _begun(self) -> Scene:
        scene = self.new()
        scene.begin(self.database)
        return scene

    @contextmanager
    def _first(self, scene: Scene, *, at: int = -1, waits: bool = False) -> Iterator[tuple[BaseProcess, Connection]]:
        """Start the first writer; one that `waits` holds the lease then, and goes on when it is told to."""
        here, there = _FORKS.Pipe()
        process = _FORKS.Process(
            target=first_writer, args=(scene, self.url, at, there), kwargs={"waits": waits}, daemon=True
        )
        process.start()
        try:
            if waits:
                assert here.poll(STEP_SECONDS_MAX), "it starts"
                assert here.recv() == "begun"
            yield process, here
        finally:
            process.kill()
            process.join()

    def _continued(
        self,
        scene: Scene,
        process: BaseProcess,
        paused_at: str,
        let_go: Callable[[], None] = lambda: None,
        *,
        is_at_fence: bool = False,
    ) -> Outcome:
        def end() -> None:
            let_go()
            os.kill(ident(process), signal.SIGCONT)
            process.join(STEP_SECONDS_MAX)

        if is_at_fence:
            paused_at = f"{paused_at}, until the fence"
            taken = scene.take_over(self.second, self.database, host="two", fenced=end)
        else:
            taken = scene.take_over(self.second, self.database, host="two")
            end()
        code = process.exitcode
        outcome = Outcome(paused_at=paused_at, superseded=code in {SUPERSEDED, REFUSED})
        if code not in {0, SUPERSEDED, REFUSED}:
            ended = "did not end" if code is None else f"ended with {code}"
            return Outcome(
                paused_at=paused_at,
                superseded=False,
                wrong=(Fault(kind=Kind.LOST, said=f"the first writer {ended}"),),
            )
        wrong = tuple(scene.faults(taken, self.database, is_acknowledged=code == 0))
        return Outcome(paused_at=paused_at, superseded=outcome.superseded, wrong=wrong)


def _twice_each() -> Iterator[tuple[int, bool]]:
    """Yield what to hold, counted from 1, and whether only until the second writer's fence, or until it has published.

    From the second's first commit on, a late version has a number that is taken: it is refused without a fence as well.
    """
    for at in itertools.count(1):
        yield from ((at, True), (at, False))


def first_writer(scene: Scene, url: str, at: int, said: Connection, *, waits: bool) -> None:
    """The first writer, a process of its own. It stops itself after its renewal `at`, counted from 1."""
    database = SqlDatabase.at(url)
    held = scene.first_lease(PausingLease, database, seconds=LEASE_SECONDS)
    assert isinstance(held, PausingLease)
    held.at, held.pause = at, lambda: os.kill(os.getpid(), signal.SIGSTOP)

    def begun() -> None:
        held.begun = lambda: None
        said.send("begun")
        said.recv()

    if waits:
        held.begun = begun
    try:
        scene.write(held)
        said.send("written")
    except LATE:
        sys.exit(SUPERSEDED)
    except WinnowError:
        sys.exit(REFUSED)


def ident(process: BaseProcess) -> int:
    assert process.pid is not None, "it was started"
    return process.pid


def has_ended(process: BaseProcess) -> bool:
    return process.exitcode is not None


def is_stopped(process: BaseProcess) -> bool:
    """Wait until the process is stopped or has ended; return which."""
    until = time.monotonic() + STEP_SECONDS_MAX
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(") ")[2][0]
        except FileNotFoundError:
            return False
        if state in "TZ":
            return state == "T"
        time.sleep(0.01)
    raise TimeoutError(f"the process neither stopped nor ended within {STEP_SECONDS_MAX:.0f} s")
