"""Writes documents to a collection: cut, embed, and commit all of them or none.

Both `winnow index` and the HTTP routes that take documents end here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from winnow.indexer.chunking import Chunker, Counted, Uncut
from winnow.retrieval.concurrency.tasks import run_to_completion
from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice, heads_of
from winnow.retrieval.embed.embedder import Embedder, Passage, TakesTokens
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.records import Document, EmbeddedDocument, Span, Vectors, header_above, passage_of
from winnow.retrieval.store.contract import Store
from winnow.retrieval.store.vector_column import cosine_loss
from winnow.retrieval.structure import place_spans

_FIELDS_SHARE: Final = 2  # fields take at most half of a chunk
_LENGTH_TOLERANCE: Final = 1e-2  # distance of a vector's length from 1; bf16 models are off by a few thousandths


@dataclass(frozen=True, slots=True, kw_only=True)
class CutDocuments:
    """Documents and where each is cut: the work that needs no model."""

    documents: tuple[Document, ...]
    spans: tuple[tuple[Span, ...], ...]  # per document
    passages: tuple[Passage, ...]  # one for each span, in order


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedWindow:
    """Documents with their vectors, ready to commit."""

    documents: tuple[EmbeddedDocument, ...]
    chunks: int
    tokens: int
    truncated: int
    cosine_loss: float | None  # as in `UpsertReport`


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertReport:
    """Size and cost of one commit."""

    documents: int
    chunks: int
    tokens: int  # computed by the embedder
    truncated: int  # chunks cut short by the embedder
    store_version: int  # the first version that shows them
    cosine_loss: float | None  # by how much rounding can change a cosine of these chunks; None: they are not rounded


class DocumentWriter:
    """Writes documents into the store of one collection."""

    def __init__(self, *, store: Store, embedder: Embedder, chunker: Chunker, fields: FieldChoice = NO_CHOICE) -> None:
        """`fields` are embedded before title and text of every chunk, in at most half of its tokens."""
        self._store = store
        self._embedder = embedder
        self._chunker = chunker
        self._fields = fields

    async def upsert(self, documents: Sequence[Document]) -> UpsertReport:
        """Commit these documents; they are on disk when this returns.

        The caller has checked that there is at least one and that ids do not repeat. If cancelled before the commit,
        nothing is written; if cancelled during the commit, the commit is finished.
        """
        return await self.write(await asyncio.to_thread(self.cut, documents))

    def cut(self, documents: Sequence[Document]) -> CutDocuments:
        """First half of `upsert`: it needs no model and may run while the model is busy. Blocks."""
        assert documents, "an empty commit is no commit. This is a bug."
        assert len({document.id for document in documents}) == len(documents), "ids repeat. This is a bug."
        fields = self._field_lines(documents)
        chunks = self._chunker.counted(
            [
                Uncut(text=document.text, fields=lines, title=document.title, parts=document.parts)
                for document, lines in zip(documents, fields, strict=True)
            ]
        )
        return CutDocuments(
            documents=tuple(documents),
            spans=tuple(tuple(chunk.span for chunk in of_one) for of_one in chunks),
            passages=tuple(
                passage
                for document, of_one, lines in zip(documents, chunks, fields, strict=True)
                for passage in _passages_of(document, of_one, lines)
            ),
        )

    async def write(self, cut: CutDocuments) -> UpsertReport:
        """Second half of `upsert`."""
        return await self.commit(await self.embed(cut))

    async def embed(self, cut: CutDocuments) -> EmbeddedWindow:
        """Compute the vectors of all passages. Cancelling it loses nothing but the work."""
        passages = cut.passages
        if isinstance(self._embedder, TakesTokens) and self._embedder.tokenizer is self._chunker.tokenizer:
            embeddings = await self._embedder.embed_tokenised(passages)
        else:
            embeddings = await self._embedder.embed_passages([passage.text for passage in passages])
        _require_unit_vectors(embeddings.vectors, count=len(passages))
        return EmbeddedWindow(
            documents=tuple(_attach_vectors(cut, embeddings.vectors)),
            chunks=len(passages),
            tokens=embeddings.tokens,
            truncated=len(embeddings.truncated),
            cosine_loss=cosine_loss(embeddings.vectors, self._store.vector_format),
        )

    async def commit(self, window: EmbeddedWindow, *, more_follows: bool = False) -> UpsertReport:
        """Write the window to the disk. With `more_follows` the caller must call `Store.index_words` at the end."""
        version = await run_to_completion(partial(self._store.replace, more_follows=more_follows), window.documents)
        return UpsertReport(
            documents=len(window.documents),
            chunks=window.chunks,
            tokens=window.tokens,
            truncated=window.truncated,
            store_version=version,
            cosine_loss=window.cosine_loss,
        )

    def _field_lines(self, documents: Sequence[Document]) -> tuple[str, ...]:
        """Return the lines of each document's fields, which the chunker counts."""
        lines = [
            self._fields.lines(id=each.id, title=each.title, url=each.url, metadata=each.metadata) for each in documents
        ]
        chunker = self._chunker
        return tuple(heads_of(lines, chunker.tokenizer, tokens_max=chunker.tokens_max // _FIELDS_SHARE))


def _passages_of(document: Document, chunks: Sequence[Counted], fields: str) -> Iterator[Passage]:
    """Yield what the embedder reads of each chunk, with its tokens if the chunker counted this very text.

    It counted another for the first piece of a table or of code that was cut: with the header, which the piece has.
    """
    places = place_spans(document.text, document.parts, [chunk.span for chunk in chunks])
    for chunk, placed in zip(chunks, places, strict=True):
        text = document.text[chunk.span.start : chunk.span.end]
        header = header_above(placed.part, chunk.span.start)
        read = fields + passage_of(document.title, text, section=placed.section, header=header)
        yield Passage(text=read, ids=chunk.ids if read == chunk.text else None)


def _attach_vectors(cut: CutDocuments, vectors: Vectors) -> list[EmbeddedDocument]:
    """Give each document its share of the vectors, which come in the order of the passages."""
    embedded = []
    first = 0
    for document, spans in zip(cut.documents, cut.spans, strict=True):
        share = vectors[first : first + len(spans)]
        embedded.append(EmbeddedDocument(document=document, spans=spans, vectors=share))
        first += len(spans)
    return embedded


def _require_unit_vectors(vectors: Vectors, *, count: int) -> None:
    """A vector of another length, or with a NaN in it, would be found always or never: refuse to store it."""
    assert len(vectors) == count, "one vector for each passage. This is a bug."
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= _LENGTH_TOLERANCE))
    if len(wrong):
        raise ModelUnusable(f"the embedder returned {len(wrong)} of {count} vectors with a length other than 1")
