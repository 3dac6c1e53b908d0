"""Each method against the real service, by values."""

from __future__ import annotations

import pytest

from winnow_client import AsyncClient, AuthenticationFailed, Client, Conflict, InvalidRequest, NotFound, Unavailable

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


def test_a_conversation_or_several_queries_stand_in_place_of_a_query(filled: Client) -> None:
    """The service here has no chat model, so the last turn is searched."""
    talk = [
        {"role": "user", "content": "How does a heron catch fish?"},
        {"role": "assistant", "content": "The heron."},
        {"role": "user", "content": "And the refund?"},
    ]
    found = filled.search(collection="docs", messages=talk, queries=["heron"])
    assert (found["query_used"], found["rewrite"]["reason"]) == ("And the refund?", "not_configured")
    assert filled.search(collection="docs", queries=["heron", "refund"])["query_used"] == "heron"
    with pytest.raises(InvalidRequest, match="query"):
        filled.search(collection="docs")


def test_a_collection_lives_from_its_making_to_its_removal(winnow: Client) -> None:
    made = winnow.create_collection("docs", chunk_tokens=64)
    assert (made["name"], made["chunk_tokens"], made["documents"]) == ("docs", 64, 0)
    with pytest.raises(Conflict, match="docs") as refused:
        winnow.create_collection("docs")
    assert (refused.value.code, refused.value.status) == ("collection_exists", 409)
    assert refused.value.request_id
    found = winnow.collection("docs")
    assert found["disk_bytes"] is not None, "asked for one collection, the service also looks at its files"
    assert winnow.collections() == [{**found, "disk_bytes": None}]
    assert found == made
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


def test_texts_are_embedded_and_scored(winnow: Client) -> None:
    embedded = winnow.embed(["A heron.", "A refund."])
    assert [each["index"] for each in embedded["data"]] == [0, 1]
    alone = winnow.embed("A refund.")
    assert alone["data"][0]["embedding"] == embedded["data"][1]["embedding"]
    scored = winnow.score("refund", ["A heron.", "A refund."])
    assert scored["data"][1]["score"] > scored["data"][0]["score"]


def test_instructions_are_published_listed_and_chosen(filled: Client) -> None:
    made = filled.publish_instruction("birds", "Prefer passages about birds.", purpose="tests")
    assert (made["name"], made["version"], made["state"], made["purpose"]) == ("birds", 1, "published", "tests")
    assert filled.instruction("birds")["versions"] == [made]
    assert made in filled.instructions()["instructions"]
    built_in = filled.instructions()["built_in"][0]
    assert filled.instruction(f"builtin/{built_in['name'].removeprefix('builtin/')}")
    assert filled.default_instruction() == {"instruction": None}
    assert filled.set_default_instruction("birds") == filled.default_instruction() == {"instruction": "birds"}
    assert filled.set_default_instruction(None) == {"instruction": None}
    found = filled.search("refund", collection="docs", instruction={"name": "birds"}, rerank="always")
    assert (found["instruction"]["name"], found["instruction"]["version"]) == ("birds", 1)
    tried = filled.try_instructions("refund", ["default", "birds@1"], collection="docs", top_k=2)
    assert len(tried["columns"]) == 2


def test_feedback_is_stored(filled: Client) -> None:
    found = filled.search("refund", collection="docs")
    stored = filled.feedback(found["id"], "refunds", grade=2, judge="ann")
    assert (stored["document_id"], stored["grade"], stored["judge"]) == ("refunds", 2, "ann")


def test_any_other_route_can_be_called(filled: Client) -> None:
    with pytest.raises(Unavailable) as unready:  # the models of these tests are not worth serving
        filled.ready()
    assert unready.value.body["status"] == "not ready"
    assert filled.models()["data"]
    assert filled.request("GET", "/v1/limits")["tenant"] == "default"
    judged = filled.request("GET", "/v1/judgments", params={"limit": 1, "judge": None})
    assert judged["judgments"] == []


def test_a_refusal_names_the_field(filled: Client) -> None:
    with pytest.raises(InvalidRequest, match="top_k") as refused:
        filled.search("refund", collection="docs", top_k=0)
    assert (refused.value.param, refused.value.code) == ("top_k", "invalid_request")


def test_what_the_service_rejects_is_told(winnow: Client) -> None:
    """By its place, over several batches."""
    winnow.create_collection("docs")
    documents = [{"id": str(number), "text": f"Number {number}."} for number in range(1, 8)]
    documents[4] = {"id": "5", "title": "no text"}
    done = winnow.write("docs", documents, batch_documents=2)
    assert (done.accepted, done.documents, done.rejected_count) == (6, 7, 1)
    assert (done.rejected[0]["line"], done.rejected[0]["id"]) == (5, "5")
    assert done.store_version == winnow.collection("docs")["store_version"]
    with pytest.raises(InvalidRequest, match="all 1 documents were rejected"):
        winnow.write("docs", [documents[4]])
