"""Measures what a data folder takes on the disk, by what is in it."""

from __future__ import annotations

from dataclasses import dataclass

from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import StorageError
from winnow.retrieval.files.sizes import bytes_below, size_of
from winnow.retrieval.index.planner import megabytes
from winnow.retrieval.store.disk_use import measure_store


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionUse:
    """Bytes of a collection's files."""

    documents: int
    vectors: int
    words: int
    indexes: int
    replaced: int
    other: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderUse:
    """Bytes of a data folder's files."""

    documents: int  # like all up to `replaced`, of all collections that can be read
    vectors: int
    words: int
    indexes: int
    replaced: int
    catalog: int  # 0 if it is PostgreSQL
    uploads: int
    other: int  # also collections that cannot be read, or that the catalog does not have

    @property
    def shown(self) -> str:
        parts = {
            "texts": self.documents,
            "vectors": self.vectors,
            "full text": self.words,
            "indexes": self.indexes,
            "replaced versions": self.replaced,
            "catalog": self.catalog,
            "uploads": self.uploads,
            "other": self.other,
        }
        return ", ".join(f"{name} {megabytes(size)}" for name, size in parts.items() if size)


def measure_collection(disk: DataFolder, collection: Collection) -> CollectionUse | None:
    """Measure a collection; None if it cannot be read. Blocks: it looks at every file, and reads none."""
    folder = disk.layout.collection(collection.tenant, collection.name)
    try:
        opened = disk.store(collection)
        store = measure_store(opened.snapshot(), opened.place)
    except StorageError:
        return None
    indexes = bytes_below(folder.generations)
    stored = store.documents + store.vectors + store.words + store.replaced
    return CollectionUse(
        documents=store.documents,
        vectors=store.vectors,
        words=store.words,
        indexes=indexes,
        replaced=store.replaced,
        other=max(0, bytes_below(folder.path) - stored - indexes),
    )


def measure_folder(disk: DataFolder) -> FolderUse:
    """Measure the whole folder, with the collections of all tenants. Blocks."""
    measured = [each for each in (measure_collection(disk, one) for one in disk.collections()) if each is not None]
    layout = disk.layout
    parts = {
        "documents": sum(each.documents for each in measured),
        "vectors": sum(each.vectors for each in measured),
        "words": sum(each.words for each in measured),
        "indexes": sum(each.indexes for each in measured),
        "replaced": sum(each.replaced for each in measured),
        "catalog": sum(map(size_of, layout.root.glob(f"{layout.catalog.name}*"))),  # with its log
        "uploads": bytes_below(layout.uploads),
    }
    return FolderUse(**parts, other=max(0, bytes_below(layout.root) - sum(parts.values())))
