"""Publishes generations of a collection's index.

    generations/g000007/
      numbers.i64       the chunk numbers, ascending, eight little-endian bytes each
      vectors.sums      of an exact index: a checksum of each vector; the vectors are read from the store
      vectors.faiss     of any other: what FAISS writes
      manifest.json     what it was built from and with, and size and SHA-256 of the two files above
      manifest.sha256   of the manifest
    current             the name of the generation to open

Rule 1: a generation never changes once its folder has its name. Rule 2: the pointer moves last, to files that were read
back and found correct. Rule 3: a generation that fails its checks is skipped, visibly, for the one before; if none is
left, the collection is served from the store, because a generation is only a cache of it. Retention and rollback are in
retrieval/generation/history.py.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

import numpy as np

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, GenerationCorrupt
from winnow.retrieval.files.durable import DISK, FileFacts, Syncer, make_folder, write_errors
from winnow.retrieval.files.layout import NUMBERS_FILE, SUMS_FILE, VECTORS_FILE, CollectionFolder, require_created_at
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.generation.manifest import (
    FORMAT,
    FORMAT_IN_STORE,
    METRIC,
    NUMBER_BYTES,
    Manifest,
    read_manifest,
    write_hashed,
    write_manifest,
)
from winnow.retrieval.generation.open import check_files
from winnow.retrieval.generation.pointer import current_name, moving, names, ordinal
from winnow.retrieval.generation.shared import SharedGenerations, require_newest_here
from winnow.retrieval.generation.stored_vectors import require_unchanged
from winnow.retrieval.index.build import IndexFacts, build_index, plan_index
from winnow.retrieval.index.faiss_flat import FAISS_VERSION, FaissFlatIndex, probe
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish, Plan
from winnow.retrieval.index.vector_sums import sums_of
from winnow.retrieval.store.contract import StoreSnapshot
from winnow.retrieval.store.fence import newest_version

_RATE_SECONDS_MIN: Final = 3_600.0


def publish(
    folder: CollectionFolder,
    snapshot: StoreSnapshot,
    identity: EmbedderIdentity,
    *,
    wish: IndexWish = ANY_INDEX,
    made_at: datetime | None = None,
    lease: WriterLease = ONE_HOST,
    shared: SharedGenerations | None = None,
    is_shared_damaged: bool = False,
    syncer: Syncer = DISK,
) -> Manifest:
    """Build an index of the snapshot and make it the current generation. Only one caller may build at a time.

    Writers continue meanwhile: newer chunks are found in addition to the generation, and removed ones are skipped.
    With `shared` it is published there first, for other hosts; `is_shared_damaged` means that the newest one there
    cannot be fetched. Killed at any moment, it leaves the previous generation current, and at worst a folder that the
    next call removes. Raises `CollectionBusy` if the pointer was moved meanwhile, which was intended, if the current
    generation is of a newer version, if another host has published first, or if the folder holds another collection
    than the one created at `made_at`; `MemoryTooSmall`, before anything is built; and `StoreCorrupt` if a vector
    differs from the one that an earlier generation was built from.
    """
    plan = plan_index(snapshot, identity.dimension, wish, writes_per_second=writes_per_second(folder, snapshot))
    make_folder(folder.generations, syncer=syncer)
    _remove_unfinished(folder)
    before = current_name(folder)
    if before is not None:
        _require_newer(folder, before, snapshot)
    elif not names(folder):
        with moving(folder, lease, syncer=syncer) as move:
            move.begin()
    newest = max(map(ordinal, names(folder)), default=0)
    if shared is not None:
        newest = max(newest, require_newest_here(folder, shared, is_damaged=is_shared_damaged))
    name = f"g{newest + 1:06d}"
    beside = folder.generations / f"{name}{f'.{token_hex(4)}' if lease.expires else ''}.tmp"
    make_folder(beside, syncer=syncer)
    count, files, facts = _write_index(folder, beside, snapshot, plan, wish)
    manifest = Manifest(
        name=name,
        format=FORMAT_IN_STORE if SUMS_FILE in files else FORMAT,
        store_version=snapshot.version,
        embedder=identity,
        metric=METRIC,
        count=count,
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        built_with=f"faiss {FAISS_VERSION}",
        files=files,
        index=facts,
    )
    write_manifest(beside, manifest, syncer=syncer)
    _read_back(beside, manifest)
    for file in files:
        syncer.sync(beside / file)
    syncer.sync(beside)
    with write_errors(folder.generations):
        beside.rename(folder.generations / name)
    syncer.sync(folder.generations)
    if shared is not None:  # first: if this host ends now, it fetches what it built
        lease.still_folding()
        shared.publish(folder.generations / name, manifest)
    with moving(folder, lease, syncer=syncer) as move:
        lease.still_folding()
        require_created_at(folder, made_at)
        if current_name(folder) != before or not (folder.generations / name).is_dir():
            raise CollectionBusy(f"{folder.path.name} was rolled back or removed while {name} was built")
        move.point(name)
    return manifest


def writes_per_second(folder: CollectionFolder, snapshot: StoreSnapshot) -> float:
    """Return the rate of new chunks since the current generation was built; 0 without one.

    Averaged over at least an hour: a corpus loaded at once is written fast only once.
    """
    name = current_name(folder)
    if name is None:
        return 0.0
    numbers = folder.generations / name / NUMBERS_FILE
    try:
        manifest = read_manifest(folder.generations / name)
        newest = np.fromfile(numbers, dtype="<i8", offset=max(0, numbers.stat().st_size - NUMBER_BYTES))
    except (GenerationCorrupt, OSError):
        return 0.0
    if not len(newest):
        return 0.0
    seconds = (datetime.now(UTC) - datetime.fromisoformat(manifest.built_at)).total_seconds()
    return snapshot.count(after=int(newest[0])) / max(_RATE_SECONDS_MIN, seconds)


def _require_newer(folder: CollectionFolder, current: str, snapshot: StoreSnapshot) -> None:
    """Raise `CollectionBusy` if the current generation is of a later version of this store: this build came too late.

    A version that the store no longer has does not count: its folder was put back by someone.
    """
    try:
        built_from = read_manifest(folder.generations / current).store_version
    except GenerationCorrupt:
        return
    if snapshot.version < built_from <= newest_version(folder.corpus):
        raise CollectionBusy(f"{folder.path.name} has a newer index already: {current}")


def _read_back(path: Path, manifest: Manifest) -> None:
    """Compare what is on the disk: a short write that was not reported is found now, not at the next start."""
    if check_files(path) != manifest:
        raise GenerationCorrupt(f"{path.name} reads back differently than it was written")


def _write_index(
    folder: CollectionFolder, path: Path, snapshot: StoreSnapshot, plan: Plan, wish: IndexWish
) -> tuple[int, dict[str, FileFacts], IndexFacts]:
    """Return the number of vectors, their files, and the index facts. The index's memory is free on return."""
    index, facts = build_index(snapshot, plan, wish)
    numbers = index.numbers.astype("<i8").tobytes()
    files = {NUMBERS_FILE: write_hashed(path / NUMBERS_FILE, lambda sink: sink(numbers))}
    if isinstance(index, FaissFlatIndex):
        probe(index)
        sums = sums_of(index.all_vectors())
        require_unchanged(folder, index.numbers, sums)
        files[SUMS_FILE] = write_hashed(path / SUMS_FILE, lambda sink: sink(sums.astype("<u8").tobytes()))
    else:
        files[VECTORS_FILE] = write_hashed(path / VECTORS_FILE, index.write)
    return len(index.numbers), files, facts


def _remove_unfinished(folder: CollectionFolder) -> None:
    """Remove folders that a killed `publish` left."""
    with write_errors(folder.generations):
        for path in folder.generations.glob("g*.tmp"):
            shutil.rmtree(path)
