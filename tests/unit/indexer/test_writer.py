"""The writer: cut, embedded and committed at once, or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from tests.fakes import HashEmbedder, MemoryStore
from tests.unit.indexer.test_chunking import Words
from winnow.indexer.chunking import Chunker
from winnow.indexer.writer import DocumentWriter
from winnow.retrieval.embed.embedder import Embeddings
from winnow.retrieval.errors import ModelUnusable, Overloaded
from winnow.retrieval.records import Document, EmbeddedDocument, passage_of

LONG = Document(id="long", title="Title", text=" ".join(f"w{number}" for number in range(30)), metadata={"year": 2020})
SHORT = Document(id="short", text="退货须知。")


class BrokenEmbedder(HashEmbedder):
    """Gives vectors of this length."""

    def __init__(self, length: float) -> None:
        super().__init__()
        self._length = length

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        vectors = np.zeros((len(texts), self.identity.dimension), dtype=np.float32)
        vectors[:, 0] = self._length
        return Embeddings(vectors=vectors, tokens=1)


class AbsentEmbedder(HashEmbedder):
    """Cannot be reached."""

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        raise Overloaded("gone")


def writer_of(store: MemoryStore, embedder: HashEmbedder) -> DocumentWriter:
    return DocumentWriter(store=store, embedder=embedder, chunker=Chunker(tokenizer=Words(), tokens_max=16))


async def test_every_chunk_gets_the_vector_of_its_passage():
    """Title and text are embedded together, and no vector goes to a neighbour."""
    store, embedder = MemoryStore(), HashEmbedder()
    report = await writer_of(store, embedder).upsert([LONG, SHORT])
    snapshot = store.snapshot()
    chunks = snapshot.chunks(snapshot.chunk_numbers())
    assert [(chunk.document_id, chunk.ordinal) for chunk in chunks] == [
        ("long", 0), ("long", 1), ("long", 2), ("short", 0)
    ]  # fmt: skip
    expected = await embedder.embed_passages([passage_of(chunk.title, chunk.text) for chunk in chunks])
    stored = np.concatenate([batch.vectors for batch in snapshot.vectors()])
    np.testing.assert_array_equal(stored, expected.vectors)
    assert (report.documents, report.chunks, report.tokens) == (2, 4, expected.tokens)
    assert report.store_version == snapshot.version


async def test_documents_come_back_whole():
    """A document put together from its chunks is the document that went in."""
    store = MemoryStore()
    await writer_of(store, HashEmbedder()).upsert([LONG, SHORT])
    assert store.snapshot().document("long") == LONG
    assert "".join(chunk.text for chunk in store.snapshot().chunks(range(3))) == LONG.text


@pytest.mark.parametrize("length", [0.0, 0.5, 2.0, float("nan"), float("inf")])
async def test_a_vector_that_is_none_is_not_stored(length: float):
    """A model that gives NaN or unnormalised vectors is refused before anything is written."""
    store = MemoryStore()
    before = store.snapshot().version
    with pytest.raises(ModelUnusable, match="a length other than 1"):
        await writer_of(store, BrokenEmbedder(length)).upsert([SHORT])
    assert store.snapshot().version == before


async def test_an_embedder_that_fails_leaves_nothing_behind():
    """Its error comes through, and no part of the window is committed."""
    store = MemoryStore()
    with pytest.raises(Overloaded):
        await writer_of(store, AbsentEmbedder()).upsert([LONG, SHORT])
    assert store.snapshot().counts() == (0, 0)


class SlowStore(MemoryStore):
    """Commits only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let = threading.Event(), threading.Event()

    def replace(self, documents: Sequence[EmbeddedDocument], *, more_follows: bool = False) -> int:
        self.entered.set()
        assert self.let.wait(timeout=10)
        return super().replace(documents, more_follows=more_follows)


async def test_a_cancelled_commit_is_waited_for():
    """The lock that a caller holds around it must not be let go while the store still writes."""
    store = SlowStore()
    writing = asyncio.create_task(writer_of(store, HashEmbedder()).upsert([SHORT]))
    await asyncio.to_thread(store.entered.wait, 10)
    writing.cancel()
    await asyncio.sleep(0.05)
    assert not writing.done()
    store.let.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert store.snapshot().counts() == (1, 1)


@pytest.mark.parametrize("documents", [[], [SHORT, SHORT]], ids=["none", "twice the same id"])
async def test_callers_check_first(documents: list[Document]):
    """No documents, or one id twice, is a bug of the caller."""
    with pytest.raises(AssertionError, match="This is a bug"):
        await writer_of(MemoryStore(), HashEmbedder()).upsert(documents)
