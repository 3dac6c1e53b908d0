"""Publishes an exact generation in the format before: with a second copy of the vectors."""

from __future__ import annotations

from dataclasses import replace

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.files.durable import DISK
from winnow.retrieval.files.layout import SUMS_FILE, VECTORS_FILE, CollectionFolder
from winnow.retrieval.generation.manifest import FORMAT, Manifest, write_hashed, write_manifest
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index.faiss_flat import FaissFlatIndex
from winnow.retrieval.store.contract import StoreSnapshot


def publish_with_vectors(folder: CollectionFolder, snapshot: StoreSnapshot, identity: EmbedderIdentity) -> Manifest:
    """Publish, then write the vectors in place of their checksums."""
    published = publish(folder, snapshot, identity)
    path = folder.generations / published.name
    index = FaissFlatIndex.build(snapshot.vectors(), dimension=identity.dimension)
    (path / SUMS_FILE).unlink()
    files = {name: facts for name, facts in published.files.items() if name != SUMS_FILE}
    before = replace(
        published,
        format=FORMAT,
        files={VECTORS_FILE: write_hashed(path / VECTORS_FILE, index.write), **files},
    )
    write_manifest(path, before, syncer=DISK)
    return before
