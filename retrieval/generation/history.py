"""The history of generations: roll back to an older one, build the next, and retention.

A rollback goes to an older *index*, never to older documents: later writes are searched in addition, and removed
documents are skipped. So every answer covers the newest documents, whichever generation is current.

Rule 1: the newest `kept` stay, including the current one; "newest" is by when a generation was last current, so a bad
one from before a rollback does not push out the good one. An exact one of the format before, which holds the vectors a
second time, need not stay once one without them serves.
Rule 2: a generation is removed only when it has not been current for twice the longest request: a process that was
about to open it, or has its files mapped, is done by then.
Rule 3: a generation that was rolled back from stays until the next publication, and no build starts automatically until
then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, GenerationCorrupt, InvalidRequest, StorageError
from winnow.retrieval.files.durable import DISK, Syncer
from winnow.retrieval.files.layout import CollectionFolder, created_at_of, require_created_at
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.generation.cleanup import clean_locked
from winnow.retrieval.generation.listing import never_current
from winnow.retrieval.generation.manifest import Manifest
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import current_name, moving, names, ordinal, rolled_back
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.generation.shared import SharedGenerations, fetch_newest
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.limits import GENERATIONS_KEPT_MIN
from winnow.retrieval.store.contract import StoreSnapshot

_log = logging.getLogger(__name__)


def roll_back(
    folder: CollectionFolder,
    identity: EmbedderIdentity,
    *,
    to: str | None = None,
    lease: WriterLease = ONE_HOST,
    syncer: Syncer = DISK,
) -> str:
    """Make an older generation current, by default the newest intact one before the current; return its name.

    It stays current, across restarts, until something is published; a running build gives up. `to` may also be newer,
    which undoes a rollback. Raises `InvalidRequest` if there is no such usable generation.
    """
    chosen = to or _one_before(folder, identity)
    fault = _unfit(folder, chosen, identity)
    if fault is not None:
        raise InvalidRequest(f"{folder.path.name} cannot roll back to generation {chosen}: {fault}")
    with moving(folder, lease, syncer=syncer) as move:
        current, earlier = current_name(folder), rolled_back(folder)
        if chosen == current:
            raise InvalidRequest(f"{chosen} is already the current generation of {folder.path.name}")
        if not (folder.generations / chosen).is_dir():
            raise CollectionBusy(f"{folder.path.name} was cleaned up while {chosen} was checked")
        newest = max(filter(None, (current, earlier.newest if earlier else None)), key=ordinal, default=chosen)
        move.point(chosen, over=newest)
    return chosen


def fold(
    folder: CollectionFolder,
    snapshot: StoreSnapshot,
    identity: EmbedderIdentity,
    *,
    wish: IndexWish = ANY_INDEX,
    kept: int = GENERATIONS_KEPT_MIN,
    made_at: datetime | None = None,
    lease: WriterLease = ONE_HOST,
    shared: SharedGenerations | None = None,
    takes_any: bool = False,
    wait_seconds: float = 0.0,
    syncer: Syncer = DISK,
) -> Manifest:
    """Publish a generation of the snapshot, and remove those that are then too old. Does not block writers.

    With `shared`, one that another host has published is fetched; if it covers the snapshot, or if the caller
    `takes_any`, nothing is built. `made_at` is the creation time of the intended collection, or None to skip that
    check, and then nothing is fetched. Raises `CollectionBusy` if that collection is gone, before building, in place
    of an error while building, and before publishing; if another process builds for longer than `wait_seconds`; or if
    the pointer changed meanwhile; also `MemoryTooSmall`, `WriteFailed`, `GenerationCorrupt`, `StoreCorrupt`,
    `StoreUnavailable`.
    """
    is_damaged = False
    if shared is not None and made_at is not None:
        try:
            fetched = fetch_newest(folder, shared, made_at=made_at, lease=lease, wait_seconds=wait_seconds)
        except GenerationCorrupt as corrupt:
            _log.warning("collection %s: %s; a newer index is built", folder.path.name, corrupt.message)
            fetched, is_damaged = None, True
        if fetched is not None and (takes_any or fetched.store_version >= snapshot.version):
            return fetched
    with _gone_is_busy(folder, made_at), lease.folding(folder, wait_seconds=wait_seconds):
        require_created_at(folder, made_at)
        manifest = publish(
            folder,
            snapshot,
            identity,
            wish=wish,
            made_at=made_at,
            lease=lease,
            shared=shared,
            is_shared_damaged=is_damaged,
            syncer=syncer,
        )
        clean_locked(folder, lease, kept=kept, now=time.time())
        if shared is not None:
            shared.keep(kept)
        return manifest


@contextmanager
def _gone_is_busy(folder: CollectionFolder, made_at: datetime | None) -> Iterator[None]:
    """Raise `CollectionBusy` in place of an error that stems from the removal of the collection meanwhile."""
    try:
        yield
    except StorageError as error:
        found = created_at_of(folder)
        if made_at is None or found == made_at or (found is None and folder.corpus.exists()):
            raise
        raise CollectionBusy(f"{folder.path.name} has just been {'replaced' if found else 'removed'}") from error


def _one_before(folder: CollectionFolder, identity: EmbedderIdentity) -> str:
    current = current_name(folder)
    for name in names(folder):
        if (current is None or ordinal(name) < ordinal(current)) and _unfit(folder, name, identity) is None:
            return name
    raise InvalidRequest(f"{folder.path.name} has no intact generation before {current or 'the first'} to roll back to")


def _unfit(folder: CollectionFolder, name: str, identity: EmbedderIdentity) -> str | None:
    """Return why this generation cannot serve, or None. Reads all of it: rolling back to a damaged one is useless."""
    if name not in names(folder):
        return f"it does not exist; existing generations: {', '.join(names(folder)) or 'none'}"
    if name in never_current(folder):
        return "its publication was never finished"
    manifest, fault = check_generation(folder, name)
    if manifest is not None and not identity.accepts(manifest.embedder):
        return f"it was built with {manifest.embedder.name}"
    return fault
