"""What the adapters share besides filters: connections, and documents made of real answers."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

from winnow_client import Client
from winnow_client.adapters.connections import Connections
from winnow_client.adapters.passages import (
    REPLACED,
    SCORES,
    passages_of,
    reranked,
    sent_documents,
    with_relevance,
)

KEY = "secret"
DOCUMENTS = (
    {"id": "herons", "title": "Herons", "text": "The heron strikes at fish.", "metadata": {"year": 2019}},
    {"id": "refunds", "text": "A refund takes fourteen days.", "metadata": {"title": "own", "score": 7, "year": 2021}},
)


@pytest.fixture
def filled(winnow: Client) -> Client:
    winnow.create_collection("docs", chunk_tokens=64)
    assert winnow.write("docs", DOCUMENTS).accepted == 2
    return winnow


def test_connections_serve_threads_loops_and_copies(filled: Client, url: str) -> None:
    """One object, several event loops one after another, and its copies."""
    first = Connections(url, KEY, 30.0)
    assert first.client is first.client

    async def ask(connections: Connections) -> int:
        async with connections.new_async_client() as client:
            return len((await client.search("refund", collection="docs"))["results"])

    for each in (first, copy.deepcopy(first), pickle.loads(pickle.dumps(first))):  # noqa: S301  our own
        assert asyncio.run(ask(each)) == asyncio.run(ask(each)) == 2
        assert len(each.client.search("refund", collection="docs")["results"]) == 2


def test_what_cannot_be_an_address_or_a_key_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="address"):
        Connections("search.example.com", None, 30.0)
    with pytest.raises(ValueError, match="key"):
        Connections("http://127.0.0.1:9", "a b", 30.0)


def test_passages_keep_metadata_and_add_scores(filled: Client) -> None:
    """A document's own values whose names are taken stand apart, and no answer is changed."""
    found = filled.search("refund", collection="docs", rerank="always")
    before = copy.deepcopy(found)
    first, second = passages_of(found, has_instruction=False)
    assert found == before
    assert first.id == "docs/refunds#0"
    assert first.metadata[REPLACED] == {"title": "own", "score": 7}
    assert first.metadata["year"] == 2021
    assert first.metadata["relevance"] == 0.9
    assert first.metadata["recall_score"] == found["results"][0]["similarity"]
    assert first.score == first.metadata["score"] == found["results"][0]["score"]
    assert REPLACED not in second.metadata
    assert set(SCORES) <= set(second.metadata)


def test_a_search_without_reranking_has_no_relevance(filled: Client) -> None:
    """None, not a number that looks like one."""
    passages = passages_of(filled.search("refund", collection="docs", rerank=False), has_instruction=False)
    assert [each.metadata["relevance"] for each in passages] == [None, None]
    assert {each.metadata["ranked_by"] for each in passages} == {"recall-order"}


def test_reranked_documents_are_cut_at_a_relevance(winnow: Client) -> None:
    """In order, and with the places of the request."""
    answer = winnow.rerank("refund", ["The heron strikes.", "A refund."], return_documents=False)
    both = reranked(answer, min_relevance=None, has_instruction=False)
    assert [each.index for each in both] == [1, 0]
    assert reranked(answer, min_relevance=both[0].relevance, has_instruction=False) == both[:1]


def test_fields_of_metadata_are_sent_before_the_text() -> None:
    """Only those that are named and present, and a text never gives way to one of them."""
    metadata = [{"kind": "law", "text": "other", "year": None}, {}]
    sent = sent_documents(["a", "b"], metadata, ["kind", "year", "text"])
    assert sent == [{"kind": "law", "text": "a"}, {"text": "b"}]
    assert sent_documents(["a", "b"], metadata, None) == ["a", "b"]


def test_a_score_from_before_is_kept() -> None:
    """Unless a retriever stated recall's score already; what was passed in is not changed."""
    metadata = {"recall_score": 0.3, "relevance": None}
    assert with_relevance(metadata, 0.9, 12.5) == {"recall_score": 0.3, "relevance": 0.9}
    assert metadata == {"recall_score": 0.3, "relevance": None}
    assert with_relevance({}, 0.9, 12.5) == {"recall_score": 12.5, "relevance": 0.9}
    assert with_relevance({}, 0.9, None) == {"relevance": 0.9}
