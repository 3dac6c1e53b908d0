"""The chunks of one collection, by version: the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.records import Chunk, ChunkNumbers, Document, EmbeddedDocument, Piece, Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorBatch:
    """Some chunks' numbers and vectors, in ascending order of number."""

    numbers: ChunkNumbers
    vectors: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalHits:
    """The chunks that match the words of one query best, best first; equal scores in order of chunk number."""

    numbers: ChunkNumbers  # no repeats
    scores: Vectors  # (same,) float32 BM25, above 0: no similarity, no relevance, and of another scale for each query


class StoreSnapshot(Protocol):
    """One version of the corpus. It never changes, whatever is written meanwhile."""

    @property
    def version(self) -> int: ...

    def chunk_numbers(self) -> ChunkNumbers:
        """All live chunk numbers, ascending. Costs the whole collection; the two below do not."""
        ...

    def alive(self, numbers: ChunkNumbers) -> NDArray[np.bool_]:
        """Which of these chunks are live. `numbers` may be any, in any order."""
        ...

    def count(self, *, after: int = -1) -> int:
        """How many live chunks have a number greater than `after`."""
        ...

    def vectors(self, *, after: int = -1) -> Iterator[VectorBatch]:
        """Numbers and vectors of the chunks whose number is greater than `after`, in bounded batches."""
        ...

    def chunks(self, numbers: Sequence[int]) -> list[Chunk]:
        """The chunks of these numbers, in the order asked for; a number that is not live is left out."""
        ...

    def pieces(self, numbers: Sequence[int]) -> list[Piece]:
        """As `chunks`, without title, URL and metadata, which each chunk repeats."""
        ...

    def document_ids(self, numbers: Sequence[int]) -> list[str]:
        """As `chunks`, but only whose they are: cheap for thousands of them."""
        ...

    def document(self, document_id: str) -> Document:
        """The document, put together from its chunks. Raises `DocumentNotFound`."""
        ...

    def content_hashes(self) -> Mapping[str, str]:
        """Content hash by document id, for all documents."""
        ...

    def counts(self) -> tuple[int, int]:
        """(documents, chunks)."""
        ...

    def attributes(self) -> Mapping[str, str]:
        """What filters may name, by key, with its kinds in words. An attribute that some document had stays known."""
        ...

    def numbers_where(self, where: Filter) -> ChunkNumbers:
        """The numbers of the chunks whose document matches, ascending. The rules are in retrieval/filters/masks.py.

        Raises `InvalidRequest` for an attribute that is not known, or of another kind than what it is compared with.
        """
        ...

    def documents_where(self, where: Filter) -> list[str]:
        """The ids of the documents that match, in the order in which they were written. Raises `InvalidRequest`."""
        ...

    def lexical(self, text: str, k: int, *, allowed: ChunkNumbers | None = None) -> LexicalHits:
        """The `k` chunks whose title and text hold the words of `text` best, by BM25; fewer where fewer hold any.

        `text` is plain text: nothing in it is an operator. Where `allowed` is given, ascending, the best of those.
        How rare a word is is counted over all chunks, for some time also over removed ones. Raises `WordsNotIndexed`.
        """
        ...

    def misfiled(self) -> list[str]:
        """The ids of documents that filters see with other attributes than their metadata has. Reads everything."""
        ...


class Store(Protocol):
    """The corpus of one collection on disk.

    Every write is one commit: readers see all of it or nothing. When a write returns it has reached the disk
    (files, manifest and folders are synced). One process writes at a time; readers need no lock.
    Raises `WriteFailed`, `StoreCorrupt`.
    """

    def snapshot(self) -> StoreSnapshot:
        """The newest committed version. Cheap when nothing was written since the last call."""
        ...

    def replace(self, documents: Sequence[EmbeddedDocument], *, more_follows: bool = False) -> int:
        """Insert these documents, or replace those of the same ids whole; returns the new version.

        With `more_follows` their words may wait for `index_words`, which the caller calls at the end.

        Chunk numbers are assigned here: ascending in the order given, above every number ever used before.
        """
        ...

    def holding(self) -> AbstractContextManager[None]:
        """While the block runs, no version is cleaned up, by whichever process: for readers that take minutes."""
        ...

    def clean_up(self) -> int:
        """Removes what old versions and writes that failed have left, and nobody reads; returns how many bytes.

        What was deleted is gone, to the last byte, with the first call that comes when nobody may read any more
        the versions that were there at this one. The caller is the one who writes.
        """
        ...

    def index_words(self) -> None:
        """Brings the chunks into the full-text index that are not in it yet; makes it in a store that has none.

        Nothing is committed where nothing is missing. Chunks that are not in it are found as well, by reading them.
        """
        ...

    def renew_word_rules(self, locked: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Tells words apart by the rules of today, where the store has older ones (retrieval/lexical/words.py).

        It takes steps, and holds the writer's lock, `locked`, in each for some seconds; searches go by the old rules
        until the last one. Interrupted it goes on where it was.
        """
        ...

    def delete(self, document_ids: Sequence[str]) -> int:
        """Remove these documents; ids that are not there are passed over. Returns how many were removed."""
        ...
