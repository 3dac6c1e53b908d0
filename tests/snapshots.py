"""Collections to take snapshots of, and what makes two of them the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.builders import DIMENSION, unit_vectors, written
from winnow.api.collections.backups import snapshot
from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.contract import Store
from winnow.retrieval.tenancy import DEFAULT_TENANT

IDENTITY = EmbedderIdentity(name="hash-embedder", revision="1", dimension=DIMENSION)


@dataclass(slots=True)
class Watched:
    """Remembers what it was told. Implements `Watcher`."""

    doings: list[str] = field(default_factory=list)
    bytes: int = 0

    def started(self, doing: str, size: int | None) -> None:
        self.doings.append(doing)

    def advanced(self, size: int) -> None:
        self.bytes += size


def made(data: Path, name: str = "docs", *, documents: int = 6, word: str = "text") -> DataFolder:
    """A collection with a history: written, replaced, deleted, published, and written to once more."""
    disk = DataFolder.open(data)
    disk.make(
        Collection(tenant=DEFAULT_TENANT, name=name, embedder=IDENTITY, chunk_tokens=77, created_at=datetime.now(UTC))
    )
    store = store_of(disk, name)
    store.replace([written(f"d{number}", f"{word} {number} 退货 " * 4, pieces=3) for number in range(documents)])
    store.replace([written("d1", f"{word}, written again", pieces=2)])
    publish(folder_of(disk, name), store.snapshot(), IDENTITY)
    store.delete(["d2"])
    store.replace([written("late", f"{word} that no index has", pieces=1)])
    return disk


def taken_in(outside: Path, *, documents: int) -> FolderPlace:
    """A snapshot of such a collection, in a folder outside of any data folder."""
    taken = FolderPlace(outside / "place")
    snapshot(made(outside / "source", documents=documents), DEFAULT_TENANT, "docs", taken, watcher=Watched())
    return taken


def folder_of(disk: DataFolder, name: str) -> CollectionFolder:
    return disk.layout.collection(DEFAULT_TENANT, name)


def store_of(disk: DataFolder, name: str) -> Store:
    return disk.store(disk.catalog.collections.get(DEFAULT_TENANT, name))


def contents(disk: DataFolder, name: str) -> dict[str, Any]:
    """Everything that can be read of a collection and searched in it, by value."""
    snapshot = store_of(disk, name).snapshot()
    searchable = IndexReader(folder=folder_of(disk, name), store=store_of(disk, name), identity=IDENTITY)
    view = searchable.refresh()
    hits = [view.search(query, 5) for query in unit_vectors(4, seed=9)]
    facts = disk.catalog.collections.get(DEFAULT_TENANT, name)
    return {
        "version": snapshot.version,
        "chunks": snapshot.chunks(snapshot.chunk_numbers().tolist()),
        "hashes": snapshot.content_hashes(),
        "vectors": b"".join(batch.vectors.tobytes() for batch in snapshot.vectors()),
        # An index of FAISS and the fresh rows beside it add up in another order: the last bit of a float32 may differ.
        "hits": [(each.numbers.tolist(), each.similarities.round(6).tolist()) for each in hits],
        "facts": (facts.embedder, facts.chunk_tokens, facts.instruction, facts.reranker),
    }


def names(disk: DataFolder) -> list[str]:
    return [each.name for each in disk.catalog.collections.of_tenant(DEFAULT_TENANT)]
