"""Each method against the real service, by values."""

from __future__ import annotations

import pytest

from winnow_client import AsyncClient, AuthenticationFailed, Client, Conflict, NotFound

DOCUMENTS = (
    {"id": "herons", "title": "Herons", "text": "The heron strikes at fish.", "year": 2019},
    {"id": "refunds", "title": "Refunds", "text": "A refund takes fourteen days.", "year": 2021},
    {"id": "zh/退货", "title": "退货", "text": "七日内有权退货。", "metadata": {"year": 2024}},
)


@pytest.fixture
def filled(winnow: Client) -> Client:
    winnow.create_collection("docs", chunk_tokens=64)
    assert winnow.write("docs", DOCUMENTS).accepted == 3
    return winnow


def test_a_search_returns_what_was_written_in_the_rerankers_order(filled: Client) -> None:
    found = filled.search("refund", collection="docs", top_k=2, rerank="always", explain=True)
    assert found["results"][0]["document_id"] == "refunds"
    assert found["results"][0]["relevance"] == 0.9
    assert len(found["results"]) == 2
    assert len(found["explain"]) == 3


def test_a_collection_lives_from_its_making_to_its_removal(winnow: Client) -> None:
    made = winnow.create_collection("docs", chunk_tokens=64)
    assert (made["name"], made["chunk_tokens"], made["documents"]) == ("docs", 64, 0)
    with pytest.raises(Conflict, match="docs") as refused:
        winnow.create_collection("docs")
    assert (refused.value.code, refused.value.status) == ("collection_exists", 409)
    assert refused.value.request_id
    assert winnow.collections() == [winnow.collection("docs")] == [made]
    assert winnow.change_collection("docs", demote_query_echo=True)["demote_query_echo"] is True
    assert winnow.delete_collection("docs") == {"deleted": "docs"}
    with pytest.raises(NotFound) as missing:
        winnow.collection("docs")
    assert missing.value.code == "collection_not_found"


def test_texts_of_the_caller_are_reranked(winnow: Client) -> None:
    answer = winnow.rerank("refund", ["A heron.", "A refund.", "七日"], top_n=2)
    assert answer["results"][0]["index"] == 1
    assert len(answer["results"]) == 2


def test_documents_are_read_listed_and_removed(filled: Client) -> None:
    """Ids with slashes and other scripts too."""
    assert filled.fetch("docs", "zh/退货")["text"] == "七日内有权退货。"
    assert filled.fetch("docs", "refunds", start=2, end=8)["text"] == "refund"
    assert [each["id"] for each in filled.documents("docs", page=1)] == ["herons", "refunds", "zh/退货"]
    new = {"key": "year", "type": "gte", "value": 2021}
    assert [each["id"] for each in filled.documents("docs", where=new)] == ["refunds", "zh/退货"]
    assert filled.delete_document("docs", "zh/退货") == {"deleted": "zh/退货"}
    assert filled.delete_documents("docs", new, dry_run=True)["documents"] == 1
    assert filled.delete_documents("docs", new)["documents"] == 1
    assert [each["id"] for each in filled.documents("docs")] == ["herons"]


async def test_the_asynchronous_client_answers_the_same(url: str, filled: Client) -> None:
    async with AsyncClient(url, key="secret") as winnow:
        assert await winnow.collections() == filled.collections()
        assert [each async for each in winnow.documents("docs", page=2)] == [*filled.documents("docs")]
        assert (await winnow.write("docs", DOCUMENTS)).unchanged == 3


def test_a_wrong_key_is_refused(url: str) -> None:
    with Client(url, key="wrong") as stranger, pytest.raises(AuthenticationFailed) as refused:
        stranger.collections()
    assert (refused.value.status, refused.value.code) == (401, "key_refused")
