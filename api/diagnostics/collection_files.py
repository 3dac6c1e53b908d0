"""Are the small files of a collection what was written, and what of them can be derived?

`made`, the pointer to the current generation, the record of a rollback, the next chunk number, the sums of the store.
Each fault says what to do; most are mended by `winnow verify --repair`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from winnow.retrieval.backup.integrity import faults
from winnow.retrieval.catalog.collection_facts import CollectionFacts, read_facts, write_facts
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import StorageError, StoreCorrupt
from winnow.retrieval.files.durable import write_file
from winnow.retrieval.files.layout import CollectionFolder, stamp_created
from winnow.retrieval.files.locks import pointing
from winnow.retrieval.generation.open import numbers_in
from winnow.retrieval.generation.pointer import mend_rollback, names, pointer_fault, rollback_fault
from winnow.retrieval.store.checksums import SUMS, renew, sums_fault, without_file, without_sum
from winnow.retrieval.store.lance_store import NEXT_NUMBER, LanceStore
from winnow.retrieval.store.numbering import ChunkNumberSequence
from winnow.retrieval.store.retention import HELD

NUMBERS_PASSED: Final = 1 << 20  # chunk numbers; more than are used and removed again without any file that tells of it
_IN_STORE: Final = frozenset({NEXT_NUMBER, SUMS, HELD, "data", "_versions", "_transactions", "_indices", "_deletions"})
REPAIRED: Final = "`winnow verify --repair` mends it"


class Found(NamedTuple):
    """One small file, by the name that `verify` gives to it."""

    part: str
    fault: str | None
    found: str = ""


def small_files(folder: CollectionFolder, collection: Collection) -> Iterator[Found]:
    """Faults, and what is worth telling; nothing for what is sound."""
    if fault := _made_fault(folder, collection.created_at):
        yield Found("made", fault)
    if not folder.facts.exists():
        yield Found("collection.json", None, f"it is missing, as in folders of earlier versions; {REPAIRED}")
    elif fault := _facts_fault(folder, collection):
        yield Found("collection.json", fault)
    if fault := pointer_fault(folder, is_published=bool(names(folder))):
        yield Found("current", f"{fault}; {REPAIRED}")
    if fault := rollback_fault(folder):
        yield Found("rolled-back", f"{fault}; {REPAIRED}")
    if not folder.corpus.is_dir():
        return  # the store's own check says so
    if fault := sums_fault(folder.corpus):
        yield Found(SUMS, f"{fault}; {REPAIRED}, where what is in the files proves right")
    for path in sorted(folder.corpus.iterdir()):
        if path.name not in _IN_STORE:
            yield Found("unknown", None, f"{path.relative_to(folder.path)} is none of winnow's")
    for files, said in ((without_sum, "without a checksum"), (without_file, "with a checksum are missing")):
        if named := files(folder.corpus):
            yield Found(SUMS, None, f"{len(named)} files {said}: {', '.join(named[:3])}")


def number_fault(folder: CollectionFolder, store: LanceStore) -> str | None:
    """What is wrong with the next chunk number, which a damaged write may have taken back."""
    sequence = ChunkNumberSequence(folder.corpus / NEXT_NUMBER)
    try:
        following = sequence.next()
    except StoreCorrupt as corrupt:
        return f"{corrupt.detail}; {REPAIRED}"
    highest = _highest_number(folder, store)
    if following > highest:
        return None
    return f"the next chunk number is {following}, and {highest} was used already; {REPAIRED}"


def mended(folder: CollectionFolder, collection: Collection) -> Iterator[str]:
    """What can be derived, one sentence each. The caller holds the writer's lock. Raises `StorageError`."""
    if not folder.made.exists() or _is_unreadable(folder):
        stamp_created(folder, collection.created_at)
        yield "wrote made as the catalog has it"
    if not folder.facts.exists() or _facts_in(folder) is None:
        write_facts(folder, CollectionFacts.of(collection))
        yield "wrote collection.json as the catalog has it"
    if rollback_fault(folder):
        with pointing(folder):
            mend_rollback(folder)
        yield "wrote rolled-back as the pointer has it"
    if folder.corpus.is_dir() and sums_fault(folder.corpus):
        yield _renewed_sums(folder, collection)
    store = LanceStore.open(folder.corpus, dimension=collection.embedder.dimension)
    if number_fault(folder, store):
        following = _highest_number(folder, store) + 1 + NUMBERS_PASSED
        ChunkNumberSequence(folder.corpus / NEXT_NUMBER).start(following)
        yield f"set the next chunk number to {following}, above all that were used"


def _made_fault(folder: CollectionFolder, at: datetime) -> str | None:
    if not folder.made.exists():
        return f"it is missing; {REPAIRED}"
    if _is_unreadable(folder):
        return f"it differs from what was written; {REPAIRED}"
    if folder.made.read_bytes() == f"{at.isoformat()}\n".encode("ascii"):
        return None
    said = folder.made.read_text("ascii").strip()
    return (
        f"it says that the collection was made at {said}, and the catalog says {at.isoformat()}: a bit flipped, or the "
        f"folder is that of another catalog. Where the documents are the right ones, delete the file {folder.made} and "
        "run `winnow verify --repair`"
    )


def _facts_fault(folder: CollectionFolder, collection: Collection) -> str | None:
    """Facts that can be read may be right where the catalog is wrong, so that a person decides."""
    if folder.facts.read_bytes() == CollectionFacts.of(collection).written():
        return None
    if _facts_in(folder) is None:
        return f"it differs from what was written; {REPAIRED}"
    return (
        "it says other things of the collection than the catalog does. Where the catalog is right, delete the file "
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
    """The highest chunk number that the store or a generation holds; -1 where there is none."""
    held = [store.snapshot().chunk_numbers(), *(numbers_in(folder, name) for name in names(folder))]
    return max((int(np.max(each)) for each in held if len(each)), default=-1)


def _renewed_sums(folder: CollectionFolder, collection: Collection) -> str:
    """Sums of files whose contents were read and compared; a store that is damaged keeps its sums."""
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
        return f"wrote {SUMS} anew: what is in the files is right"
    if before is None:
        path.unlink()
    else:
        write_file(path, before)
    raise StoreCorrupt(f"{folder.corpus}: {SUMS} is damaged, and so is the store: {wrong}")
