"""A process that writes one document after the other is stopped at random moments; each time another one takes over."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from tests.faults.fence.judging import Fault, Kind, TakenOver, contents, repeated_numbers
from tests.faults.fence.leases import LEASE_SECONDS, TAKE_OVER_SECONDS_MAX, lease
from tests.faults.fence.paths import MADE_AT, StoreScene, faults_of_next_write, faults_of_pointer, lock_of
from tests.faults.fence.rounds import ident, is_stopped
from tests.faults.fence.scenes import Grounds
from tests.faults.fence.sites import Site
from tests.faults.scripted import IDENTITY, Model, document, write
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.errors import CatalogUnavailable, CollectionBusy, WriteFailed, WriterSuperseded
from winnow.retrieval.files.lease import ONE_HOST
from winnow.retrieval.generation.history import fold
from winnow.retrieval.generation.shared import fetch_newest

PAUSE_SECONDS_MAX: Final = 2.0  # between two pauses
NAME: Final = re.compile(r"s\d+")  # of a streamed document
_DELETED_EVERY: Final = 5  # documents: one of so many is deleted again
_FORKS: Final = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What was acknowledged between the pauses, and what is wrong afterwards."""

    pauses: int
    superseded: int
    acknowledged: int
    wrong: tuple[Fault, ...]


def streamed(grounds: Grounds, *, pauses: int, seed: int) -> Streamed:
    """Stop a process that writes and deletes at random moments, `pauses` times."""
    moments = random.Random(seed)
    scene = grounds.store_scene("upsert")
    other = scene.site.seen_by_another()
    model, may_not = dict(scene.before), set[str]()
    here, there = _FORKS.Pipe()
    process = _FORKS.Process(target=_write_on, args=(scene, grounds.url, there), daemon=True)
    process.start()
    said: list[str] = [here.recv()]  # it writes now
    try:
        for turn in range(pauses):
            time.sleep(moments.uniform(0.2, PAUSE_SECONDS_MAX))  # the moment is what is drawn
            os.kill(ident(process), signal.SIGSTOP)
            assert is_stopped(process), "it writes until it is ended"
            model |= _second_writer(grounds, other, turn, may_not)
            os.kill(ident(process), signal.SIGCONT)
            _listen(here, said, seconds=0.0)
        _listen(here, said, seconds=PAUSE_SECONDS_MAX)  # in which it must find itself superseded and go on
    finally:
        process.terminate()
        process.join()
    _listen(here, said, seconds=0.0)
    superseded = said.count("superseded")
    wrong = _faults(grounds, other, model, said, may_not)
    if not superseded:
        wrong.append(Fault(kind=Kind.STALE, said="the process was never superseded"))
    acknowledged = len(said) - superseded
    return Streamed(pauses=pauses, superseded=superseded, acknowledged=acknowledged, wrong=tuple(wrong))


def _listen(here: Connection, said: list[str], *, seconds: float) -> None:
    until = time.monotonic() + seconds
    try:
        while here.poll(max(0.0, until - time.monotonic())):
            said.append(here.recv())
    except EOFError:  # it has ended
        return


def _faults(grounds: Grounds, site: Site, model: Model, said: list[str], may_not: set[str]) -> list[Fault]:
    """Compare with what was acknowledged. A late document is one that was under way when the process was stopped."""
    deleted = {each.removeprefix("-") for each in said if each.startswith("-")}
    written = {each for each in said if NAME.fullmatch(each)} - deleted
    kept = {name for name in written if not _is_deleted(int(name[1:]))}  # of others the deletion may have arrived
    held = grounds.lease(site)
    with held.writing(lock_of(site, "third"), wait_seconds=TAKE_OVER_SECONDS_MAX):
        store = site.open(held)
        found = contents(store)
        lost = {name for name in model if found.get(name) != model[name]} | (kept - found.keys())
        lost |= deleted & found.keys()
        doubled = {name for name, (_, pieces) in found.items() if NAME.fullmatch(name) and pieces != 1}
        late = may_not & found.keys() - written
        wrong = [
            Fault(kind=kind, said=f"{name} is {found.get(name)}")
            for kind, names in ((Kind.LOST, lost), (Kind.DOUBLED, doubled), (Kind.STALE, late))
            for name in sorted(names)
        ]
        wrong += repeated_numbers(store)
        if site.shared is not None:
            fetch_newest(site.folder, site.shared, made_at=MADE_AT, lease=ONE_HOST)
        name = fold(site.folder, store.snapshot(), IDENTITY, lease=held, shared=site.shared).name
        taken = TakenOver(found=None, documents=found, generation=name)
        wrong += [*faults_of_pointer(site, store, taken.generation), *faults_of_next_write(store)]
    return wrong + [Fault(kind=Kind.LOST, said=each) for each in site.faults(store)]


def _second_writer(grounds: Grounds, site: Site, turn: int, may_not: set[str]) -> Model:
    """Take over and write a document. Return all that must stay, and note what must not appear: the next document."""
    held = grounds.lease(site, host="two")
    with held.writing(lock_of(site, "second"), wait_seconds=TAKE_OVER_SECONDS_MAX):
        store = site.open(held)
        write(store, {f"t{turn}": (f"taken over {turn}", 1)})
        found = contents(store)
        newest = max((int(name[1:]) for name in found if NAME.fullmatch(name)), default=-1)
        may_not.add(f"s{newest + 1}")
        return found


def _is_deleted(at: int) -> bool:
    return at % _DELETED_EVERY == _DELETED_EVERY - 1


def _write_on(scene: StoreScene, url: str, said: Connection) -> None:
    """Write one document after the other, and say what is acknowledged. What was refused is not repeated."""
    held = lease(SqlWriterLease, SqlDatabase.at(url), scene.site.name, seconds=LEASE_SECONDS)
    store = scene.site.open(held)
    at = 0
    while True:
        try:
            with held.writing(lock_of(scene.site, "first"), wait_seconds=TAKE_OVER_SECONDS_MAX):
                while True:
                    name, at = f"s{at}", at + 1
                    store.replace([document(name, f"streamed {name}", 1)])
                    said.send(name)
                    if _is_deleted(at - 1) and store.delete([name]):
                        said.send(f"-{name}")
        except (WriterSuperseded, WriteFailed, CatalogUnavailable):
            said.send("superseded")  # also told by a temporary file that is gone, or by a transaction that was ended
        except CollectionBusy:
            continue
