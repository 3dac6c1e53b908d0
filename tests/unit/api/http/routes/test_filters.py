"""Filters over HTTP: what they let through, what they refuse, and what a deletion by filter removes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.retrieval.model.tokenizer import PlainTokenizer

ACL = [
    {"id": f"d{at:02}", "text": f"note {at}", "metadata": {"year": 2000 + at, "owner": "ann" if at % 3 else "bob"}}
    for at in range(30)
]
MINE = {"type": "eq", "key": "owner", "value": "bob"}


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(tmp_path, tokenizer, PrefersWord("note"))
    with CheckingClient(create_app(parts), base_url="http://localhost", raise_server_exceptions=False) as client:
        assert client.post("/v1/collections", json={"name": "notes"}).status_code == 201
        assert client.post("/v1/collections/notes/documents", json={"documents": ACL}).status_code == 200
        yield client


def searched(client: TestClient, where: Any, **more: Any) -> Any:
    return client.post("/v1/search", json={"query": "note 7", "collection": "notes", "filter": where, **more})


def ids(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {each["document_id"] for each in answer.json()["results"]}


def test_only_what_matches_is_found_and_all_of_it(client: TestClient) -> None:
    """As many results as were asked for, although most of the nearest are not allowed."""
    assert ids(searched(client, MINE, top_k=10)) == {f"d{at:02}" for at in range(0, 30, 3)}
    late = {"type": "and", "filters": [MINE, {"type": "gt", "key": "year", "value": 2020}]}
    assert ids(searched(client, late, top_k=10)) == {"d21", "d24", "d27"}
    assert ids(searched(client, {"type": "in", "key": "owner", "value": []})) == set()
    assert len(ids(searched(client, None, top_k=30))) == 30


def test_explain_tells_how_a_filter_was_answered(client: TestClient) -> None:
    """How many chunks may answer, of how many, and by which way; only where both were asked for."""
    explained = searched(client, MINE, explain=True).json()
    assert explained["filtered"] == {"matching": 10, "of": 30, "way": "gathered"}
    assert "filtered" not in searched(client, MINE).json()
    assert searched(client, None, explain=True).json()["filtered"] is None


def test_a_collection_tells_what_its_filters_may_name(client: TestClient) -> None:
    """With the types of all that documents had so far, a document that is gone included; in both places."""
    assert client.post("/v1/collections", json={"name": "empty"}).json()["attributes"] == {}
    mixed = {"id": "x", "text": "note", "metadata": {"year": "MMXX", "tags": ["a", "b"], "seen": True, "odd": {"a": 1}}}
    assert client.post("/v1/collections/notes/documents", json=mixed).status_code == 200
    assert client.delete("/v1/collections/notes/documents/x").status_code == 200
    notes = client.get("/v1/collections/notes").json()
    assert notes["attributes"] == {
        "owner": "text",
        "seen": "boolean",
        "tags": "list of texts",
        "year": "number or text",
    }
    listed = client.get("/v1/collections").json()
    assert {each["name"]: each["attributes"] for each in listed["collections"]} == {
        "empty": {},
        "notes": notes["attributes"],
    }


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"type": "eq", "key": "ownr", "value": "bob"}, "'owner' (text), 'year' (number)"),
        (
            {"type": "eq", "key": "year", "value": "2001"},
            "the attribute 'year' is a number and cannot be compared with the text '2001'",
        ),
        ({"type": "eq", "key": "owner"}, "'filter': a filter of type eq needs a field 'value'"),
        ({"type": "and", "filters": [MINE, {}]}, "'filter': at filters.1: the type must be one of eq, ne"),
        ("owner = 'bob' OR 1=1", "a filter must be an object"),
        ([], "a filter must be an object"),
        ({}, "the type must be one of"),
        ({"type": "eq", "key": "owner", "value": {"$ne": None}}, "not an object"),
    ],
)
def test_what_is_wrong_with_a_filter_is_told(client: TestClient, where: Any, said: str) -> None:
    """422, with the attribute, its type and what was given, or the place within the filter."""
    for answer in (
        searched(client, where),
        client.post("/v1/collections/notes/delete", json={"filter": where}),
    ):
        assert answer.status_code == 422
        assert said in answer.json()["detail"]
        assert answer.json()["error"]["code"] == "invalid_request"
        assert answer.json()["error"]["param"].split(".")[0] == "filter"


DEEP = '{"type":"and","filters":[' * 100_000 + "1" + "]}" * 100_000
HOSTILE = [
    DEEP,
    "[" * 100_000 + "]" * 100_000,
    '{"type":"eq","key":"owner","value":' + "9" * 1_000_000 + "}",
    '{"type":"eq","key":"year","value":' + "9" * 4_000 + "}",
    '{"type":"eq","key":"year","value":NaN}',
    '{"type":"eq","key":"year","value":-Infinity}',
    '{"type":"eq","key":"owner","value":"\\ud800"}',
    '{"type":"eq","key":"\\ud800","value":"bob"}',
    '{"type":"eq","key":"owner","value":"bob","\\udfff":1}',
    '{"type":"in","key":"owner","value":[' + ",".join(['"x"'] * 200_000) + "]}",
    '{"type":"or","filters":[' + ",".join(['{"type":"ne","key":"owner","value":"x"}'] * 20_000) + "]}",
    '{"type":"eq","key":"' + "k" * 100_000 + '","value":1}',
    '{"type":"eq","key":"owner\\u0000","value":1}',
    '{"type":"ne","key":"attribute_text_6f776e6572","value":"x"}',
    '{"type":"ne","key":"document_id","value":"x"}',
    '{"type":"eq","type":"ne","key":"owner","value":3}',
]


@pytest.mark.parametrize("written", HOSTILE, ids=lambda written: written[:40])
def test_hostile_filters_are_refused_and_never_widen_what_is_found(client: TestClient, written: str) -> None:
    """A status below 500, quickly, and no document gone."""
    kinds = {"content-type": "application/json"}
    body = '{"query":"note","collection":"notes","filter":%s}' % written  # noqa: UP031  it is full of braces
    answer = client.post("/v1/search", content=body.encode(), headers=kinds)
    assert answer.status_code in {413, 422}, answer.text[:200]
    assert len(answer.content) < 4_000
    body = '{"filter":%s}' % written  # noqa: UP031
    assert client.post("/v1/collections/notes/delete", content=body.encode(), headers=kinds).status_code in {413, 422}
    assert client.get("/v1/collections/notes").json()["documents"] == 30


def test_a_deletion_by_filter_removes_all_that_match_at_once(client: TestClient) -> None:
    """In one commit; what is left is still found, and the same again removes nothing."""
    counted = client.post("/v1/collections/notes/delete", json={"filter": MINE, "dry_run": True}).json()
    assert (counted["documents"], counted["dry_run"]) == (10, True)
    assert client.get("/v1/collections/notes").json()["documents"] == 30
    gone = client.post("/v1/collections/notes/delete", json={"filter": MINE})
    assert gone.json() == {
        "collection": "notes",
        "documents": 10,
        "dry_run": False,
        "store_version": counted["store_version"] + 1,
    }
    assert ids(searched(client, MINE)) == set()
    assert len(ids(searched(client, None, top_k=30))) == 20
    again = client.post("/v1/collections/notes/delete", json={"filter": MINE}).json()
    assert (again["documents"], again["store_version"]) == (0, gone.json()["store_version"])


@pytest.mark.parametrize("body", [{}, {"filter": None}, {"dry_run": True}, {"filter": {"type": "and", "filters": []}}])
def test_a_deletion_without_a_condition_is_refused(client: TestClient, body: Any) -> None:
    """Nobody empties a collection by leaving something out."""
    assert client.post("/v1/collections/notes/delete", json=body).status_code == 422
    assert client.get("/v1/collections/notes").json()["documents"] == 30


def test_a_collection_of_somebody_else_is_not_there(client: TestClient) -> None:
    """A filter comes after the collection: it cannot reach another one."""
    answer = client.post("/v1/collections/others/delete", json={"filter": MINE})
    assert answer.status_code == 404
