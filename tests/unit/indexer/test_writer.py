"""The writer: cut, embedded and committed at once, or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import HashEmbedder, MemoryStore
from tests.real_models import bundled_model, qwen_tokenizer
from tests.tiny_models import write_embedder
from tests.unit.indexer.test_chunking import Words
from winnow.indexer.chunking import Chunker
from winnow.indexer.writer import DocumentWriter
from winnow.retrieval.document_fields import NO_CHOICE, check_fields
from winnow.retrieval.embed.embedder import Embeddings
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.errors import ModelUnusable, Overloaded
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Document, EmbeddedDocument, Part, PartKind, passage_of

PIECES = st.lists(
    st.tuples(
        st.sampled_from(PartKind),
        st.text(alphabet='ab1  \n\n\t.!。，"-中文é\u0301\u200d👍\ud800', min_size=1, max_size=150),
        st.sampled_from([(), ("A heading",), ("中文", "b")]),
        st.sampled_from(["", "name | 年"]),
    ),
    max_size=4,
)
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


@pytest.fixture(scope="module", params=["tiny", "bundled embedder", "qwen"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PlainTokenizer:
    match request.param:
        case "tiny":
            return PlainTokenizer.load(write_embedder(tmp_path_factory.mktemp("models") / "tiny"))
        case "qwen":
            return PlainTokenizer.load(qwen_tokenizer())
        case _:
            return PlainTokenizer.load(bundled_model("embedder").path)


def document_of(pieces: Sequence[tuple[PartKind, str, tuple[str, ...], str]], title: str) -> Document:
    parts, text = [], ""
    for kind, body, section, header in pieces:
        parts.append(Part(start=len(text), end=len(text) + len(body), kind=kind, section=section, header=header))
        text += body
    return Document(id="a", text=text, title=title, parts=tuple(parts), metadata={"year": 2020})


@settings(max_examples=25, deadline=None)
@given(pieces=PIECES, title=st.sampled_from(["", "Title", "标题 é"]), has_fields=st.booleans())
def test_tokens_of_a_passage_are_those_of_its_whole_text(
    tokenizer: PlainTokenizer, pieces: list[tuple[PartKind, str, tuple[str, ...], str]], title: str, *, has_fields: bool
):
    """Heads included, to the id; known unless the chunker counted another head, which only tables and code have."""
    document = document_of(pieces, title)
    writer = DocumentWriter(
        store=MemoryStore(),
        embedder=HashEmbedder(),
        chunker=Chunker(tokenizer=tokenizer, tokens_max=24),
        fields=check_fields(["year"], 24) if has_fields else NO_CHOICE,
    )
    passages = writer.cut([document]).passages
    for passage in passages:
        if passage.ids is not None:
            assert list(passage.ids) == tokenizer.ids(passage.text)
    if not any(header for _, _, _, header in pieces):
        assert all(passage.ids is not None for passage in passages)


async def test_a_passage_is_tokenised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The chunker's tokens are embedded; vectors are those of the texts, to the bit. Not another tokenizer's."""
    embedder = QwenEmbedder.load(find_model(str(write_embedder(tmp_path / "model")), kind="embedder"), device="cpu")
    encoded: list[str] = []
    encode = PlainTokenizer.ids_batch

    def counting(self: PlainTokenizer, texts: Sequence[str]) -> list[list[int]]:
        encoded.extend(texts)
        return encode(self, texts)

    for tokenizer, times in ((embedder.tokenizer, 1), (PlainTokenizer.load(tmp_path / "model"), 2)):
        writer = DocumentWriter(
            store=MemoryStore(), embedder=embedder, chunker=Chunker(tokenizer=tokenizer, tokens_max=64)
        )
        with monkeypatch.context() as patched:
            patched.setattr(PlainTokenizer, "ids_batch", counting)
            encoded.clear()
            window = await writer.embed(writer.cut([LONG, SHORT]))
            last = passage_of("", SHORT.text)
            assert encoded.count(last) == times
        cut = writer.cut([LONG, SHORT])
        expected = await embedder.embed_passages([passage.text for passage in cut.passages])
        np.testing.assert_array_equal(np.concatenate([each.vectors for each in window.documents]), expected.vectors)
        assert (window.tokens, window.truncated) == (expected.tokens, len(expected.truncated))


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
