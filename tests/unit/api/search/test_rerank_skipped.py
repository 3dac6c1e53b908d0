"""Where relevance has no weight the reranker is not run, the answer says so, and nothing else is affected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import HashEmbedder, PrefersWord
from winnow.api.assemble import Services, wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.search.shadowing import ShadowOutcome
from winnow.api.settings import Settings
from winnow.api.tenancy.quotas import REFRESH_SECONDS
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.retrieval.catalog.quotas import TenantLimits
from winnow.retrieval.catalog.sql.quotas import SqlLimitBook
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

DOCUMENTS = [{"id": name, "text": f"birds: the {name} stands", "legs": 2} for name in ("heron", "stork", "crane")]
SEARCH = {"query": "birds", "collection": "docs"}


class OnlyInstructed(PrefersWord):
    """Has a say only under an instruction, like the bundled pair."""

    def changes_order(self, instruction: str) -> bool:
        return instruction != DEFAULT_INSTRUCTION


@pytest.fixture
def reranker() -> OnlyInstructed:
    return OnlyInstructed("stork")


@pytest.fixture
def parts(tmp_path: Path, tokenizer: PlainTokenizer, reranker: OnlyInstructed) -> Services:
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    return wire(Settings(data=tmp_path), embedding, LoadedReranker(reranker=reranker, runs_on="words", device="cpu"))


@pytest.fixture
def client(parts: Services, reranker: OnlyInstructed) -> Iterator[TestClient]:
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
        reranker.instructions.clear()  # the known pairs that are asked at the start
        yield client


def search(client: TestClient, **changed: Any) -> Any:
    found = client.post("/v1/search", json=SEARCH | changed)
    assert found.status_code == 200, found.text
    return found.json()


def order(answer: Any) -> list[str]:
    return [each["document_id"] for each in answer["results"]]


def test_without_an_instruction_the_answer_is_recalls_and_says_why(
    client: TestClient, reranker: OnlyInstructed
) -> None:
    """Nothing failed, nothing was computed, and no relevance is invented."""
    answer = search(client, explain=True)
    plain = search(client, rerank=False, candidates=30)
    assert order(answer) == order(plain)
    assert (answer["rerank_skipped"], plain["rerank_skipped"]) == ("no_weight", "not_requested")
    assert (answer["judged_by"], answer["ranked_by"], answer["degraded"]) == ("recall-order", "recall-order", None)
    assert {each["relevance"] for each in (*answer["results"], *answer["explain"])} == {None}
    assert answer["timings_ms"]["rerank"] is None
    usage = answer["usage"]
    assert (usage["rerank_tokens"], usage["judged"], usage["remembered"], usage["candidates"]) == (0, 0, 0, 3)
    assert reranker.instructions == []


@pytest.mark.parametrize("asked", [{"rerank": "always"}, {"min_relevance": 0.5}, {"instruction": "Prefer storks."}])
def test_who_asks_for_relevance_gets_it(client: TestClient, reranker: OnlyInstructed, asked: dict[str, Any]) -> None:
    """By name, by a threshold on it, or by an instruction."""
    answer = search(client, **asked)
    assert (answer["rerank_skipped"], answer["judged_by"]) == (None, "prefers-word")
    assert answer["results"][0]["relevance"] == 0.9
    assert len(reranker.instructions) == 1


def test_the_default_instruction_in_a_requests_own_words_is_none(client: TestClient) -> None:
    """What counts is the text that the reranker would read."""
    assert search(client, instruction=DEFAULT_INSTRUCTION)["rerank_skipped"] == "no_weight"


def test_nothing_found_leaves_nothing_to_rerank(client: TestClient) -> None:
    answer = search(client, instruction="x", filter={"type": "eq", "key": "legs", "value": 3})
    assert (answer["rerank_skipped"], answer["results"]) == ("no_candidates", [])


def test_a_tenant_without_tokens_left_is_served_what_costs_none(client: TestClient, parts: Services) -> None:
    """And refused, as before, what would cost some."""
    SqlLimitBook(parts.disk.catalog.database).set_limits(DEFAULT_TENANT, TenantLimits(rerank_tokens_per_minute=1))
    parts.quotas._read_at -= 2 * REFRESH_SECONDS
    search(client, instruction="x")  # takes more than there is
    search(client)
    refused = client.post("/v1/search", json=SEARCH | {"instruction": "x"})
    assert refused.status_code == 429


def test_the_metrics_tell_skipped_from_degraded(client: TestClient) -> None:
    search(client)
    search(client, rerank=False)
    lines = client.get("/metrics").text.splitlines()
    assert 'winnow_rerank_skipped_total{reason="no_weight"} 1.0' in lines
    assert 'winnow_rerank_skipped_total{reason="not_requested"} 1.0' in lines
    assert {line.split()[1] for line in lines if line.startswith("winnow_degraded_total{")} == {"0.0"}
    assert not any(line.startswith('winnow_stage_seconds_count{asked="search",stage="rerank"}') for line in lines)


def test_a_trial_shows_what_searches_would_answer(client: TestClient, reranker: OnlyInstructed) -> None:
    """The column in use is recall's order without a judgement, the other one is reranked."""
    assert client.post("/v1/instructions", json={"name": "house", "text": "Prefer storks."}).status_code == 201
    body = {"query": "birds", "collection": "docs", "versions": ["default", "house@1"]}
    trial = client.post("/v1/instructions/try", json=body).json()
    in_use, house = trial["columns"]
    assert [each["document_id"] for each in in_use["results"]] == order(search(client))
    assert (in_use["rerank_skipped"], in_use["judged_by"]) == ("no_weight", "recall-order")
    assert (house["rerank_skipped"], house["judged_by"]) == (None, "prefers-word")
    assert house["results"][0]["document_id"] == "stork"
    assert reranker.instructions == ["Prefer storks."]


def test_a_shadow_is_compared_with_an_answer_that_needed_no_reranker(client: TestClient, parts: Services) -> None:
    """How would searches be answered if they had an instruction? The shadow is reranked, the answer is recall's."""
    assert client.post("/v1/instructions", json={"name": "house", "text": "Prefer storks."}).status_code == 201
    said = client.put("/v1/instructions/house/shadow", json={"version": 1, "live": "default", "share": 1.0})
    assert said.status_code == 200, said.text
    assert search(client)["rerank_skipped"] == "no_weight"
    assert client.portal is not None
    client.portal.call(parts.shadowing.settle)
    assert parts.shadowing.figures.outcomes[ShadowOutcome.JUDGED] == 1
    assert parts.shadowing.figures.tokens > 0
