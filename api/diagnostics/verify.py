"""Verifies the data on the disk: the catalog and, of every collection, the store, its words and all generations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.unregistered import Stranger, strangers
from winnow.api.diagnostics.collection_files import number_fault, small_files
from winnow.api.formatting import counted
from winnow.retrieval.backup.integrity import faults
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import GenerationCorrupt, StorageError, UnavailableError
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.listing import left_over
from winnow.retrieval.generation.open import open_newest
from winnow.retrieval.generation.open import verify as verify_generations
from winnow.retrieval.index.vector_index import VectorIndex
from winnow.retrieval.store.checksums import find_damage
from winnow.retrieval.store.contract import Store
from winnow.retrieval.tenancy import DEFAULT_TENANT

FAULTS_NAMED_MAX: Final = 5  # faults; with more of them a backup is needed, not a list

CATALOG: Final = "catalog"
STORE: Final = "store"
WORDS: Final = "words"  # the store's full-text index
CATALOG_ADVICE: Final = "Restore the catalog from a backup or, if the named rows are right, run `winnow catalog accept`"
NOT_IN_CATALOG: Final = "the catalog has no such collection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result for one part of one collection, or for a leftover of a killed process, which is no fault."""

    collection: str  # empty for parts shared by all
    part: str  # "catalog", "store", "words", a generation's or a small file's name, "left over" or "unknown"
    found: str
    fault: str | None  # None: no fault


def verified(disk: DataFolder) -> list[Check]:
    """Verify everything; reads all data."""
    checks = [_catalog(disk), *(check for each in disk.collections() for check in _collection(disk, each))]
    return checks + [_stranger(each) for each in strangers(disk)] + list(_unknown(disk))


def _unknown(disk: DataFolder) -> Iterator[Check]:
    """Yield foreign files directly in the data folder."""
    layout = disk.layout
    catalog = {f"{layout.catalog.name}{suffix}" for suffix in ("", "-wal", "-shm")}
    known = catalog | {layout.mark.name, layout.tenants.name, layout.uploads.name}
    for path in sorted(layout.root.iterdir()):
        if path.name not in known:
            yield Check(collection="", part="unknown", found=f"{path.name} does not belong to winnow", fault=None)


def _stranger(each: Stranger) -> Check:
    """Report an unknown folder: a fault if it has documents, none if it is a leftover of a killed process."""
    if not each.is_unknown:
        return Check(collection=each.shown, part="left over", found=NOT_IN_CATALOG, fault=None)
    whose = "" if each.tenant == DEFAULT_TENANT else f" --tenant {each.tenant}"
    adopting = f"`winnow collections adopt {each.path.name}{whose}` adds it to the catalog; otherwise move it away"
    return Check(collection=each.shown, part="unknown", found="", fault=f"{NOT_IN_CATALOG}; {adopting}")


def _catalog(disk: DataFolder) -> Check:
    try:
        wrong = disk.catalog.database.faults()
    except (StorageError, UnavailableError) as error:
        return Check(collection="", part=CATALOG, found="", fault=error.message)
    found = f"{disk.catalog.database.place}, schema {disk.catalog.database.schema().said}"
    fault = f"{_join(wrong)}. {CATALOG_ADVICE}" if wrong else None
    return Check(collection="", part=CATALOG, found=found, fault=fault)


def _collection(disk: DataFolder, collection: Collection) -> Iterator[Check]:
    folder = disk.layout.collection(collection.tenant, collection.name)
    for found in small_files(folder, collection) if disk.bucket is None else ():
        yield Check(collection=collection.shown, part=found.part, found=found.found, fault=found.fault)
    of_corpus = list(_corpus(disk, collection, folder))
    yield from of_corpus
    is_sound = all(check.fault is None for check in of_corpus if check.part == STORE)
    for check in verify_generations(folder, disk.store(collection) if is_sound else None):
        yield Check(
            collection=collection.shown,
            part=f"{check.name}, current" if check.current else check.name,
            found=""
            if check.manifest is None
            else f"{counted(check.manifest.count, 'vector')} of store version {check.manifest.store_version}",
            fault=check.fault,
        )
    if lost := left_over(folder):
        names = ", ".join(str(path.relative_to(folder.path)) for path in lost)
        yield Check(collection=collection.shown, part="left over", found=names, fault=None)


def _corpus(disk: DataFolder, collection: Collection, folder: CollectionFolder) -> Iterator[Check]:
    """Verify the files first: damaged files are reported, not passed to Lance, which may crash on them."""
    try:
        harmed = list(find_damage(folder.corpus)) if disk.bucket is None else []
    except StorageError as error:
        yield Check(collection=collection.shown, part=STORE, found="", fault=error.message)
        return
    if files := [each.said for each in harmed if not each.is_of_words]:
        yield Check(collection=collection.shown, part=STORE, found="", fault=_join(files))
        return
    store = _store(disk, collection, folder)
    yield store
    if store.fault is None:
        words = _join([each.said for each in harmed]) or disk.store(collection).snapshot().words_fault()
        yield Check(collection=collection.shown, part=WORDS, found="", fault=words)


def _store(disk: DataFolder, collection: Collection, folder: CollectionFolder) -> Check:
    """Verify the content of the files, which are as they were written."""
    try:
        opened = disk.store(collection)
        snapshot = opened.snapshot()
        documents, chunks = snapshot.counts()
        wrong = list(islice(faults(snapshot, generation=_index(folder, collection, opened)), FAULTS_NAMED_MAX + 1))
        if number := number_fault(folder, opened):
            wrong.insert(0, number)
    except StorageError as error:
        return Check(collection=collection.shown, part=STORE, found="", fault=error.message)
    return Check(
        collection=collection.shown,
        part=STORE,
        found=f"{counted(documents, 'document')}, {counted(chunks, 'chunk')}, version {snapshot.version}",
        fault=_join(wrong) or None,
    )


def _join(wrong: list[str]) -> str:
    more = ["and more"] if len(wrong) > FAULTS_NAMED_MAX else []
    return "; ".join(wrong[:FAULTS_NAMED_MAX] + more)


def _index(folder: CollectionFolder, collection: Collection, store: Store) -> VectorIndex | None:
    """Return the index to compare the store's vectors with; its own check reports if it cannot be opened."""
    try:
        newest = open_newest(folder, collection.embedder, store)
    except GenerationCorrupt:
        return None
    return newest.index if newest else None
