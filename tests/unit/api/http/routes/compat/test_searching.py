"""Searches in every dialect: results, thresholds, filters and display scores as their clients expect them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import FailingReranker, PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.api.http.routes.compat.searching import without_unknown
from winnow.retrieval.errors import RerankTimeout
from winnow.retrieval.filters.grammar import Combination, Comparison, Filter, Joint, Op
from winnow.retrieval.model.tokenizer import PlainTokenizer

DOCUMENTS = [
    {"id": "heron", "title": "Heron", "text": "The heron fishes in water.", "url": "https://example.org/heron",
     "metadata": {"lang": "en", "year": 2020, "day": "2024-05-01"}},
    {"id": "苍鹭", "title": "苍鹭", "text": "苍鹭 heron 捕鱼。", "metadata": {"lang": "zh", "year": 2024}},
    {"id": "rent", "text": "A contract about rent.", "metadata": {"lang": "en", "year": 2022, "note": ""}},
]  # fmt: skip


@pytest.fixture(params=["judged", "degraded"])
def client(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    reranker = PrefersWord("heron") if request.param == "judged" else FailingReranker(RerankTimeout("slow"))
    app = create_app(parts_over(tmp_path, tokenizer, reranker))
    with CheckingClient(app, base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "birds"})
        assert client.post("/v1/collections/birds/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield client


def is_judged(client: TestClient) -> bool:
    return bool(client.post("/v1/search", json={"query": "heron", "collection": "birds"}).json()["degraded"] is None)


def asked(client: TestClient, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def retrieved(client: TestClient, *conditions: tuple[str, str, Any], joint: str = "and", **setting: Any) -> Any:
    condition = {
        "logical_operator": joint,
        "conditions": [{"name": n, "comparison_operator": o, "value": v} for n, o, v in conditions],
    }
    body = {
        "knowledge_id": "birds",
        "query": "heron",
        "retrieval_setting": {"top_k": 5, "score_threshold": 0} | setting,
    }
    return asked(client, "/retrieval", body | ({"metadata_condition": condition} if conditions else {}))


def found(body: Any) -> set[str]:
    return {each["metadata"]["document_id"] for each in body["records"]}


def test_the_collection_may_stand_in_the_path(client: TestClient) -> None:
    body = {"query": "heron", "top_k": 2, "filter": {"type": "eq", "key": "lang", "value": "en"}}
    here = asked(client, "/v1/collections/birds/search", body)
    there = asked(client, "/v1/search", body | {"collection": "birds"})
    assert [each["document_id"] for each in here["results"]] == [each["document_id"] for each in there["results"]]
    assert client.post("/v1/collections/none/search", json=body).status_code == 404
    assert client.post("/v1/collections/birds/search", json=body | {"collection": "birds"}).status_code == 422


def test_links_have_a_name_where_there_is_no_url(client: TestClient) -> None:
    """The bare list that Open WebUI reads."""
    said = asked(client, "/v1/collections/birds/web_search", {"query": "heron", "count": 3})
    assert {each["link"] for each in said} == {
        "https://example.org/heron", "urn:winnow:birds:%E8%8B%8D%E9%B9%AD", "urn:winnow:birds:rent"
    }  # fmt: skip
    assert all(sorted(each) == ["link", "snippet", "title"] and each["title"] for each in said)


def test_vector_stores_are_collections(client: TestClient) -> None:
    listed = client.get("/v1/vector_stores").json()
    one = client.get("/v1/vector_stores/birds").json()
    assert (listed["data"], listed["has_more"]) == ([one], False)
    assert (one["object"], one["status"], one["file_counts"]["total"]) == ("vector_store", "completed", 3)
    assert client.get("/v1/vector_stores", params={"after": "birds"}).json()["data"] == []
    assert client.get("/v1/vector_stores/none").status_code == 404


def test_a_vector_store_is_searched_in_openais_shape(client: TestClient) -> None:
    """All of litellm's options may be null."""
    nulls = dict.fromkeys(("filters", "max_num_results", "ranking_options", "rewrite_query", "instruction"), None)
    said = asked(client, "/v1/vector_stores/birds/search", {"query": ["heron", "fish"]} | nulls)
    assert (said["search_query"], said["has_more"], said["next_page"]) == (["heron", "fish"], False, None)
    hits = {each["file_id"]: each for each in said["data"]}
    assert hits["苍鹭"]["attributes"] == {"lang": "zh", "year": 2024}
    assert hits["rent"]["filename"] == "rent"
    scores = [each["score"] for each in said["data"]]
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert scores == sorted(scores, reverse=True)
    assert [each is None for each in said["winnow"]["relevance"]] == [not is_judged(client)] * 3


def test_a_threshold_applies_to_relevance_and_to_nothing_else(client: TestClient) -> None:
    """Where nothing was reranked, all results are there, and the answer says why."""
    body = {"query": "heron", "ranking_options": {"score_threshold": 0.5, "ranker": "auto"}}
    said = asked(client, "/v1/vector_stores/birds/search", body)
    kept = {each["file_id"] for each in said["data"]}
    if is_judged(client):
        assert (kept, said["winnow"]["threshold_applied"], said["winnow"]["reason"]) == ({"heron", "苍鹭"}, True, None)
        assert found(retrieved(client, score_threshold=0.5)) == {"heron", "苍鹭"}
    else:
        assert (len(kept), said["winnow"]["threshold_applied"], said["winnow"]["reason"]) == (3, False, "timeout")
        assert retrieved(client, score_threshold=0.5)["reason"] == "timeout"
    without = retrieved(client)
    assert (without["threshold_applied"], without["reason"]) == (False, None if is_judged(client) else "timeout")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"type": "eq", "key": "never", "value": 1}, set()),
        ({"type": "ne", "key": "never", "value": 1}, {"heron", "苍鹭", "rent"}),
        ({"type": "or", "filters": [{"type": "eq", "key": "never", "value": 1},
                                    {"type": "eq", "key": "lang", "value": "zh"}]}, {"苍鹭"}),
        ({"type": "and", "filters": [{"type": "nin", "key": "never", "value": [1]},
                                     {"type": "gt", "key": "year", "value": 2021}]}, {"苍鹭", "rent"}),
    ],
)  # fmt: skip
def test_a_filter_on_an_unseen_attribute_matches_nothing(client: TestClient, where: Any, expected: set[str]) -> None:
    said = asked(client, "/v1/vector_stores/birds/search", {"query": "heron", "filters": where})
    assert {each["file_id"] for each in said["data"]} == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("lang", "is", "en"), {"heron", "rent"}),
        (("lang", "is not", "en"), {"苍鹭"}),
        (("year", "=", "2020"), {"heron"}),
        (("year", "≠", 2020), {"苍鹭", "rent"}),
        (("year", ">", 2020), {"苍鹭", "rent"}),
        (("year", "≥", "2022"), {"苍鹭", "rent"}),
        (("year", "<", 2022), {"heron"}),
        (("year", "≤", 2022), {"heron", "rent"}),
        (("lang", "contains", "E"), {"heron", "rent"}),
        (("lang", "not contains", "e"), {"苍鹭"}),
        (("lang", "start with", "z"), {"苍鹭"}),
        (("lang", "end with", "n"), {"heron", "rent"}),
        (("note", "empty", None), {"heron", "苍鹭", "rent"}),
        (("day", "not empty", None), {"heron"}),
        (("day", "before", "2024-05-02"), {"heron"}),
        (("day", "after", "2024-05-02"), set()),
        (("lang", "in", ["zh", "fr"]), {"苍鹭"}),
        (("lang", "in", "zh, fr"), {"苍鹭"}),
        (("lang", "not in", ["zh"]), {"heron", "rent"}),
    ],
)
def test_every_operator_of_dify_is_understood(
    client: TestClient, condition: tuple[str, str, Any], expected: set[str]
) -> None:
    assert found(retrieved(client, condition)) == expected
    both = retrieved(client, condition, ("year", "≥", 0))
    assert found(both) == expected
    either = retrieved(client, condition, ("lang", "start with", "z"), joint="or")
    assert found(either) == expected | {"苍鹭"}


def test_dify_finds_what_it_reads(client: TestClient) -> None:
    """Metadata is an object; its probe has no body, and any status but 403, 404 and 502 is right."""
    (record,) = [each for each in retrieved(client)["records"] if each["title"] == "Heron"]
    assert record["content"] == "The heron fishes in water."
    assert record["metadata"]["url"] == "https://example.org/heron"
    assert client.post("/retrieval").status_code == 422
    missing = {"knowledge_id": "none", "query": "heron", "retrieval_setting": {"top_k": 1, "score_threshold": 0.5}}
    assert client.post("/retrieval", json=missing).status_code == 404


COMPARISONS = st.builds(
    lambda key, op: Comparison(key=key, op=op, values=(1,)), st.sampled_from("abc"), st.sampled_from([Op.EQ, Op.NE])
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda inner: st.builds(
        lambda joint, parts: Combination(joint=joint, filters=tuple(parts)),
        st.sampled_from(Joint),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


def holds(where: Filter | bool, values: dict[str, int]) -> bool:  # noqa: FBT001
    if isinstance(where, bool):
        return where
    if isinstance(where, Comparison):
        return (values.get(where.key) == 1) is (where.op is Op.EQ)
    return (all if where.joint is Joint.AND else any)(holds(each, values) for each in where.filters)


@given(FILTERS, st.sets(st.sampled_from("abc")))
def test_leaving_out_unseen_attributes_changes_no_answer(where: Filter, known: set[str]) -> None:
    for numbers in itertools.product((0, 1), repeat=len(known)):
        values = dict(zip(sorted(known), numbers, strict=True))
        assert holds(without_unknown(where, known), values) is holds(where, values)
