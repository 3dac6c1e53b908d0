"""The contract of a store: the chunks of one collection, by version."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.records import Chunk, ChunkNumbers, Document, EmbeddedDocument, Piece, Vectors
from winnow.retrieval.store.row_cache import RowCache
from winnow.retrieval.vector_format import VectorFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorBatch:
    """Numbers and vectors of some chunks, in ascending order of number."""

    numbers: ChunkNumbers
    vectors: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalHits:
    """The best lexical matches of one query, best first; equal scores in order of chunk number."""

    numbers: ChunkNumbers  # no repeats
    scores: Vectors  # (same,) float32 BM25, above 0: neither similarity nor relevance; the scale differs per query


class StoreSnapshot(Protocol):
    """One version of the corpus. It never changes, even while others write."""

    @property
    def version(self) -> int: ...

    def chunk_numbers(self) -> ChunkNumbers:
        """Return all live chunk numbers, ascending. Costs a pass over the collection, unlike `alive` and `count`."""
        ...

    def alive(self, numbers: ChunkNumbers) -> NDArray[np.bool_]:
        """Return which of these chunks are live. `numbers` may be any numbers in any order."""
        ...

    def count(self, *, after: int = -1) -> int:
        """Return how many live chunks have a number greater than `after`."""
        ...

    def vectors(self, *, after: int = -1) -> Iterator[VectorBatch]:
        """Yield numbers and vectors of the chunks whose number is greater than `after`, in bounded batches."""
        ...

    def vectors_of(self, numbers: Sequence[int]) -> Vectors:
        """Return the stored vectors of these chunks, in the given order. All of them must be live."""
        ...

    def chunks(self, numbers: Sequence[int], *, cache: RowCache | None = None) -> list[Chunk]:
        """Return the chunks with these numbers, in the given order; numbers that are not live are left out.

        What the `cache` has is not read again.
        """
        ...

    def chunks_at_hand(self, numbers: Sequence[int], cache: RowCache) -> list[Chunk] | None:
        """Return what `chunks` would, or None where it would read a row that the `cache` does not have."""
        ...

    def pieces(self, numbers: Sequence[int]) -> list[Piece]:
        """Like `chunks`, but without title, URL and metadata, which every chunk repeats."""
        ...

    def document_ids(self, numbers: Sequence[int]) -> list[str]:
        """Like `chunks`, but only the document ids: cheap for thousands of chunks."""
        ...

    def document(self, document_id: str) -> Document:
        """Return the document, reassembled from its chunks. Raises `DocumentNotFound`."""
        ...

    def content_hashes(self) -> Mapping[str, str]:
        """Return the content hash of every document, by document id."""
        ...

    def content_hash_batches(self) -> Iterator[Mapping[str, str]]:
        """Yield the same in parts of bounded size, in any order."""
        ...

    def counts(self) -> tuple[int, int]:
        """Return (documents, chunks)."""
        ...

    def attributes(self) -> Mapping[str, str]:
        """Return the attributes that filters may use, by key, with a description of their types.

        An attribute stays known once any document had it.
        """
        ...

    def numbers_where(self, where: Filter) -> ChunkNumbers:
        """Return the numbers of the chunks whose document matches, ascending; rules in retrieval/filters/masks.py.

        Raises `InvalidRequest` for an unknown attribute, or for a comparison with a value of another type.
        """
        ...

    def documents_where(self, where: Filter) -> list[str]:
        """Return the ids of the matching documents, in the order they were written. Raises `InvalidRequest`."""
        ...

    def lexical(self, text: str, k: int, *, allowed: ChunkNumbers | None = None) -> LexicalHits:
        """Return the `k` best chunks by BM25 over title and text; fewer if fewer match.

        `text` is plain text without operators. `allowed`, ascending, restricts the matches. Document frequencies count
        all chunks, for some time including removed ones. Raises `WordsNotIndexed`.
        """
        ...

    def misfiled(self) -> list[str]:
        """Return the ids of documents whose attribute columns differ from their metadata. Reads everything."""
        ...


class Store(Protocol):
    """The corpus of one collection on disk.

    Each write is one commit: readers see all of it or nothing. A write returns once it is on the disk (files, manifest
    and folders are synced). One process writes at a time; readers need no lock.
    Raises `WriteFailed`, `StoreCorrupt`.
    """

    @property
    def vector_format(self) -> VectorFormat:
        """How vectors are stored. What is written is rounded to it; what is read is float32."""
        ...

    def snapshot(self) -> StoreSnapshot:
        """Return the newest committed version. Cheap if nothing was written since the last call."""
        ...

    def replace(self, documents: Sequence[EmbeddedDocument], *, more_follows: bool = False) -> int:
        """Insert these documents, or replace whole documents with the same ids; return the new version.

        Chunk numbers are assigned here: ascending in the given order, above every number ever used. With
        `more_follows` full-text indexing may wait until the caller calls `index_words` at the end.
        """
        ...

    def holding(self) -> AbstractContextManager[None]:
        """Prevent any process from cleaning up versions during the block: for readers that take minutes."""
        ...

    def clean_up(self) -> int:
        """Remove what old versions and failed writes left and nothing reads any more; return the freed bytes.

        Deleted data is gone, to the last byte, after the first clean-up that runs once the versions of now can no
        longer be read. The caller must be the writer.
        """
        ...

    def has_superseded(self) -> bool:
        """Whether there are versions that `remove_old_versions` would remove."""
        ...

    def remove_old_versions(self) -> int:
        """Remove the files of the oldest versions that nothing reads any more; return the freed bytes.

        Unlike `clean_up` it copies nothing, and commits nothing. The caller must be the writer, and repeats the call
        until it frees nothing: each removes so few versions that other writers need not wait for long.
        """
        ...

    def index_words(self) -> None:
        """Add chunks to the full-text index that it does not cover yet; create the index if there is none.

        Commits only if something is missing. Searches also find uncovered chunks, by reading them.
        """
        ...

    def renew_word_rules(self, locked: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Migrate a store with older word rules to the current ones (retrieval/lexical/words.py).

        Works in steps that each hold the writer's lock, `locked`, for some seconds; searches use the old rules until
        the last step. After an interruption it continues where it stopped.
        """
        ...

    def delete(self, document_ids: Sequence[str]) -> int:
        """Remove these documents and return how many were removed; unknown ids are ignored."""
        ...
