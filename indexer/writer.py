"""How do documents get into a collection? Cut, embedded, and committed at once: all of them or none.

Both ways in end here: `winnow index` and the routes that take documents over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from winnow.indexer.chunking import Chunker
from winnow.retrieval.concurrency.tasks import run_to_completion
from winnow.retrieval.embed.embedder import Embedder
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.records import Document, EmbeddedDocument, Span, Vectors, passage_of
from winnow.retrieval.store.contract import Store

_LENGTH_TOLERANCE: Final = 1e-2  # how far from 1 a unit vector may be; bf16 models leave a few thousandths


@dataclass(frozen=True, slots=True, kw_only=True)
class CutDocuments:
    """Documents and where each is cut: what can be done before it is their turn at the model."""

    documents: tuple[Document, ...]
    spans: tuple[tuple[Span, ...], ...]  # of each document

    @property
    def passages(self) -> list[str]:
        return [
            passage_of(document.title, document.text[span.start : span.end])
            for document, spans in zip(self.documents, self.spans, strict=True)
            for span in spans
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertReport:
    """What one commit brought in, and what it cost."""

    documents: int
    chunks: int
    tokens: int  # computed by the embedder
    truncated: int  # chunks of which the embedder read only the beginning
    store_version: int  # the first version that shows them


class DocumentWriter:
    """Writes documents into the store of one collection."""

    def __init__(self, *, store: Store, embedder: Embedder, chunker: Chunker) -> None:
        self._store = store
        self._embedder = embedder
        self._chunker = chunker

    async def upsert(self, documents: Sequence[Document]) -> UpsertReport:
        """One commit with these documents; it has reached the disk when this returns.

        The ids are different from each other, and there is at least one: who calls has checked it.
        Cancelled before the commit, it leaves nothing behind; cancelled during it, it ends after the commit.
        """
        return await self.write(await asyncio.to_thread(self.cut, documents))

    def cut(self, documents: Sequence[Document]) -> CutDocuments:
        """The first half of `upsert`: it needs no model, and may run while the model is busy. Blocks."""
        assert documents, "an empty commit is no commit. This is a bug."
        assert len({document.id for document in documents}) == len(documents), "ids repeat. This is a bug."
        spans = self._chunker.spans_of([(document.title, document.text) for document in documents])
        return CutDocuments(documents=tuple(documents), spans=tuple(spans))

    async def write(self, cut: CutDocuments, *, more_follows: bool = False) -> UpsertReport:
        """The second half of `upsert`. With `more_follows` the caller ends with `Store.index_words`."""
        passages = cut.passages
        embeddings = await self._embedder.embed_passages(passages)
        _require_unit_vectors(embeddings.vectors, count=len(passages))
        version = await run_to_completion(
            partial(self._store.replace, more_follows=more_follows), _embedded(cut, embeddings.vectors)
        )
        return UpsertReport(
            documents=len(cut.documents),
            chunks=len(passages),
            tokens=embeddings.tokens,
            truncated=len(embeddings.truncated),
            store_version=version,
        )


def _embedded(cut: CutDocuments, vectors: Vectors) -> list[EmbeddedDocument]:
    """Every document with its share of the vectors, which come in the order of the passages."""
    embedded = []
    first = 0
    for document, spans in zip(cut.documents, cut.spans, strict=True):
        share = vectors[first : first + len(spans)]
        embedded.append(EmbeddedDocument(document=document, spans=spans, vectors=share))
        first += len(spans)
    return embedded


def _require_unit_vectors(vectors: Vectors, *, count: int) -> None:
    """A vector of another length, or with a NaN in it, would be found always or never: it must not be stored."""
    assert len(vectors) == count, "one vector for each passage. This is a bug."
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= _LENGTH_TOLERANCE))
    if len(wrong):
        raise ModelUnusable(f"the embedder gave {len(wrong)} of {count} vectors that are not of length 1")
