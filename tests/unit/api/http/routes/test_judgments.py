"""Feedback about searches over HTTP, and the judgments that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.http.app import create_app
from winnow.api.http.routes.access import FIRST_KEY
from winnow.retrieval.catalog.judgments import digest_of
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, TenantName

QUERY = "七日内有权退货"


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(tmp_path, tokenizer, PrefersWord("退货"))
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "docs"})
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
        yield client


def search(client: TestClient, **more: Any) -> Any:
    return client.post("/v1/search", json={"query": QUERY, "collection": "docs", "top_k": 2} | more).json()


def give(client: TestClient, search_id: str, document_id: str, **more: Any) -> Any:
    return client.post("/v1/feedback", json={"search_id": search_id, "document_id": document_id, **more})


def test_feedback_becomes_a_judgment_of_the_searchs_query(client: TestClient) -> None:
    """With digest and no text by default; thumbs changed are one judgment, a click stands beside it."""
    found = search(client)
    given = give(client, found["id"], "zh/退货", grade=1, judge="ada")
    assert given.status_code == 200
    body = given.json()
    assert body | {"at": None} == {
        "collection": "docs",
        "query_sha256": digest_of(QUERY),
        "query": None,
        "document_id": "zh/退货",
        "kind": "grade",
        "grade": 1,
        "source": "person",
        "judge": "ada",
        "at": None,
    }
    give(client, found["id"], "zh/退货", grade=0, judge="ada")
    give(client, search(client)["id"], "zh/退货", click=True, judge="ada")
    listed = client.get("/v1/judgments", params={"collection": "docs"}).json()
    assert [(each["kind"], each["grade"]) for each in listed["judgments"]] == [("grade", 0), ("click", None)]


def test_the_key_is_the_judge_where_none_is_named(client: TestClient) -> None:
    assert give(client, search(client)["id"], "zh/退货", grade=1).json()["judge"] == "loopback"


def test_texts_are_kept_where_the_tenant_allows_it(client: TestClient) -> None:
    """And deleted when it no longer does."""
    assert client.put("/v1/judgments/settings", json={"keep_queries": True}).json() == {"keep_queries": True}
    assert give(client, search(client)["id"], "zh/退货", grade=1).json()["query"] == QUERY
    listed = client.get("/v1/judgments").json()
    assert (listed["keeps_queries"], [each["query"] for each in listed["judgments"]]) == (True, [QUERY])
    client.put("/v1/judgments/settings", json={"keep_queries": False})
    listed = client.get("/v1/judgments").json()
    assert (listed["keeps_queries"], [each["query"] for each in listed["judgments"]]) == (False, [None])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "either grade or click"),
        ({"grade": 1, "click": True}, "either grade or click"),
        ({"grade": 11}, "grade"),
        ({"grade": True}, "a number is expected"),
        ({"grade": 1, "judge": " "}, "must not be blank"),
        ({"grade": 1, "judge": "a\0b"}, "NUL"),
        ({"grade": 1, "tenant": "other"}, "unknown"),
    ],
)
def test_wrong_feedback_is_refused(client: TestClient, more: dict[str, Any], said: str) -> None:
    refused = give(client, search(client)["id"], "zh/退货", **more)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_request")
    assert said in refused.json()["detail"]
    assert client.get("/v1/judgments").json()["judgments"] == []


def test_what_the_answer_did_not_show_cannot_be_judged(client: TestClient) -> None:
    """An unknown search, a rerank's id, a document that was not among the results, a collection that is gone."""
    assert give(client, "req_unknown", "zh/退货", grade=1).json()["error"]["code"] == "search_not_found"
    reranked = client.post("/v1/rerank", json={"query": QUERY, "documents": ["a"]}).json()
    assert give(client, reranked["id"], "0", grade=1).status_code == 404
    found = search(client, top_k=1)
    shown = found["results"][0]["document_id"]
    for each in {"refunds", "herons", "zh/退货"} - {shown}:
        assert give(client, found["id"], each, grade=1).status_code == 422
    client.delete("/v1/collections/docs")
    assert give(client, found["id"], shown, grade=1).json()["error"]["code"] == "collection_not_found"


def test_judgments_go_with_their_collection_and_by_choice(client: TestClient) -> None:
    found = search(client)
    for judge in ("ada", "bob", "cid"):
        give(client, found["id"], "zh/退货", grade=1, judge=judge)
    assert client.delete("/v1/judgments").status_code == 422
    assert client.delete("/v1/judgments", params={"judge": "ada"}).json() == {"removed": 1}
    assert client.delete("/v1/judgments", params={"source": "model"}).json() == {"removed": 0}
    page = client.get("/v1/judgments", params={"limit": 1}).json()["judgments"]
    rest = client.get("/v1/judgments", params={"after": page[0]["number"]}).json()["judgments"]
    assert [each["judge"] for each in (*page, *rest)] == ["bob", "cid"]
    client.delete("/v1/collections/docs")
    assert client.get("/v1/judgments").json()["judgments"] == []


def test_another_tenants_search_is_as_one_that_never_was(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Byte for byte, with an id of the same length; and a granted collection is judged under its owner's name."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("退货"))
    catalog = parts.disk.catalog
    catalog.tenants.make("other", by=COMMAND_LINE)
    own, others = (
        {"authorization": f"Bearer {catalog.keys.make(each, FIRST_KEY, by=COMMAND_LINE).text}"}
        for each in (DEFAULT_TENANT, TenantName("other"))
    )
    with CheckingClient(create_app(parts), base_url="http://search.example.org") as client:
        client.post("/v1/collections", json={"name": "docs"}, headers=own)
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}, headers=own)
        body = {"query": QUERY, "collection": "docs", "top_k": 2}
        found = client.post("/v1/search", json=body, headers=own).json()
        wanted = {"document_id": "zh/退货", "grade": 1}
        foreign, unknown = (
            client.post("/v1/feedback", json=wanted | {"search_id": each}, headers=others)
            for each in (found["id"], "req_" + "0" * 32)
        )
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["detail"].replace(found["id"], "req_" + "0" * 32) == unknown.json()["detail"]
        client.put("/v1/collections/docs/grants/other", headers=own)
        granted = client.post("/v1/search", json=body | {"collection": "default/docs"}, headers=others).json()
        given = client.post("/v1/feedback", json=wanted | {"search_id": granted["id"]}, headers=others).json()
        assert given["collection"] == "default/docs"
        assert client.get("/v1/judgments", headers=own).json()["judgments"] == []
        named = {"collection": "default/docs"}
        assert len(client.get("/v1/judgments", params=named, headers=others).json()["judgments"]) == 1
        client.delete("/v1/collections/docs/grants/other", headers=own)
        refused = client.post("/v1/feedback", json=wanted | {"search_id": granted["id"]}, headers=others)
        assert refused.json()["error"]["code"] == "collection_not_found"
        client.delete("/v1/collections/docs", headers=own)
        assert client.get("/v1/judgments", headers=others).json()["judgments"] == []
