"""The place of every live chunk, and the chunks of every document. Held in memory, per version.

A fragment's rows never change; only which of them are alive does, and Lance writes that into a file with its own name.
A fragment whose file names are unchanged therefore holds what was read before, regardless of commits by others and of
compactions around it. A new version costs its new fragments, not the collection. Fragments that no longer fit are read
again.

Each chunk takes 21 bytes here, and 13 more once documents were looked up by id: a hash of the id, and its place.
Hashes are Python's own, whose key is random per process, so callers cannot choose colliding ids; a row found by hash
must still be compared with the id itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.arrays import difference_sorted
from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.records import ChunkNumbers
from winnow.retrieval.store.liveness import Flags, LiveSet

Addresses = NDArray[np.int64]  # fragment and offset in it, as Lance packs them
Offsets = NDArray[np.uint32]

NOWHERE: Final = -1  # the address of a chunk that is not live
NO_CHUNK: Final = -1  # the number of a row that is not live

_OFFSET_BITS: Final = 32  # the low bits of an address
_NONE: Final = np.empty(0, dtype=np.int64)


def offsets_of(addresses: Addresses) -> Offsets:
    return (addresses & ((1 << _OFFSET_BITS) - 1)).astype(np.uint32)


def fragments_of(addresses: Addresses) -> NDArray[np.int64]:
    return addresses >> _OFFSET_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentFiles:
    """The identity and state of a fragment: equal files mean the same rows, with the same ones alive.

    The number alone is not enough, because a dataset that was removed and created again counts from 0; data files have
    random names.
    """

    number: int
    data: str
    deletions: str | None

    def differ_in_deletions_only(self, other: FragmentFiles) -> bool:
        return replace(self, deletions=other.deletions) == other


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPlaces:
    """The rows of a fragment, sorted by the hash of their document's id."""

    hashes: NDArray[np.int64]  # ascending
    places: NDArray[np.uint32]  # the row of each hash
    begins: Flags  # per row: whether it is the first chunk of its document


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentRows:
    """The rows of one fragment that were alive when it was first read, in order, and which of them still are."""

    files: FragmentFiles
    numbers: ChunkNumbers  # ascending
    offsets: Offsets  # ascending
    alive: Flags
    count: int  # live rows
    documents: DocumentPlaces | None = None  # None until documents are first needed

    @classmethod
    def read(cls, files: FragmentFiles, numbers: ChunkNumbers, offsets: Offsets) -> FragmentRows:
        """Create the rows of a fragment. Raises `StoreCorrupt` unless the numbers ascend."""
        if not bool((np.diff(numbers) > 0).all()):
            raise StoreCorrupt(f"chunk numbers do not ascend in fragment {files.number} ({files.data})")
        alive = np.ones(len(numbers), dtype=np.bool_)
        return cls(files=files, numbers=numbers, offsets=offsets, alive=alive, count=len(numbers))

    def narrowed(self, files: FragmentFiles, offsets: Offsets) -> FragmentRows | None:
        """Return these rows with only those at `offsets` alive; None if one of those was not alive before."""
        places = np.searchsorted(self.offsets, offsets)
        if len(offsets) and (places[-1] == len(self.offsets) or not bool((self.offsets[places] == offsets).all())):
            return None
        if not bool(self.alive[places].all()):
            return None
        alive = np.zeros(len(self.alive), dtype=np.bool_)
        alive[places] = True
        return replace(self, files=files, alive=alive, count=len(offsets))

    def is_part_of(self, other: FragmentRows) -> bool:
        """Whether these rows are `other` after removals."""
        return self is other or (self.numbers is other.numbers and bool((other.alive | ~self.alive).all()))

    def with_documents(self, hashes: NDArray[np.int64], begins: Flags) -> FragmentRows:
        """Add document places; `hashes` and `begins` have one entry per live row."""
        assert len(hashes) == len(begins) == self.count, "one for each live row. This is a bug."
        places = np.flatnonzero(self.alive).astype(np.uint32)
        order = np.argsort(hashes, kind="stable")
        all_begins = np.zeros(len(self.alive), dtype=np.bool_)
        all_begins[places] = begins
        return replace(self, documents=DocumentPlaces(hashes=hashes[order], places=places[order], begins=all_begins))

    def live(self) -> ChunkNumbers:
        return self.numbers[self.alive]

    def addresses_of(self, numbers: ChunkNumbers) -> Addresses:
        """Return the addresses; `NOWHERE` for numbers that are not live here."""
        places = self.numbers.searchsorted(numbers)
        found = (self.numbers.take(places, mode="clip") == numbers) & self.alive.take(places, mode="clip")
        return np.where(found, self._addresses(places), NOWHERE)

    def numbers_at(self, offsets: Offsets) -> ChunkNumbers:
        """Return the numbers of these rows; `NO_CHUNK` for rows that are not live here."""
        places = np.minimum(np.searchsorted(self.offsets, offsets), len(self.offsets) - 1)
        found = (self.offsets[places] == offsets) & self.alive[places]
        return np.where(found, self.numbers[places], NO_CHUNK)

    def count_after(self, number: int) -> int:
        if number < self.numbers[0]:
            return self.count
        return int(np.count_nonzero(self.alive[np.searchsorted(self.numbers, number, side="right") :]))

    def addresses_by_hash(self, hashes: NDArray[np.int64]) -> Addresses:
        """Return addresses, ascending. Called for every fragment, most of which have none of the hashes."""
        assert self.documents is not None, "documents are known. This is a bug."
        known = self.documents.hashes
        starts = known.searchsorted(hashes)
        found = known.take(starts, mode="clip") == hashes if len(known) else np.zeros(len(hashes), dtype=np.bool_)
        if not found.any():
            return _NONE
        bounds = zip(starts[found], known.searchsorted(hashes[found], side="right"), strict=True)
        places = np.concatenate([self.documents.places[start:end] for start, end in bounds])
        return self._addresses(np.sort(places[self.alive[places]]))

    def document_count(self) -> int:
        assert self.documents is not None, "documents are known. This is a bug."
        return int(np.count_nonzero(self.documents.begins & self.alive))

    def _addresses(self, places: NDArray[np.integer]) -> Addresses:
        """Return the addresses at these places; for a place behind the last, that of the last."""
        offsets = self.offsets.take(places, mode="clip")
        addresses: Addresses = offsets.astype(np.int64) + (self.files.number << _OFFSET_BITS)
        return addresses


class StoredRows:
    """All rows of one version, fragment by fragment, in ascending order of chunk number."""

    def __init__(self, fragments: Iterable[FragmentRows], live: LiveSet | None = None) -> None:
        """Raises `StoreCorrupt` unless the numbers ascend from fragment to fragment.

        The given order is that of the dataset, where a compaction places what it joined behind all other fragments.
        """
        filled = (rows for rows in fragments if len(rows.numbers))
        self.fragments: Final = tuple(sorted(filled, key=lambda rows: int(rows.numbers[0])))
        self._by_number = {rows.files.number: rows for rows in self.fragments}
        self._firsts = np.array([rows.numbers[0] for rows in self.fragments], dtype=np.int64)
        lasts = np.array([rows.numbers[-1] for rows in self.fragments], dtype=np.int64)
        if not bool((self._firsts[1:] > lasts[:-1]).all()):
            raise StoreCorrupt("chunk numbers do not ascend from fragment to fragment")
        self._count = sum(rows.count for rows in self.fragments)  # every search asks for it
        self.live: Final = LiveSet.of(_concatenate(rows.live() for rows in self.fragments)) if live is None else live

    def followed_by(self, fragments: Sequence[FragmentRows]) -> StoredRows:
        """Return the rows of a later version. The more fragments it shares with this one, the less it costs."""
        left = {rows.files.number: rows for rows in self.fragments}
        taken_out, come = [], []
        for rows in fragments:
            was = left.get(rows.files.number)
            if was is None or not rows.is_part_of(was):
                come.append(rows.live())
                continue
            del left[rows.files.number]
            if was is not rows:
                taken_out.append(was.numbers[was.alive & ~rows.alive])
        old, new = _concatenate(rows.live() for rows in left.values()), _concatenate(come)
        gone = np.sort(_concatenate([*taken_out, difference_sorted(old, new)]))
        new = difference_sorted(new, old)
        if len(new) and new[0] <= self.live.last():  # a number came back: this is not a later version of the same store
            return StoredRows(fragments)
        return StoredRows(fragments, self.live.followed_by(gone=gone, new=new))

    def with_documents(self, fragments: Iterable[FragmentRows]) -> StoredRows:
        """Return the same rows, with fragments that also know their documents."""
        return StoredRows(fragments, self.live)

    def count(self, *, after: int = -1) -> int:
        """Return how many live chunks have a greater number."""
        if not self.fragments or after < self._firsts[0]:
            return self._count
        return sum(rows.count_after(after) for rows in self._from(after))

    def document_count(self) -> int:
        return sum(rows.document_count() for rows in self.fragments)

    def fragments_after(self, number: int) -> frozenset[int]:
        """Return the fragments that hold live chunks with greater numbers."""
        return frozenset(rows.files.number for rows in self._from(number) if rows.count_after(number))

    def addresses_of(self, numbers: ChunkNumbers) -> Addresses:
        """Return the address of each of these chunks, in the given order; `NOWHERE` for one that is not live."""
        addresses = np.full(len(numbers), NOWHERE, dtype=np.int64)
        holders = self._firsts.searchsorted(numbers, side="right") - 1
        order = holders.argsort(kind="stable")
        for holder, run in runs_of(holders[order]):
            if holder >= 0:
                asked = order[run]
                addresses[asked] = self.fragments[holder].addresses_of(numbers[asked])
        return addresses

    def data_file(self, fragment: int) -> str:
        """Return the name of the data file of a fragment that holds live chunks."""
        return self._by_number[fragment].files.data

    def numbers_at(self, addresses: Addresses) -> ChunkNumbers:
        """Return the number of the chunk at each of these addresses; `NO_CHUNK` where no chunk is live."""
        numbers = np.full(len(addresses), NO_CHUNK, dtype=np.int64)
        holders, offsets = fragments_of(addresses), offsets_of(addresses)
        order = np.argsort(holders, kind="stable")
        for holder, run in runs_of(holders[order]):
            if holder in self._by_number:
                asked = order[run]
                numbers[asked] = self._by_number[holder].numbers_at(offsets[asked])
        return numbers

    def addresses_by_id(self, document_ids: Sequence[str]) -> Addresses:
        """Return addresses, ascending by number, of all chunks of these documents and rarely of others as well."""
        hashes = np.unique(hashes_of(document_ids))
        return _concatenate(rows.addresses_by_hash(hashes) for rows in self.fragments)

    def _from(self, number: int) -> tuple[FragmentRows, ...]:
        """Return the fragments that may hold greater numbers."""
        return self.fragments[max(int(np.searchsorted(self._firsts, number, side="right")) - 1, 0) :]


def _concatenate(parts: Iterable[ChunkNumbers]) -> ChunkNumbers:
    joined: ChunkNumbers = np.concatenate([_NONE, *parts])
    return joined


def runs_of(values: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Yield each run of equal values with its slice."""
    bounds = [0, *((values[1:] != values[:-1]).nonzero()[0] + 1).tolist(), len(values)]
    for start, end in itertools.pairwise(bounds):
        if start < end:
            yield int(values[start]), slice(start, end)


def hashes_of(document_ids: Sequence[str]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, document_ids), dtype=np.int64, count=len(document_ids))
