"""retrieval/search/several_queries.py: the lists of several queries become one, by a rule that is easy to recompute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import HashEmbedder, MemoryStore
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, Embeddings
from winnow.retrieval.errors import DeadlineExceeded
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.filters.grammar import parse_filter
from winnow.retrieval.records import Document, EmbeddedDocument, RecallMode, Span
from winnow.retrieval.search.hybrid import Proposal
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.search.recall import Recall, RecallRequest
from winnow.retrieval.search.several_queries import fuse

EMBEDDER = HashEmbedder(dimension=64)
QUERIES = ("refund of a parcel", "reset the password", "申请退款")
WORDS = ("refund", "parcel", "password", "invoice", "退款", "login", "order", "heron")


def proposal(standings: dict[int, float]) -> Proposal:
    ordered = sorted(standings, key=lambda number: (-standings[number], number))
    figures = np.array([standings[number] for number in ordered])
    return Proposal(
        numbers=np.array(ordered, dtype=np.int64),
        similarities=figures.astype(np.float32),
        lexical_scores=np.arange(len(ordered), dtype=np.float32),
        standings=figures,
    )


LISTS = st.lists(
    st.dictionaries(st.integers(0, 30), st.integers(-40, 40).map(lambda each: each / 8), max_size=12),
    min_size=2,
    max_size=5,
)


@given(lists=LISTS, k=st.integers(1, 40))
def test_a_chunk_has_the_mean_of_its_standings(lists: list[dict[int, float]], k: int) -> None:
    """Once each, best first; a list without the chunk counts with its last standing; places are those of the lists."""
    found = [proposal(each) for each in lists]
    fused = fuse(found, k)
    every = {number for each in lists for number in each}
    expected = {
        number: sum(each.get(number, min(each.values())) for each in lists if each) / len(lists) for number in every
    }
    order = sorted(every, key=lambda number: (-expected[number], number))[:k]
    assert fused.numbers.tolist() == order
    assert fused.places is not None
    for number, standing, places in zip(fused.numbers.tolist(), fused.standings, fused.places.tolist(), strict=True):
        assert standing == pytest.approx(expected[number])
        for each, place in zip(found, places, strict=True):
            assert (place == 0) == (number not in each.numbers)
            assert not place or each.numbers[place - 1] == number


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    rng = np.random.default_rng(7)
    documents = [
        Document(id=f"d{place}", text=" ".join(rng.choice(WORDS, size=6)), metadata={"part": place % 2})
        for place in range(60)
    ]
    vectors = (await EMBEDDER.embed_passages([each.text for each in documents])).vectors
    store.replace(
        [
            EmbeddedDocument(
                document=each, spans=(Span(start=0, end=len(each.text)),), vectors=vectors[place : place + 1]
            )
            for place, each in enumerate(documents)
        ]
    )
    return store


def recall_over(store: MemoryStore, tmp_path: Path) -> Recall:
    folder = CollectionFolder(tmp_path / "c")
    return Recall(embedder=EMBEDDER, searchable=IndexReader(folder=folder, store=store, identity=EMBEDDER.identity))


@pytest.mark.parametrize("mode", list(RecallMode))
async def test_candidates_tell_which_query_found_them(store: MemoryStore, tmp_path: Path, mode: RecallMode) -> None:
    """Their places are those of each query alone; cosine and BM25 are the main query's."""
    recall = recall_over(store, tmp_path)
    alone = [await recall.find(RecallRequest(query=query, width=10, mode=mode)) for query in QUERIES]
    main, *further = QUERIES
    together = await recall.find(RecallRequest(query=main, further=tuple(further), width=10, mode=mode))
    assert (together.queries, len(together.candidates)) == (3, 10)
    assert together.tokens == sum(each.tokens for each in alone)
    vector = (await EMBEDDER.embed_queries([main])).vectors[0]
    for rank, candidate in enumerate(together.candidates, start=1):
        number = candidate.chunk.number
        places = tuple(
            next((each.recall_rank for each in found.candidates if each.chunk.number == number), None)
            for found in alone
        )
        passage = (await EMBEDDER.embed_passages([candidate.chunk.passage])).vectors[0]
        of_main = {each.chunk.number: each.lexical_score for each in alone[0].candidates}
        assert (candidate.recall_rank, candidate.found_by) == (rank, places)
        assert any(places)
        assert candidate.similarity == pytest.approx(float(passage @ vector), abs=1e-5)
        assert candidate.lexical_score == of_main.get(number)
    numbers = [each.chunk.number for each in together.candidates]
    assert len(set(numbers)) == len(numbers)


async def test_one_query_is_recalled_as_ever(store: MemoryStore, tmp_path: Path) -> None:
    recalled = await recall_over(store, tmp_path).find(RecallRequest(query=QUERIES[0], width=10))
    assert {each.found_by for each in recalled.candidates} == {()}
    assert recalled.queries == 1


async def test_a_filter_holds_for_every_query(store: MemoryStore, tmp_path: Path) -> None:
    where = parse_filter({"type": "eq", "key": "part", "value": 1})
    request = RecallRequest(query=QUERIES[0], further=QUERIES[1:], width=30, where=where)
    found = await recall_over(store, tmp_path).find(request)
    assert {each.chunk.metadata["part"] for each in found.candidates} == {1}


async def test_the_search_is_widened_for_documents(store: MemoryStore, tmp_path: Path) -> None:
    """Here every document is one chunk, so as many as are wanted are found at once."""
    request = RecallRequest(query=QUERIES[0], further=QUERIES[1:], width=12, documents=12)
    found = await recall_over(store, tmp_path).find(request)
    assert len({each.chunk.document_id for each in found.candidates}) == 12


async def test_no_query_is_searched_after_the_deadline(store: MemoryStore, tmp_path: Path) -> None:
    """It is checked before each of them."""
    searched: list[str] = []

    class Slow(HashEmbedder):
        async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
            searched.extend(texts)
            return await super().embed_queries(texts, task)

    remaining = iter([False, False, False, True])  # before embedding, recall, the first query, the second

    class Passing(Deadline):
        @property
        def has_passed(self) -> bool:
            return next(remaining)

    folder = CollectionFolder(tmp_path / "c")
    reader = IndexReader(folder=folder, store=store, identity=EMBEDDER.identity)
    recall = Recall(embedder=Slow(dimension=64), searchable=reader)
    with pytest.raises(DeadlineExceeded):
        await recall.find(
            RecallRequest(query=QUERIES[0], further=QUERIES[1:], width=10, deadline=Passing(float("inf")))
        )
    assert searched == list(QUERIES), "embedded in one call"
    assert next(remaining, None) is None, "the second query was not searched, and neither was the third"
