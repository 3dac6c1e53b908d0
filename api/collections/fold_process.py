"""Builds an index in a separate process with low priority, without effect on searches.

A thread would hold the interpreter's lock when searches need it, and compete for the processor. A separate process that
fails or is killed harms no answer, and its memory is returned. It is spawned, not forked, because Lance and the model
runtime have threads. It ends when the service does.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, WinnowError
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.tenancy import TenantName

NICENESS: Final = 10  # under contention a search gets about nine times as much of a processor
_LOCK_SECONDS: Final = 30.0  # maximum wait for a writer, when words are migrated to new rules
_KILL_SECONDS: Final = 2.0  # maximum time to end after a request; what it has written is harmless


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One build."""

    folder: Path  # of the collection
    tenant: TenantName
    identity: EmbedderIdentity
    made_at: datetime  # creation time of the collection: another may have replaced it before this begins
    kept: int  # generations
    seen: str | None  # the current generation when this build was requested
    takes_any: bool = False  # any index that another host has built since will do, also of an earlier version
    wish: IndexWish = ANY_INDEX
    bucket: BucketRoot | None = None  # which holds the corpora
    catalog_url: str | None = field(default=None, repr=False)  # of the catalog with the writers' leases, if on a server


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """The result of a build."""

    generation: str
    count: int  # vectors
    store_version: int


class FoldEnded(Exception):
    """The building process ended without a result."""


async def fold_in_process(fold: Fold) -> Folded:
    """Build in a process. Raises what building raises, `CollectionBusy` if another process builds, and `FoldEnded`."""
    spawning = multiprocessing.get_context("spawn")
    receiver, sender = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_work, args=(sender, fold), name=f"fold {fold.folder.name}", daemon=True)
    process.start()
    sender.close()
    said = None
    try:
        said = await asyncio.to_thread(_said, receiver)
    finally:
        await asyncio.shield(asyncio.to_thread(_end, process, has_said=said is not None))
    if said is None:
        raise FoldEnded(f"the building process ended with exit code {process.exitcode}")
    if isinstance(said, WinnowError):
        raise said
    return said


def _said(receiver: Connection) -> Folded | WinnowError | None:
    """Return the result, or None if the process ended without one."""
    with receiver:
        try:
            said: Folded | WinnowError = receiver.recv()
        except EOFError:
            return None
        return said


def _end(process: BaseProcess, *, has_said: bool) -> None:
    """End the process: it has sent its result, or is no longer wanted."""
    if has_said:
        process.join(_KILL_SECONDS)
    if process.exitcode is None:
        process.terminate()
        process.join(_KILL_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()


def _work(sender: Connection, fold: Fold) -> None:
    """Run in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the service, which ends this process
    os.nice(NICENESS)
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    with sender:
        try:
            sender.send(_built(fold))
        except WinnowError as error:
            sender.send(error)


def _end_with_the_service() -> None:
    service = multiprocessing.parent_process()
    assert service is not None, "it has a parent process. This is a bug."
    wait([service.sentinel])
    os._exit(1)


def _built(fold: Fold) -> Folded:
    from winnow.api.collections.bucket.corpora import place_of_corpus, shared_generations
    from winnow.retrieval.files.layout import CollectionFolder
    from winnow.retrieval.generation.history import fold as published
    from winnow.retrieval.generation.pointer import current_name
    from winnow.retrieval.store.lance_store import LanceStore
    from winnow.retrieval.store.places.bucket import Bucket

    folder = CollectionFolder(fold.folder)
    if current_name(folder) != fold.seen:
        raise CollectionBusy(f"{fold.folder.name} has just been folded")
    lease = _lease_of(fold)
    bucket = None if fold.bucket is None else Bucket(fold.bucket)
    place = place_of_corpus(bucket, fold.tenant, fold.folder.name, fold.made_at, folder)
    shared = shared_generations(bucket, fold.tenant, fold.folder.name, fold.made_at, folder)
    store = LanceStore.open_at(place, dimension=fold.identity.dimension, lease=lease)
    with contextlib.suppress(CollectionBusy):  # a long writer is an index run, which does it at its end
        store.renew_word_rules(partial(lease.writing, folder, wait_seconds=_LOCK_SECONDS))
    with store.holding():
        manifest = published(
            folder,
            store.snapshot(),
            fold.identity,
            wish=fold.wish,
            kept=fold.kept,
            made_at=fold.made_at,
            lease=lease,
            shared=shared,
            takes_any=fold.takes_any,
        )
    return Folded(generation=manifest.name, count=manifest.count, store_version=manifest.store_version)


def _lease_of(fold: Fold) -> WriterLease:
    if fold.catalog_url is None:
        return ONE_HOST
    from winnow.retrieval.catalog.sql.database import SqlDatabase
    from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease, host_with

    host = host_with(fold.folder.parents[2]) if fold.bucket else None
    database = SqlDatabase.at(fold.catalog_url)
    return SqlWriterLease(database, fold.tenant, fold.folder.name, host=host, has_own_folder=host is not None)
