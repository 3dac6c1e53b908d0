"""Takes snapshots of collections and restores them.

Taking: one version is held while it is copied, its files first, then the manifest. A location without a manifest holds
no snapshot. Restoring: files go into a separate folder, every checksum is compared, and everything is synced, opened,
counted and indexed; only then may the caller publish it. Both can be interrupted and started again.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from winnow.retrieval.backup.integrity import faults
from winnow.retrieval.backup.manifest import CORPUS, FORMAT, MANIFEST, InstructionText, SnapshotManifest, read, written
from winnow.retrieval.backup.place import UNFINISHED, Place
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import SnapshotCorrupt, SnapshotExists, SnapshotNotFound, StoreCorrupt
from winnow.retrieval.files.durable import (
    DISK,
    FileFacts,
    SyncedTree,
    Syncer,
    facts_of,
    make_folder,
    remove,
    write_errors,
)
from winnow.retrieval.files.layout import NEXT_NUMBER, CollectionFolder
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.store.checksums import renew
from winnow.retrieval.store.lance_snapshot import LanceSnapshot
from winnow.retrieval.store.lance_store import LanceStore

NAMED_MAX: Final = 3  # files or faults named in one message


class Watcher(Protocol):
    """Receives the progress."""

    def started(self, doing: str, size: int | None) -> None:
        """A step starts; `size` is in bytes, or None if unknown."""
        ...

    def advanced(self, size: int) -> None:
        """This many more bytes are done."""
        ...


def take_snapshot(
    collection: Collection,
    folder: CollectionFolder,
    store: LanceStore,
    place: Place,
    *,
    instruction: InstructionText | None,
    watcher: Watcher,
) -> SnapshotManifest:
    """Take a snapshot of the newest version, while writers continue.

    Raises `SnapshotExists`, `StoreCorrupt` if the stored data is damaged, and what `place` raises.
    """
    _make_free(place)
    with store.holding(), tempfile.TemporaryDirectory() as scratch:
        version = store.snapshot()
        watcher.started("checking the stored data", None)
        _require_sound(version)
        files = _put_all(version, folder, place, Path(scratch), watcher)
        documents, chunks = version.counts()
        manifest = SnapshotManifest(
            format=FORMAT,
            taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
            collection=collection.name,
            embedder=collection.embedder,
            chunk_tokens=collection.chunk_tokens,
            instruction=instruction,
            reranker=collection.reranker,
            demote_query_echo=collection.demote_query_echo,
            require_instruction=collection.require_instruction,
            rerank_fields=collection.rerank_fields,
            embed_fields=collection.embed_fields,
            diversity=collection.diversity,
            store_version=version.version,
            documents=documents,
            chunks=chunks,
            files=files,
        )
        if not files.keys() <= set(place.names()):
            raise SnapshotExists(
                f"{place.name}: another process is taking a snapshot there and has removed files of this one"
            )
        last = Path(scratch) / MANIFEST
        last.write_bytes(written(manifest))
        place.put(MANIFEST, last, watcher.advanced)
    return manifest


def find_manifest(place: Place) -> SnapshotManifest:
    """Return the manifest. Raises `SnapshotNotFound`, `SnapshotCorrupt`, and what `place` raises."""
    names = place.names()
    if MANIFEST not in names:
        begun = "a snapshot was begun but not finished; take it again" if names else "there is nothing"
        raise SnapshotNotFound(f"{place.name}: {begun}")
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / MANIFEST
        place.get(MANIFEST, target, lambda _: None)
        return read(target.read_bytes(), origin=place.name)


def restore_files(
    manifest: SnapshotManifest,
    place: Place,
    folder: CollectionFolder,
    *,
    watcher: Watcher,
    wish: IndexWish = ANY_INDEX,
    syncer: Syncer = DISK,
) -> str:
    """Restore the snapshot into `folder`, which is not in use yet; return the name of its generation.

    Correct files of an interrupted call are kept. Raises `SnapshotCorrupt`, `MemoryTooSmall`, and what `place` raises.
    """
    _keep_only(folder, manifest)
    watcher.started("reading the snapshot", manifest.bytes)
    for name, facts in manifest.files.items():
        _bring_file(place, name, facts, folder.path / name, watcher=watcher, syncer=syncer)
    renew(folder.corpus, syncer=syncer)  # every file was compared with the manifest
    SyncedTree(folder.corpus, syncer=syncer).sync()
    watcher.started("building the index", None)
    store = LanceStore.open(folder.corpus, dimension=manifest.embedder.dimension, syncer=syncer)
    snapshot = store.snapshot()
    found = (snapshot.version, *snapshot.counts())
    if found != (manifest.store_version, manifest.documents, manifest.chunks):
        raise SnapshotCorrupt(
            f"{place.name}: version, documents and chunks are {found}, which differs from the manifest"
        )
    return publish(folder, snapshot, manifest.embedder, wish=wish, syncer=syncer).name


def _make_free(place: Place) -> None:
    """Remove what an unfinished snapshot left; anything else belongs to someone, and raises `SnapshotExists`."""
    names = place.names()
    if MANIFEST in names:
        raise SnapshotExists(f"{place.name} already holds a snapshot, which is never changed; use another location")
    foreign = [name for name in names if not name.startswith(CORPUS) and name != MANIFEST + UNFINISHED]
    if foreign:
        raise SnapshotExists(f"{place.name} holds {', '.join(foreign[:NAMED_MAX])}; use an empty location")
    for name in names:
        place.remove(name)


def _require_sound(version: LanceSnapshot) -> None:
    """Refuse to take a snapshot of damaged data: it might replace an older, intact one."""
    wrong = list(islice(faults(version), NAMED_MAX))
    if wrong:
        raise StoreCorrupt(f"{'; '.join(wrong)}. No snapshot was taken; an earlier one may be intact")


def _put_all(
    version: LanceSnapshot, folder: CollectionFolder, place: Place, scratch: Path, watcher: Watcher
) -> dict[str, FileFacts]:
    sources = {CORPUS + file: folder.corpus / file for file in version.files()}
    numbers = scratch / NEXT_NUMBER  # a copy: the writer replaces the file, with numbers above all of this version
    numbers.write_bytes((folder.corpus / NEXT_NUMBER).read_bytes())
    sources[CORPUS + NEXT_NUMBER] = numbers
    watcher.started("writing the snapshot", sum(source.stat().st_size for source in sources.values()))
    return {name: place.put(name, source, watcher.advanced) for name, source in sources.items()}


def _keep_only(folder: CollectionFolder, manifest: SnapshotManifest) -> None:
    """Keep only files of this manifest: what is there already may be of another snapshot."""
    with write_errors(folder.path):
        for path in (folder.generations, folder.current):
            remove(path)
        for path in folder.corpus.rglob("*"):
            if path.is_file() and path.relative_to(folder.path).as_posix() not in manifest.files:
                path.unlink()


def _bring_file(place: Place, name: str, facts: FileFacts, target: Path, *, watcher: Watcher, syncer: Syncer) -> None:
    make_folder(target.parent, syncer=syncer)
    if target.is_file() and facts_of(target) == facts:
        watcher.advanced(facts.bytes)
        return
    found = place.get(name, target, watcher.advanced)
    if found != facts:
        raise SnapshotCorrupt(
            f"{place.name}: {name} differs from what was written ({found.bytes:,} bytes, expected {facts.bytes:,})"
        )
