"""retrieval/search/hybrid.py through Recall: by meaning, by words, by both; every candidate with its own figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bm25_oracle import bm25
from tests.fakes import HashEmbedder, MemoryStore
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.filters.grammar import parse_filter
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.records import Document, EmbeddedDocument, RecallMode, Span, passage_of
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.search.recall import Recall, Recalled, RecallRequest

NAMES = ("bravo", "delta", "kilo", "lima", "tango", "quebec")
EMBEDDER = HashEmbedder(dimension=64)
COUNT = 400  # more than a pool holds


async def put(store: MemoryStore, *documents: Document) -> None:
    vectors = (await EMBEDDER.embed_passages([passage_of(each.title, each.text) for each in documents])).vectors
    spans = [(Span(start=0, end=len(each.text)),) for each in documents]
    store.replace(
        [
            EmbeddedDocument(document=document, spans=span, vectors=vectors[place : place + 1])
            for place, (document, span) in enumerate(zip(documents, spans, strict=True))
        ]
    )


@pytest.fixture
async def store() -> MemoryStore:
    """Common words everywhere, and one document that only its words lead to."""
    store = MemoryStore()
    rng = np.random.default_rng(5)
    await put(
        store,
        *(
            Document(id=f"d{place}", text=" ".join(rng.choice(NAMES, size=5)), metadata={"part": place % 4})
            for place in range(COUNT)
        ),
        Document(id="far", title="zulu", text="一二三四五六七八九十" * 12, metadata={"part": 1}),
    )
    return store


def recall_over(store: MemoryStore, tmp_path: Path) -> Recall:
    folder = CollectionFolder(tmp_path / "c")
    return Recall(embedder=EMBEDDER, searchable=IndexReader(folder=folder, store=store, identity=EMBEDDER.identity))


async def require_figures(recalled: Recalled, store: MemoryStore, query: str) -> None:
    """Cosines are those of the vectors, BM25 scores those of the words, and places are counted."""
    snapshot = store.snapshot()
    scores = bm25(query, {chunk.number: chunk for chunk in snapshot.chunks(snapshot.chunk_numbers().tolist())})
    vector = (await EMBEDDER.embed_queries([query])).vectors[0]
    for rank, candidate in enumerate(recalled.candidates, start=1):
        passage = (await EMBEDDER.embed_passages([candidate.chunk.passage])).vectors[0]
        assert candidate.similarity == pytest.approx(float(passage @ vector), abs=1e-5)
        assert candidate.recall_rank == rank
        if candidate.lexical_score is not None:
            assert candidate.lexical_score == pytest.approx(scores[candidate.chunk.number], rel=1e-4)
    ordered_by = [candidate.recall_score for candidate in recalled.candidates]
    if recalled.mode is RecallMode.DENSE:
        ordered_by = [candidate.similarity for candidate in recalled.candidates]
    figures = [figure for figure in ordered_by if figure is not None]
    assert len(figures) == len(ordered_by)
    assert figures == sorted(figures, reverse=True)


@pytest.mark.parametrize("is_published", [False, True])
@pytest.mark.parametrize("mode", list(RecallMode))
async def test_every_candidate_carries_its_own_figures(
    store: MemoryStore, tmp_path: Path, mode: RecallMode, *, is_published: bool
) -> None:
    """However it was found, and wherever its vector is: in the generation, or newer than it."""
    if is_published:
        publish(CollectionFolder(tmp_path / "c"), store.snapshot(), EMBEDDER.identity)
        await put(store, Document(id="new", text="zulu quebec"))
    recalled = await recall_over(store, tmp_path).find(RecallRequest(query="zulu quebec tango", width=20, mode=mode))
    assert (len(recalled.candidates), recalled.mode) == (20, mode)
    assert (recalled.timings.lexical_ms is None) == (mode is RecallMode.DENSE)
    assert (mode is RecallMode.DENSE) == all(each.lexical_score is None for each in recalled.candidates)
    await require_figures(recalled, store, "zulu quebec tango")


async def test_both_find_what_one_of_them_does_not(store: MemoryStore, tmp_path: Path) -> None:
    """A rare word leads to a text that looks like nothing in the query; meaning fills the rest of the list."""
    recall = recall_over(store, tmp_path)
    by_mode = {
        mode: [
            each.chunk.document_id
            for each in (await recall.find(RecallRequest(query="zulu", width=10, mode=mode))).candidates
        ]
        for mode in RecallMode
    }
    assert "far" not in by_mode[RecallMode.DENSE]
    assert by_mode[RecallMode.LEXICAL] == ["far"]
    assert by_mode[RecallMode.HYBRID][0] == "far"
    assert len(by_mode[RecallMode.HYBRID]) == 10


async def test_without_words_hybrid_is_the_order_of_the_nearest(store: MemoryStore, tmp_path: Path) -> None:
    """Punctuation has no words; nobody is left without an answer for that."""
    recall = recall_over(store, tmp_path)
    dense = await recall.find(RecallRequest(query="?!", width=10))
    hybrid = await recall.find(RecallRequest(query="?!", width=10, mode=RecallMode.HYBRID))
    assert [each.chunk for each in hybrid.candidates] == [each.chunk for each in dense.candidates]
    assert (await recall.find(RecallRequest(query="?!", width=10, mode=RecallMode.LEXICAL))).candidates == ()


@pytest.mark.parametrize("mode", list(RecallMode))
async def test_a_filter_holds_for_both_searches(store: MemoryStore, tmp_path: Path, mode: RecallMode) -> None:
    """Only what matches is a candidate, and the answer says how many those are."""
    where = parse_filter({"type": "eq", "key": "part", "value": 1})
    recalled = await recall_over(store, tmp_path).find(
        RecallRequest(query="zulu tango", width=30, mode=mode, where=where)
    )
    assert len(recalled.candidates) == 30
    assert {each.chunk.metadata["part"] for each in recalled.candidates} == {1}
    assert recalled.filtered is not None
    assert (recalled.filtered.matching, recalled.filtered.of) == (COUNT // 4 + 1, COUNT + 1)
    await require_figures(recalled, store, "zulu tango")
    unknown = parse_filter({"type": "eq", "key": "nobody", "value": 1})
    with pytest.raises(InvalidRequest):
        await recall_over(store, tmp_path).find(RecallRequest(query="zulu", width=3, mode=mode, where=unknown))
