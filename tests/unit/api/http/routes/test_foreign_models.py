"""Other people's models through the whole service: their answers, their failures, a collection for each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import CrossEncoder
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.tiny_foreign_models import describe, write_bert, write_bert_embedder, write_qwen2_causal, write_xlm_roberta
from tests.tiny_models import write_reranker
from winnow.api.assemble import assemble
from winnow.api.http.app import create_app
from winnow.api.search.caches import Caches
from winnow.api.setting_values import FurtherReranker
from winnow.api.settings import Settings
from winnow.retrieval.model.pair_model import PairModel
from winnow.retrieval.model.runtime import device_worker
from winnow.retrieval.tenancy import DEFAULT_TENANT

DOCUMENTS = [
    {"id": "refunds", "text": "A tenant may ask for a refund within seven days of the contract."},
    {"id": "court", "text": "The court decides what is fair."},
    {"id": "zh", "text": "消费者自收到商品之日起七日内有权退货，且无需说明理由。"},
]
QUERY = "a refund within seven days"
SEARCH = {"query": QUERY, "collection": "pairs", "recall": "dense"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("foreign")
    return {
        "embedder": write_bert_embedder(root / "embedder"),
        "bert": write_bert(root / "bert"),
        "xlm": write_xlm_roberta(root / "xlm"),
        "qwen": write_reranker(root / "qwen"),
        "template": describe(
            write_qwen2_causal(root / "template"),
            name="template",
            prompt={"text": "{query} {document}", "yes": "yes"},
        ),
    }


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, folders: dict[str, Path]) -> Iterator[TestClient]:
    """Three rerankers, of which three collections have chosen one each."""
    settings = Settings(
        data=tmp_path_factory.mktemp("data"),
        embed_model=str(folders["embedder"]),
        rerank_model=str(folders["bert"]),
        rerank_also=tuple(FurtherReranker(model=str(folders[name]), urls=()) for name in ("xlm", "qwen", "template")),
        device="cpu",
        judgement_cache_mb=0,
    )
    with CheckingClient(
        create_app(assemble(settings, caches=Caches.of(settings))), base_url="http://localhost"
    ) as client:
        for name, reranker in (("pairs", None), ("others", "xlm"), ("instructed", "tiny-rerank")):
            made = client.post("/v1/collections", json={"name": name, "reranker": reranker})
            assert made.status_code == 201, made.text
            written = client.post(f"/v1/collections/{name}/documents", json={"documents": DOCUMENTS})
            assert written.json()["accepted"] == 3, written.text
        yield client


def search(client: TestClient, **said: Any) -> dict[str, Any]:
    found = client.post("/v1/search", json=SEARCH | said)
    assert found.status_code == 200, found.text
    answer: dict[str, Any] = found.json()
    return answer


def test_an_answer_says_whether_its_reranker_read_the_instruction(client: TestClient) -> None:
    """The same question to three collections, each with a reranker of its own."""
    said = [
        (answer["judged_by"], answer["ranked_by"], answer["instruction_applied"], answer["usage"]["judged"])
        for name in ("pairs", "others", "instructed")
        for answer in [search(client, collection=name, instruction="Prefer Chinese.")]
    ]
    assert said == [
        ("bert", "relevance", False, 3),
        ("xlm", "relevance", False, 3),
        ("tiny-rerank", "relevance", True, 3),
    ]
    assert not search(client, collection="instructed", rerank=False)["instruction_applied"]


def test_the_relevance_of_an_answer_is_the_librarys(client: TestClient, folders: dict[str, Path]) -> None:
    """From the text that was sent to the figure that is answered; an instruction changes nothing."""
    expected = dict(
        zip(
            [each["id"] for each in DOCUMENTS],
            CrossEncoder(str(folders["bert"]), device="cpu").predict([(QUERY, each["text"]) for each in DOCUMENTS]),
            strict=True,
        )
    )
    for instruction in (None, "Prefer Chinese."):
        answer = search(client, instruction=instruction)
        assert {each["document_id"]: each["relevance"] for each in answer["results"]} == pytest.approx(
            expected, abs=1e-5
        )
        assert answer["usage"]["rerank_tokens"] > 0


def test_callers_of_rerank_are_told_too(client: TestClient) -> None:
    """By each reranker's name, in what the clients of Cohere, Jina and Voyage skip."""
    for model, applied in (("bert", False), ("xlm", False), ("tiny-rerank", True), ("template", False)):
        answer = client.post(
            "/v1/rerank",
            json={
                "query": QUERY,
                "documents": [each["text"] for each in DOCUMENTS],
                "model": model,
                "instruction": "x",
            },
        ).json()
        assert (answer["model"], answer["meta"]["winnow"]["instruction_applied"]) == (model, applied)
        assert all(0 <= each["relevance_score"] <= 1 for each in answer["results"])


def test_a_failing_model_leaves_recalls_order_and_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error inside the library is the reranker's failure: degraded, or 503 where the caller wants that."""

    def break_down(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(PairModel, "_padded", break_down)
    answer = search(client)
    assert answer["degraded"] == {"stage": "rerank", "reason": "unavailable"}
    assert (answer["judged_by"], answer["instruction_applied"]) == ("recall-order", False)
    assert [each["relevance"] for each in answer["results"]] == [None] * 3
    refused = client.post("/v1/search", json=SEARCH | {"on_rerank_failure": "error"})
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "rerank_unavailable"


def test_a_slow_model_leaves_recalls_order_and_says_so(client: TestClient) -> None:
    """The deadline ends the wait for the model's thread, and the next search is reranked again."""
    may_compute = threading.Event()
    device_worker("cpu").submit(may_compute.wait, 60)
    answer = search(client, timeout_ms=400)
    may_compute.set()
    assert answer["degraded"] == {"stage": "rerank", "reason": "timeout"}
    assert search(client)["judged_by"] == "bert"


def test_columns_of_a_trial_say_whether_their_instruction_was_read(client: TestClient) -> None:
    """Two instructions that a model does not read give the same order; who compares them must see why."""
    for name, applied in (("pairs", False), ("instructed", True)):
        trial = client.post(
            "/v1/instructions/try", json={"query": QUERY, "collection": name, "versions": ["default", "default"]}
        ).json()
        assert [each["instruction_applied"] for each in trial["columns"]] == [applied, applied], trial


@pytest.mark.parametrize(
    ("reranker", "reason"),
    [("bert", "bert has no prompt to preview"), ("template", "the prompt of template comes from its template")],
)
def test_only_prompts_like_qwens_are_previewed(client: TestClient, reranker: str, reason: str) -> None:
    """The refusal names the model, and does not say of a template that there is no prompt."""
    refused = client.post(
        "/v1/instructions/preview", json={"instruction": "x", "query": "q", "document": "d", "reranker": reranker}
    )
    assert refused.status_code == 422
    assert reason in refused.json()["message"]


def test_a_collection_that_requires_an_instruction_refuses_a_reranker_without(client: TestClient) -> None:
    """When it is chosen, and in a search; the message names what would do. Without reranking it answers."""
    made = client.post("/v1/collections", json={"name": "strict", "require_instruction": True})
    assert (made.status_code, made.json()["error"]["code"]) == (409, "instruction_unsupported")
    body = {"name": "strict", "require_instruction": True, "reranker": "tiny-rerank"}
    assert client.post("/v1/collections", json=body).json()["require_instruction"] is True
    assert client.post("/v1/collections/strict/documents", json={"documents": DOCUMENTS}).json()["accepted"] == 3
    assert search(client, collection="strict")["instruction_applied"]
    assert client.patch("/v1/collections/strict", json={"reranker": "xlm"}).status_code == 409
    assert client.patch("/v1/collections/pairs", json={"require_instruction": True}).status_code == 409

    client.app.state.parts.disk.change(  # type: ignore[attr-defined]
        DEFAULT_TENANT, "strict", reranker="xlm"
    )  # as the command line does
    refused = client.post("/v1/search", json=SEARCH | {"collection": "strict"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "instruction_unsupported")
    assert "strict has xlm. Choose a reranker that reads one (tiny-rerank)" in refused.json()["message"]
    assert not search(client, collection="strict", rerank=False)["instruction_applied"]
    assert client.patch("/v1/collections/strict", json={"require_instruction": None}).status_code == 200
    assert search(client, collection="strict")["judged_by"] == "xlm"
