"""A reranker of its own for each collection, over HTTP: chosen, changed, refused, and gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.http.app import create_app
from winnow.retrieval.model.tokenizer import PlainTokenizer


@pytest.fixture
def two_judges(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(tmp_path, tokenizer, PrefersWord("heron", name="small"), PrefersWord("refund", name="large"))
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        yield client


def judge_of(client: TestClient, collection: str) -> str:
    answer = client.post("/v1/search", json={"query": "q", "collection": collection}).json()
    return str(answer["judged_by"])


def test_each_collection_is_judged_by_the_reranker_it_has_chosen(two_judges: TestClient) -> None:
    """Chosen when it is made or later, shown when it is described, and null is back to the default."""
    for name, choice in (("one", {}), ("other", {"reranker": "large"})):
        made = two_judges.post("/v1/collections", json={"name": name} | choice)
        assert (made.status_code, made.json()["reranker"]) == (201, choice.get("reranker"))
        two_judges.post(f"/v1/collections/{name}/documents", json={"documents": DOCUMENTS})
    assert (judge_of(two_judges, "one"), judge_of(two_judges, "other")) == ("small", "large")
    changed = two_judges.patch("/v1/collections/one", json={"reranker": "large"})
    assert (changed.status_code, changed.json()) == (200, two_judges.get("/v1/collections/one").json())
    assert judge_of(two_judges, "one") == changed.json()["reranker"] == "large"
    assert two_judges.patch("/v1/collections/one", json={"reranker": None}).json()["reranker"] is None
    assert judge_of(two_judges, "one") == "small"


def test_a_change_leaves_what_it_does_not_name(two_judges: TestClient) -> None:
    """Left out is not null; an instruction is chosen by the same call."""
    two_judges.post("/v1/instructions", json={"name": "house", "text": "Prefer policies."})
    two_judges.post("/v1/collections", json={"name": "docs", "reranker": "large"})
    for body, choices in (
        ({"instruction": "house"}, ("house", "large")),
        ({}, ("house", "large")),
        ({"reranker": "small"}, ("house", "small")),
        ({"instruction": None}, (None, "small")),
        ({"instruction": "house", "reranker": None}, ("house", None)),
    ):
        said = two_judges.patch("/v1/collections/docs", json=body).json()
        assert (said["instruction"], said["reranker"]) == choices


def test_choices_that_do_not_exist_are_refused(two_judges: TestClient) -> None:
    """The message names what is configured; nothing is made or changed."""
    refused = two_judges.post("/v1/collections", json={"name": "docs", "reranker": "huge"})
    assert refused.status_code == 422
    assert "the reranker 'huge' is not configured; configured are: small, large" in refused.json()["detail"]
    assert two_judges.get("/v1/collections/docs").status_code == 404
    two_judges.post("/v1/collections", json={"name": "docs"})
    for body, status in (({"reranker": "huge"}, 422), ({"instruction": "none"}, 404), ({"rerankr": None}, 422)):
        assert two_judges.patch("/v1/collections/docs", json=body).status_code == status
    assert two_judges.patch("/v1/collections/none", json={"reranker": None}).status_code == 404
    assert two_judges.get("/v1/collections/docs").json()["reranker"] is None


def test_a_rerank_is_judged_by_the_model_it_names(two_judges: TestClient) -> None:
    """Where that is one of ours; clients that send a name of their own get the default, and are told."""
    for model, judge in (("large", "large"), ("rerank-multilingual-v3.0", "small"), (None, "small")):
        said = two_judges.post("/v1/rerank", json={"model": model, "query": "q", "documents": ["a"]})
        assert (said.status_code, said.json()["model"]) == (200, judge)


def test_a_chosen_reranker_that_is_gone_degrades_and_is_told(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """After a restart without it: recall's order for its collection, whose problem /readyz tells; others are well."""
    small, large = PrefersWord("heron", name="small"), PrefersWord("refund", name="large")
    with CheckingClient(
        create_app(parts_over(tmp_path, tokenizer, small, large)), base_url="http://localhost"
    ) as client:
        for name, chosen in (("one", None), ("other", "large")):
            client.post("/v1/collections", json={"name": name, "reranker": chosen})
            client.post(f"/v1/collections/{name}/documents", json={"documents": DOCUMENTS})
        assert client.get("/readyz").json()["models"]["rerankers"] == ["small", "large"]
    with CheckingClient(create_app(parts_over(tmp_path, tokenizer, small)), base_url="http://localhost") as client:
        body = {"query": "q", "collection": "other"}
        degraded = client.post("/v1/search", json=body)
        assert (degraded.status_code, degraded.json()["judged_by"]) == (200, "recall-order")
        assert degraded.json()["degraded"] == {"stage": "rerank", "reason": "unavailable"}
        assert client.post("/v1/search", json=body | {"on_rerank_failure": "error"}).status_code == 503
        assert judge_of(client, "one") == "small"
        told = {each["name"]: each["problem"] for each in client.get("/readyz").json()["collections"]}
        assert told["one"] is None
        assert "has chosen large, but configured are: small" in told["other"]


def test_every_reranker_is_probed(two_judges: TestClient) -> None:
    """One that does not read is found out before a collection depends on it."""
    told = two_judges.get("/readyz").json()
    assert {each["model"] for each in told["models"]["probes"]} >= {"small", "large"}
    for name in ("small", "large"):
        assert any(f"{name} did not separate the known pair" in problem for problem in told["problems"])
