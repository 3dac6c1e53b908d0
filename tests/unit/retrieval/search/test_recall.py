"""retrieval/search/recall.py: from a query to candidates, and never past the deadline."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import HashEmbedder, MemoryStore
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, Embedder, Embeddings
from winnow.retrieval.errors import CollectionNotReady, DeadlineExceeded
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index.faiss_ann import QUICK_EF_SEARCH, ApproximateBuilder
from winnow.retrieval.index.planner import Plan, Recipe
from winnow.retrieval.records import Document, EmbeddedDocument, RecallMode, Span
from winnow.retrieval.search import reader as reader_module
from winnow.retrieval.search.reader import FixedView, IndexReader
from winnow.retrieval.search.recall import QUICK_WIDTH, Recall, RecallRequest
from winnow.retrieval.store.contract import VectorBatch
from winnow.retrieval.store.row_cache import RowCache

TEXTS = {
    "refund": "How to get a refund for a returned parcel",
    "退款": "退货之后如何申请退款",
    "login": "Reset the password when you cannot log in",
    "invoice": "Where to find the invoice of an order",
}


async def filled(embedder: Embedder) -> MemoryStore:
    store = MemoryStore()
    vectors = (await embedder.embed_passages(list(TEXTS.values()))).vectors
    store.replace(
        [
            EmbeddedDocument(
                document=Document(id=name, text=text),
                spans=(Span(start=0, end=len(text)),),
                vectors=vectors[at : at + 1],
            )
            for at, (name, text) in enumerate(TEXTS.items())
        ]
    )
    return store


def recall_over(store: MemoryStore, embedder: Embedder, folder: CollectionFolder) -> Recall:
    searchable = IndexReader(folder=folder, store=store, identity=embedder.identity)
    return Recall(embedder=embedder, searchable=searchable)


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "c")


async def test_candidates_come_nearest_first_with_their_texts(folder: CollectionFolder) -> None:
    """Ranks count from 1, similarities are the cosines of the vectors, and the cost is told."""
    embedder = HashEmbedder(dimension=256)
    store = await filled(embedder)
    recalled = await recall_over(store, embedder, folder).find(RecallRequest(query="refund of a parcel", width=3))
    assert [candidate.recall_rank for candidate in recalled.candidates] == [1, 2, 3]
    assert recalled.candidates[0].chunk.text == TEXTS["refund"]
    query = (await embedder.embed_queries(["refund of a parcel"])).vectors[0]
    for candidate in recalled.candidates:
        vector = (await embedder.embed_passages([candidate.chunk.text])).vectors[0]
        assert candidate.similarity == pytest.approx(float(vector @ query), abs=1e-6)
    assert recalled.tokens == len("refund of a parcel") + 1
    assert (recalled.served.generation, recalled.served.store_version) == (None, store.snapshot().version)
    timings = recalled.timings
    assert min(timings.embed_ms, timings.recall_ms, timings.fetch_ms) >= 0.0


async def test_a_quick_search_of_what_is_in_memory_takes_no_thread(
    folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers what a thread would; a search by words, and a wide one, still take a turn of one."""
    embedder = HashEmbedder(dimension=256)
    view = IndexReader(folder=folder, store=await filled(embedder), identity=embedder.identity).view()
    recall = Recall(embedder=embedder, searchable=FixedView(searcher=view), rows=RowCache(bytes_max=1_000_000))
    threaded = Recall(embedder=embedder, searchable=FixedView(searcher=view))
    turns: list[object] = []
    to_thread = asyncio.to_thread

    async def counted(work: Any, *args: Any) -> Any:
        turns.append(work)
        return await to_thread(work, *args)

    monkeypatch.setattr(asyncio, "to_thread", counted)
    query = RecallRequest(query="refund of a parcel", width=3, mode=RecallMode.DENSE)
    quick = await recall.find(query)
    assert not turns
    expected = await threaded.find(query)
    assert len(turns) == 1
    assert (quick.candidates, quick.served) == (expected.candidates, expected.served)
    for other in (replace(query, mode=RecallMode.LEXICAL), replace(query, width=QUICK_WIDTH + 1)):
        turns.clear()
        await recall.find(other)
        assert len(turns) == 1


async def test_only_the_look_at_the_disk_takes_a_thread_where_the_view_is_old(
    folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches that took threads all at once would wait for each other's turns."""
    embedder = HashEmbedder(dimension=256)
    reader = IndexReader(folder=folder, store=await filled(embedder), identity=embedder.identity)
    recall = Recall(embedder=embedder, searchable=reader, rows=RowCache(bytes_max=1_000_000))
    query = RecallRequest(query="refund of a parcel", width=3, mode=RecallMode.DENSE)
    expected = await recall.find(query)
    monkeypatch.setattr(reader_module, "AGE_SECONDS_MAX", 0.0)
    turns: list[object] = []
    to_thread = asyncio.to_thread

    async def counted(work: Any, *args: Any) -> Any:
        turns.append(work)
        return await to_thread(work, *args)

    monkeypatch.setattr(asyncio, "to_thread", counted)
    assert (await recall.find(query)).candidates == expected.candidates
    assert turns == [reader.view]


async def test_search_and_fetch_take_one_turn_of_a_thread(
    folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for a second turn takes as long as the fetch, and longer on busy cores."""
    embedder = HashEmbedder(dimension=256)
    recall = recall_over(await filled(embedder), embedder, folder)
    turns: list[object] = []
    to_thread = asyncio.to_thread

    def counted(work: Any, *arguments: object) -> Any:
        turns.append(work)
        return to_thread(work, *arguments)

    monkeypatch.setattr(asyncio, "to_thread", counted)
    assert len((await recall.find(RecallRequest(query="申请退款", width=2))).candidates) == 2
    assert len(turns) == 1


async def test_the_answer_names_the_generation_it_came_from(folder: CollectionFolder) -> None:
    """And is the same with it as without it."""
    embedder = HashEmbedder(dimension=256)
    store = await filled(embedder)
    without = await recall_over(store, embedder, folder).find(RecallRequest(query="申请退款", width=10))
    publish(folder, store.snapshot(), embedder.identity)
    with_it = await recall_over(store, embedder, folder).find(RecallRequest(query="申请退款", width=10))
    assert (without.served.generation, with_it.served.generation) == (None, "g000001")
    assert [c.chunk for c in with_it.candidates] == [c.chunk for c in without.candidates]
    np.testing.assert_allclose(
        [c.similarity for c in with_it.candidates], [c.similarity for c in without.candidates], atol=1e-6
    )
    assert with_it.candidates[0].chunk.document_id == "退款"


async def test_an_empty_collection_is_not_ready(folder: CollectionFolder) -> None:
    """It is no empty answer."""
    with pytest.raises(CollectionNotReady):
        await recall_over(MemoryStore(), HashEmbedder(), folder).find(RecallRequest(query="anything", width=10))


class CountingEmbedder(HashEmbedder):
    """Uses up the deadline while it embeds."""

    calls = 0

    def __init__(self, deadline: list[Deadline]) -> None:
        super().__init__()
        self._deadline = deadline

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        self.calls += 1
        while not self._deadline[0].has_passed:
            pass
        return await super().embed_queries(texts, task)


async def test_no_stage_starts_after_the_deadline(folder: CollectionFolder) -> None:
    """Not the embedding of a request that arrives too late, and not the search behind a slow embedding."""
    deadline = [Deadline.after_ms(0)]
    embedder = CountingEmbedder(deadline)
    recall = recall_over(await filled(HashEmbedder()), embedder, folder)
    with pytest.raises(DeadlineExceeded, match="before embedding"):
        await recall.find(RecallRequest(query="refund", width=3, deadline=deadline[0]))
    assert embedder.calls == 0
    deadline[0] = Deadline.after_ms(20)
    with pytest.raises(DeadlineExceeded, match="before recall"):
        await recall.find(RecallRequest(query="refund", width=3, deadline=deadline[0]))
    assert embedder.calls == 1


class Passing(Deadline):
    """Passes after so many looks at it."""

    looks = 0

    @property
    def has_passed(self) -> bool:
        Passing.looks -= 1
        return Passing.looks < 0


@pytest.mark.parametrize("rows", [None, RowCache(bytes_max=1_000_000)], ids=["in a thread", "at hand"])
async def test_each_step_looks_at_the_deadline(folder: CollectionFolder, rows: RowCache | None) -> None:
    """Whenever it passes, the next step is the one that is not begun."""
    embedder = HashEmbedder()
    view = IndexReader(folder=folder, store=await filled(embedder), identity=embedder.identity).view()
    recall = Recall(embedder=embedder, searchable=FixedView(searcher=view), rows=rows)
    refused = []
    for looks in range(10):
        Passing.looks = looks
        try:
            await recall.find(
                RecallRequest(query="refund", width=3, mode=RecallMode.DENSE, deadline=Passing(at=math.inf))
            )
        except DeadlineExceeded as error:
            refused.append(error.detail)
    assert list(dict.fromkeys(refused)) == ["before embedding", "before recall", "before fetching texts"]


class SilentEmbedder(HashEmbedder):
    """Never answers a query, like a server that hangs."""

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        await asyncio.sleep(60)
        return await super().embed_queries(texts, task)


async def test_a_silent_embedder_is_left_at_the_deadline(folder: CollectionFolder) -> None:
    """The caller's time is the caller's, whatever the embedder is."""
    recall = recall_over(await filled(HashEmbedder()), SilentEmbedder(), folder)
    with pytest.raises(DeadlineExceeded, match="while embedding"):
        await recall.find(RecallRequest(query="refund", width=3, deadline=Deadline.after_ms(50)))


async def test_one_long_document_leaves_room_for_others(folder: CollectionFolder) -> None:
    """With `documents`, of as many as there are the best chunk is a candidate; the number of candidates holds."""
    embedder = HashEmbedder(dimension=256)
    store = await filled(embedder)
    text = "refund of a parcel. " * 40
    spans = tuple(Span(start=start, end=start + 20) for start in range(0, len(text), 20))
    vectors = (await embedder.embed_passages([text[span.start : span.end] for span in spans])).vectors
    store.replace([EmbeddedDocument(document=Document(id="long", text=text), spans=spans, vectors=vectors)])
    publish(folder, store.snapshot(), embedder.identity)
    recall = recall_over(store, embedder, folder)
    alone = await recall.find(RecallRequest(query="refund of a parcel", width=6, mode=RecallMode.DENSE))
    spread = await recall.find(RecallRequest(query="refund of a parcel", width=6, documents=4, mode=RecallMode.DENSE))
    every = await recall.find(RecallRequest(query="refund of a parcel", width=6, documents=9, mode=RecallMode.DENSE))
    assert [each.chunk.document_id for each in alone.candidates] == ["long"] * 6
    assert [each.chunk.document_id for each in spread.candidates[:3]] == ["long"] * 3
    assert len({each.chunk.document_id for each in spread.candidates}) == 4
    assert {each.chunk.document_id for each in every.candidates} == {"long", *TEXTS}
    for recalled in (spread, every):
        assert [each.recall_rank for each in recalled.candidates] == [1, 2, 3, 4, 5, 6]
        similarities = [each.similarity for each in recalled.candidates]
        assert similarities == sorted(similarities, reverse=True)


async def test_a_narrow_graph_is_searched_without_a_thread(folder: CollectionFolder) -> None:
    """Its time hangs on how widely it is searched, not on how many vectors it has."""
    embedder = HashEmbedder(dimension=256)
    store = await filled(embedder)
    publish(folder, store.snapshot(), embedder.identity)
    view = IndexReader(folder=folder, store=store, identity=embedder.identity).view()
    assert view.opened is not None
    vectors = np.random.default_rng(7).normal(size=(64, 256)).astype(np.float32)
    plan = Plan(recipe=Recipe.HNSW, dimension=256, lists=0, index_bytes=0, building_bytes=0, reason="")
    builder = ApproximateBuilder(plan, vectors)
    builder.add(VectorBatch(numbers=np.arange(64, dtype=np.int64), vectors=vectors))
    for ef_search, is_quick in ((QUICK_EF_SEARCH, True), (QUICK_EF_SEARCH + 1, False)):
        graph = builder.finish({"ef_search": ef_search})
        assert replace(view, opened=replace(view.opened, index=graph)).is_quick == is_quick
