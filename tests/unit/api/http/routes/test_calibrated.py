"""`"min_relevance": "calibrated"`: what is shown, what the answer says, and which searches are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.answers import CheckingClient
from tests.fakes import FailingReranker, PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.api.library.instructions import BUILT_IN, applied_text
from winnow.rerank.reranker import Reranker
from winnow.retrieval.catalog.calibrations import CalibratedFor, Calibration
from winnow.retrieval.document_fields import NO_CHOICE
from winnow.retrieval.errors import RerankTimeout
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

FOR = CalibratedFor(
    reranker="prefers-word", revision="1", instruction_sha256=BUILT_IN.sha256, fields=NO_CHOICE
)  # `PrefersWord` gives 0.9 to passages with its word, and 0.1 to others
CALIBRATION = Calibration(
    tenant=DEFAULT_TENANT,
    collection="docs",
    measured_for=FOR,
    instruction="default@1",
    threshold=0.9,
    precision=0.8,
    confidence=0.95,
    lower=0.81,
    observed=0.9,
    coverage=0.5,
    kept=0.5,
    queries=100,
    tested=80,
    answered=40,
    top_k=10,
    candidates=30,
    seed=1,
    made_at=datetime(2026, 1, 1, tzinfo=UTC),
)
DOCUMENTS = [{"id": word, "text": f"about a {word}, and more", "metadata": {"size": 3}} for word in ("refund", "heron")]


class Deployment:
    """A service with one collection, and its catalog."""

    def __init__(self, folder: Path, tokenizer: PlainTokenizer, reranker: Reranker) -> None:
        self.parts = parts_over(folder, tokenizer, reranker)
        self.client = CheckingClient(create_app(self.parts), base_url="http://localhost")

    def put(self, **changes: Any) -> None:
        self.parts.disk.catalog.calibrations.put(replace(CALIBRATION, **changes))

    def search(self, **asked: Any) -> Any:
        body = {"query": "about", "collection": "docs", "min_relevance": "calibrated", **asked}
        return self.client.post("/v1/search", json=body)

    def refusal(self, **asked: Any) -> str:
        found = self.search(**asked)
        assert (found.status_code, found.json()["error"]["code"]) == (409, "not_calibrated"), found.text
        return str(found.json()["detail"])


@pytest.fixture
def deployment(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[Deployment]:
    yield from deployed(tmp_path, tokenizer, PrefersWord("refund"))


def deployed(folder: Path, tokenizer: PlainTokenizer, reranker: Reranker) -> Iterator[Deployment]:
    made = Deployment(folder, tokenizer, reranker)
    with made.client as client:
        client.post("/v1/collections", json={"name": "docs"})
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield made


def test_only_what_reaches_the_threshold_is_shown(deployment: Deployment) -> None:
    """A relevance that equals it does. Each result says so, each explained candidate whether, and coverage is there."""
    deployment.put()
    body = deployment.search(explain=True).json()
    assert [(each["document_id"], each["above_threshold"]) for each in body["results"]] == [("refund", True)]
    assert {each["document_id"]: each["above_threshold"] for each in body["explain"]} == {
        "refund": True,
        "heron": False,
    }
    assert body["answerable"] is True
    assert body["calibration"] == {"threshold": 0.9, "precision": 0.8, "confidence": 0.95, "coverage": 0.5}
    grouped = deployment.search(group_by_document=True).json()
    assert [each["above_threshold"] for each in grouped["results"]] == [True]


def test_where_nothing_reaches_it_the_query_is_not_answerable(deployment: Deployment) -> None:
    """Nor where recall finds nothing."""
    deployment.put(threshold=0.95)
    for asked in ({}, {"filter": {"type": "eq", "key": "size", "value": 4}}):
        body = deployment.search(**asked).json()
        assert (body["results"], body["answerable"], body["calibration"]["threshold"]) == ([], False, 0.95)
    assert body["rerank_skipped"] == "no_candidates"


def test_other_searches_say_nothing_about_it(deployment: Deployment) -> None:
    deployment.put()
    body = deployment.search(min_relevance=0.5, explain=True).json()
    parts = (body, *body["results"], *body["explain"])
    assert not {"answerable", "calibration", "above_threshold"} & {name for part in parts for name in part}


def test_an_answer_that_was_not_reranked_is_not_answerable(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """It is shown, in recall's order and marked as degraded; no passage is said to reach the threshold."""
    for deployment in deployed(tmp_path, tokenizer, FailingReranker(RerankTimeout("now"))):
        deployment.put(measured_for=replace(FOR, reranker="failing"))
        body = deployment.search().json()
        assert body["degraded"]["reason"] == "timeout"
        assert {each["above_threshold"] for each in body["results"]} == {False}
        assert (len(body["results"]), body["answerable"]) == (2, False)


def test_a_threshold_holds_for_nothing_else(deployment: Deployment) -> None:
    """Not for another reranker, model, instruction, field or more results; each refusal says what differs."""
    assert "docs has none for any reranker" in deployment.refusal()
    assert "winnow calibrate docs" in deployment.refusal()
    deployment.put(measured_for=replace(FOR, reranker="another"))
    assert "none for prefers-word, only for another" in deployment.refusal()
    deployment.put(measured_for=replace(FOR, revision="0"))
    assert "for another model of this name" in deployment.refusal()
    deployment.put()
    assert deployment.search().status_code == 200
    assert "under your instruction, only for other instructions" in deployment.refusal(instruction="Prefer herons.")
    deployment.put(measured_for=replace(FOR, instruction_sha256=applied_text("Prefer herons.").sha256))
    assert deployment.search(instruction="Prefer herons.").status_code == 200
    assert "for 10 results at most" in deployment.refusal(top_k=11)
    changed = deployment.client.patch("/v1/collections/docs", json={"rerank_fields": ["size"]})
    assert changed.status_code == 200, changed.text
    assert "the fields that the reranker reads were changed" in deployment.refusal()


def test_a_new_collection_of_the_name_does_not_inherit_it(deployment: Deployment) -> None:
    deployment.put()
    assert deployment.client.delete("/v1/collections/docs").status_code in {200, 204}
    deployment.client.post("/v1/collections", json={"name": "docs"})
    deployment.client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
    assert "docs has none for any reranker" in deployment.refusal()


def test_a_wrong_minimum_is_refused_by_name(deployment: Deployment) -> None:
    for asked, said in (
        ({"min_relevance": "Calibrated"}, "'min_relevance': a number without quotes, or 'calibrated', is expected"),
        ({"min_relevance": "0.5"}, "'min_relevance': a number without quotes, or 'calibrated', is expected"),
        ({"min_relevance": 1.5}, "'min_relevance'"),
        ({"min_relevance": True}, "'min_relevance': a number is expected"),
        ({"min_relevance": [0.5]}, "'min_relevance': a number is expected"),
        ({"rerank": False}, "min_relevance needs rerank"),
    ):
        found = deployment.search(**asked)
        assert found.status_code == 422
        assert said in found.json()["detail"]
