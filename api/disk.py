"""What lies in the data folder? Everything that can be told, and removed, without loading a model."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retrieval.catalog import Catalog, Collection
from retrieval.durable import write_errors
from retrieval.errors import CollectionExists, SettingInvalid, WriteFailed
from retrieval.lance_store import LanceStore
from retrieval.layout import Layout
from retrieval.sql_catalog import SqlCatalog
from retrieval.writer_lock import pointing, writing

BUSY_SECONDS_MAX: Final = 5.0  # how long a short write waits for another process; an index run takes longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A collection and how much is in it."""

    collection: Collection
    documents: int
    chunks: int
    store_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A data folder. Every method blocks."""

    layout: Layout
    catalog: Catalog

    @classmethod
    def open(cls, root: Path) -> Disk:
        """Makes the folder where it is missing. Raises `WriteFailed`, `StoreCorrupt`."""
        layout = Layout(root)
        return cls(layout=layout, catalog=SqlCatalog.open(layout.catalog))

    @classmethod
    def existing(cls, root: Path) -> Disk:
        """For commands that only look: a misspelt folder is an error, not an empty one. Raises `SettingInvalid`."""
        if not Layout(root).catalog.is_file():
            raise SettingInvalid(f"--data {root}: winnow has put nothing there yet")
        return cls.open(root)

    def store(self, collection: Collection) -> LanceStore:
        """Raises `StoreCorrupt`."""
        folder = self.layout.collection(collection.tenant, collection.name)
        return LanceStore.open(folder.corpus, dimension=collection.embedder.dimension)

    def describe(self, collection: Collection) -> Described:
        snapshot = self.store(collection).snapshot()
        documents, chunks = snapshot.counts()
        return Described(collection=collection, documents=documents, chunks=chunks, store_version=snapshot.version)

    def described(self, tenant: str) -> Sequence[Described]:
        """By name."""
        return [self.describe(collection) for collection in self.catalog.collections(tenant)]

    def make(self, collection: Collection) -> None:
        """The catalog's row, the promise, comes last. Raises `CollectionExists`, `CollectionBusy`, `WriteFailed`."""
        folder = self.layout.collection(collection.tenant, collection.name)
        with writing(folder, wait_seconds=BUSY_SECONDS_MAX):
            if any(each.name == collection.name for each in self.catalog.collections(collection.tenant)):
                raise CollectionExists(collection.name)
            remove_folders(folder.corpus, folder.generations)  # what a deletion that was killed has left
            for pointer in (folder.current, folder.rolled_back):
                pointer.unlink(missing_ok=True)
            LanceStore.create(folder.corpus, dimension=collection.embedder.dimension)
            self.catalog.add_collection(collection)

    def remove(self, tenant: str, name: str) -> None:
        """The catalog's row goes first: from then on nobody finds it. A fold that is under way finds its folder gone.

        Raises `CollectionNotFound`, `CollectionBusy`, `WriteFailed`.
        """
        self.catalog.collection(tenant, name)
        folder = self.layout.collection(tenant, name)
        with writing(folder, wait_seconds=BUSY_SECONDS_MAX):
            self.catalog.remove_collection(tenant, name)
            doomed = folder.removed
            remove_folders(doomed)  # what a removal that was killed has left
            with pointing(folder), write_errors(folder.path):
                folder.path.rename(doomed)
            remove_folders(doomed)


def remove_folders(*folders: Path) -> None:
    """Where they are there. Raises `WriteFailed`."""
    for folder in folders:
        if not folder.exists():
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise WriteFailed(f"{folder} cannot be removed: {error.strerror}") from error
