"""Checks the small files of a collection, and restores those that can be derived.

`made`, the pointer to the current generation, the record of a rollback, the next chunk number, the store's checksums.
Each fault says what to do; `winnow verify --repair` fixes most.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from winnow.api.collections.folder_moves import write_where_it_is
from winnow.retrieval.backup.integrity import faults
from winnow.retrieval.catalog.collection_facts import CollectionFacts, read_facts
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import StorageError, StoreCorrupt
from winnow.retrieval.files.durable import write_file
from winnow.retrieval.files.layout import NEXT_NUMBER, CollectionFolder, creation_stamp
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.generation.open import numbers_in
from winnow.retrieval.generation.pointer import moving, names, pointer_fault, rollback_fault
from winnow.retrieval.store.checksums import SUMS, checksum_fault, checksums_without_file, files_without_checksum, renew
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.numbering import ChunkNumberSequence
from winnow.retrieval.store.places.local_place import LocalPlace
from winnow.retrieval.store.retention import HELD

NUMBERS_PASSED: Final = 1 << 20  # chunk numbers; more than can be used and removed without leaving a trace in any file
_IN_STORE: Final = frozenset({NEXT_NUMBER, SUMS, HELD, "data", "_versions", "_transactions", "_indices", "_deletions"})
REPAIRED: Final = "repair it with `winnow verify --repair`"


class Found(NamedTuple):
    """One small file, by its name in `verify`."""

    part: str
    fault: str | None
    found: str = ""


def small_files(folder: CollectionFolder, collection: Collection) -> Iterator[Found]:
    """Yield faults and notes; nothing for sound files."""
    if fault := _made_fault(folder, collection.created_at):
        yield Found("made", fault)
    if not folder.facts.exists():
        yield Found("collection.json", None, f"missing, as in folders of earlier versions; {REPAIRED}")
    elif fault := _facts_fault(folder, collection):
        yield Found("collection.json", fault)
    if fault := pointer_fault(folder, is_published=bool(names(folder))):
        yield Found("current", f"{fault}; {REPAIRED}")
    if fault := rollback_fault(folder):
        yield Found("rolled-back", f"{fault}; {REPAIRED}")
    if not folder.corpus.is_dir():
        return  # the store's own check reports this
    if fault := checksum_fault(folder.corpus):
        yield Found(SUMS, f"{fault}; {REPAIRED}, if the content of the files is sound")
    for path in sorted(folder.corpus.iterdir()):
        if path.name not in _IN_STORE:
            yield Found("unknown", None, f"{path.relative_to(folder.path)} does not belong to winnow")
    for files, said in (
        (files_without_checksum, "without a checksum"),
        (checksums_without_file, "with a checksum are missing"),
    ):
        if named := files(folder.corpus):
            yield Found(SUMS, None, f"{len(named)} files {said}: {', '.join(named[:3])}")


def number_fault(folder: CollectionFolder, store: LanceStore) -> str | None:
    """Return what is wrong with the next chunk number, which a damaged write may have set back."""
    sequence = ChunkNumberSequence(store.place)
    try:
        following = sequence.next()
    except StoreCorrupt as corrupt:
        return f"{corrupt.detail}; {REPAIRED}"
    highest = _highest_number(folder, store)
    if following > highest:
        return None
    return f"the next chunk number is {following}, but {highest} is already used; {REPAIRED}"


def repair_files(folder: CollectionFolder, collection: Collection, lease: WriterLease) -> Iterator[str]:
    """Restore what can be derived, one sentence each. The caller holds the lease. Raises `StorageError`."""
    if not folder.made.exists() or _is_unreadable(folder):
        write_where_it_is(folder, folder.made, creation_stamp(collection.created_at), lease)
        yield "wrote made from the catalog"
    if not folder.facts.exists() or _facts_in(folder) is None:
        write_where_it_is(folder, folder.facts, CollectionFacts.of(collection).written(), lease)
        yield "wrote collection.json from the catalog"
    if rollback_fault(folder):
        with moving(folder, lease) as move:
            move.mend_rollback()
        yield "wrote rolled-back from the pointer"
    if folder.corpus.is_dir() and checksum_fault(folder.corpus):
        yield _renew_checksums(folder, collection)
    store = LanceStore.open(folder.corpus, dimension=collection.embedder.dimension)
    if number_fault(folder, store):
        following = _highest_number(folder, store) + 1 + NUMBERS_PASSED
        ChunkNumberSequence(LocalPlace(folder.corpus)).start(following)
        yield f"set the next chunk number to {following}, above all used ones"


def _made_fault(folder: CollectionFolder, at: datetime) -> str | None:
    if not folder.made.exists():
        return f"missing; {REPAIRED}"
    if _is_unreadable(folder):
        return f"differs from what was written; {REPAIRED}"
    if folder.made.read_bytes() == f"{at.isoformat()}\n".encode("ascii"):
        return None
    said = folder.made.read_text("ascii").strip()
    return (
        f"it has the creation time {said}, but the catalog has {at.isoformat()}: a bit flipped, or the "
        f"folder belongs to another catalog. If the documents are the right ones, delete the file {folder.made} and "
        "run `winnow verify --repair`"
    )


def _facts_fault(folder: CollectionFolder, collection: Collection) -> str | None:
    """Compare the facts with the catalog. Readable facts may be right and the catalog wrong, so a person decides."""
    if folder.facts.read_bytes() == CollectionFacts.of(collection).written():
        return None
    if _facts_in(folder) is None:
        return f"differs from what was written; {REPAIRED}"
    return (
        "it differs from the catalog. If the catalog is right, delete the file "
        f"{folder.facts} and run `winnow verify --repair`"
    )


def _facts_in(folder: CollectionFolder) -> CollectionFacts | None:
    try:
        return read_facts(folder)
    except StoreCorrupt:
        return None


def _is_unreadable(folder: CollectionFolder) -> bool:
    try:
        datetime.fromisoformat(folder.made.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError, ValueError):
        return True
    return False


def _highest_number(folder: CollectionFolder, store: LanceStore) -> int:
    """Return the highest chunk number in the store or a generation; -1 if there is none."""
    held = [store.snapshot().chunk_numbers(), *(numbers_in(folder, name) for name in names(folder))]
    return max((int(np.max(each)) for each in held if len(each)), default=-1)


def _renew_checksums(folder: CollectionFolder, collection: Collection) -> str:
    """Write checksums of files whose content was read and compared; a damaged store keeps its checksums."""
    path = folder.corpus / SUMS
    before = path.read_bytes() if path.is_file() else None
    renew(folder.corpus)
    try:
        store = LanceStore.open(folder.corpus, dimension=collection.embedder.dimension)
        snapshot = store.snapshot()
        wrong = next(faults(snapshot), None) or snapshot.words_fault()
    except StorageError as error:
        wrong = error.message
    if wrong is None:
        return f"wrote {SUMS}: the content of the files is sound"
    if before is None:
        path.unlink()
    else:
        write_file(path, before)
    raise StoreCorrupt(f"{folder.corpus}: {SUMS} is damaged, and so is the store: {wrong}")
