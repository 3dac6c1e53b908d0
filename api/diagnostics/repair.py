"""Repairs a data folder, for `winnow verify --repair`.

An index, of vectors or of words, is a cache of the store and is rebuilt from it. Small files that can be derived are
rewritten, and leftovers of killed processes are removed. A damaged store is not repaired: there is nothing to rebuild
it from. Nor is a folder with documents that the catalog does not know: the catalog may be wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.folder_moves import take_away
from winnow.api.collections.unregistered import Stranger, is_removed, strangers
from winnow.api.diagnostics.collection_files import repair_files
from winnow.api.formatting import counted
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.leases.writer_lease import BUSY_SECONDS_MAX
from winnow.retrieval.errors import CollectionBusy, StorageError, StoreCorrupt, WriterSuperseded
from winnow.retrieval.files.durable import remove
from winnow.retrieval.files.layout import CollectionFolder, created_at_of
from winnow.retrieval.generation.cleanup import clean_damaged, remove_left_over
from winnow.retrieval.generation.history import fold
from winnow.retrieval.generation.listing import listed
from winnow.retrieval.generation.pointer import pointer_fault
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.store.checksums import find_damage
from winnow.retrieval.store.lance_store import LanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One thing that was done, or could not be done."""

    collection: str
    did: str


def repaired(disk: DataFolder, *, kept: int, wish: IndexWish = ANY_INDEX) -> list[Repair]:
    """Repair all collections; waits for writers. Raises `CollectionBusy`, `MemoryTooSmall`, `WriteFailed`."""
    disk.require_local(
        "`winnow verify --repair` repairs data folders only. In a bucket, restore damaged objects with the object "
        "store's versions or replicas; for a damaged index, stop this host's services and remove its folder in "
        "WINNOW_CACHE_DIR"
    )
    done: list[Repair] = []
    for collection in disk.collections():
        try:
            done += _collection(disk, collection, kept, wish)
        except StorageError as error:  # the others are still repaired
            done.append(Repair(collection=collection.shown, did=f"repaired nothing more: {error.message}"))
    return done + [Repair(collection=each.shown, did=f"removed {each.path.name}") for each in _remove_strangers(disk)]


def _collection(disk: DataFolder, collection: Collection, kept: int, wish: IndexWish) -> Iterator[Repair]:
    folder = disk.layout.collection(collection.tenant, collection.name)
    if created_at_of(folder) not in {None, collection.created_at}:
        yield Repair(collection=collection.shown, did=f"repaired nothing: {folder.made} belongs to another collection")
        return
    lease = disk.lease(collection.tenant, collection.name)
    with lease.writing(folder, wait_seconds=BUSY_SECONDS_MAX):
        disk.require_meant(collection, folder)  # leftovers of another collection must stay
        collection = disk.catalog.collections.get(collection.tenant, collection.name)  # its fields may have changed
        gone = remove_left_over(folder, wait_seconds=BUSY_SECONDS_MAX, lease=lease)
        if gone.removed:
            yield Repair(collection=collection.shown, did=f"removed {', '.join(gone.removed)}")
        try:
            for did in repair_files(folder, collection, lease):
                yield Repair(collection=collection.shown, did=did)
            harmed_words = _damaged_words(folder)
            store = disk.store(collection)
            if harmed_words or store.snapshot().words_fault() is not None:
                store.renew_words(harmed_words)
                yield Repair(collection=collection.shown, did="built the full-text index from the store")
            if freed := store.clean_up():
                yield Repair(collection=collection.shown, did=f"removed {counted(freed, 'byte')} of old versions")
            if _needs_index(folder, store):
                snapshot = store.snapshot()
                built = fold(
                    folder,
                    snapshot,
                    collection.embedder,
                    wish=wish,
                    kept=kept,
                    made_at=collection.created_at,
                    lease=lease,
                    wait_seconds=BUSY_SECONDS_MAX,
                )
                yield Repair(collection=collection.shown, did=f"built {built.name} from the store")
        except StorageError as error:
            yield Repair(collection=collection.shown, did=f"built nothing: {error.message}")
            return
        unfit = clean_damaged(folder, wait_seconds=BUSY_SECONDS_MAX, lease=lease)
        if unfit.removed:
            yield Repair(collection=collection.shown, did=f"removed {', '.join(unfit.removed)}, which was damaged")


def _damaged_words(folder: CollectionFolder) -> list[str]:
    """Return damaged files that can be rebuilt. Raises `StoreCorrupt` if anything else is damaged.

    An index of other vectors would hide that damage, and an older version may be intact.
    """
    words = []
    for damage in find_damage(folder.corpus):
        if not damage.is_of_words:
            raise StoreCorrupt(f"{folder.corpus}: {damage.said}")
        words.append(damage.file)
    return words


def _needs_index(folder: CollectionFolder, store: LanceStore) -> bool:
    """Whether something was published, but the current generation cannot serve."""
    generations = listed(folder, thorough=True, store=store)
    current = [each for each in generations if each.is_current]
    return (bool(generations) and not current) or any(each.fault for each in current) or _is_torn(folder)


def _is_torn(folder: CollectionFolder) -> bool:
    return pointer_fault(folder, is_published=bool(listed(folder))) is not None


def _remove_strangers(disk: DataFolder) -> Iterator[Stranger]:
    """Remove leftovers under their leases: collections being created or restored just now are not leftovers."""
    for each in strangers(disk):
        if each.is_unknown or each.path.is_symlink() or not each.path.is_dir():
            continue
        if is_removed(each.path):
            remove(each.path)
            yield each
            continue
        folder, lease = CollectionFolder(each.path), disk.catalog.leases.of(each.tenant, each.path.name)
        with contextlib.suppress(CollectionBusy, WriterSuperseded), lease.writing(folder):
            if each in strangers(disk):
                remove(take_away(folder, lease))
                yield each
