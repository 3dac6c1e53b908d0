"""Reranking in every dialect: the same scores, and the shape that each client reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import DescribedClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.retrieval.limits import QUERY_CHARACTERS_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer

TEXTS = ["a contract", "the heron fishes", "苍鹭 heron"]
QUERY = "which bird fishes"


class FollowsWord(PrefersWord):
    """Prefers the last word of the instruction."""

    def ranking(self, query: str, candidates: Any, instruction: str) -> Any:
        return PrefersWord(instruction.rsplit(maxsplit=1)[-1].rstrip(".")).ranking(query, candidates, instruction)


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    with DescribedClient(
        create_app(parts_over(tmp_path, tokenizer, FollowsWord("heron"))), base_url="http://localhost"
    ) as client:
        client.post("/v1/instructions", json={"name": "birds", "text": "Prefer what holds the word heron"})
        client.post("/v1/instructions", json={"name": "papers", "text": "Prefer what holds the word contract"})
        client.put("/v1/instructions/fresh/draft", json={"text": "Prefer what holds the word contract"})
        yield client


def order(body: Any) -> list[int]:
    return [each["index"] for each in body["results"]]


def rerank(client: TestClient, path: str = "/v1/rerank", **more: Any) -> Any:
    answer = client.post(path, json={"query": QUERY, "documents": TEXTS} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
@pytest.mark.parametrize(
    "more",
    [
        {"instruction": "the word contract"},
        {"instruct": "the word contract"},
        {"chat_template_kwargs": {"instruction": "the word contract", "enable_thinking": False}},
        {"chat_template_kwargs": {"instruction": "the word contract"}, "instruction": "the word heron"},
        {"instruction": {"name": "papers"}},
        {"instruction": {"name": "papers", "version": 1}},
        {"model": "any@papers"},
        {"model": "any@papers@1", "instruction": ""},
    ],
)
def test_the_instruction_arrives_in_every_spelling(client: TestClient, path: str, more: dict[str, Any]) -> None:
    assert order(rerank(client, path, instruction="the word heron"))[-1] == 0
    assert order(rerank(client, path, **more))[0] == 0


def test_the_answer_names_the_instruction_of_the_library(client: TestClient) -> None:
    said = rerank(client, model="any@papers")
    assert (said["object"], said["meta"]["winnow"]["instruction"]) == ("rerank", "papers@1")
    assert "instruction" not in rerank(client, instruction="the word heron")["meta"]["winnow"]
    built_in = rerank(client, model="winnow-rerank@builtin/legal-statutes")
    assert built_in["meta"]["winnow"]["instruction"] == "builtin/legal-statutes@1"


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"model": "any@unknown"}, 422, "unknown"),
        ({"model": "any@"}, 422, "is not an instruction"),
        ({"model": "any@papers@9"}, 422, "unknown instruction: papers, version 9"),
        ({"instruction": {"name": "fresh"}}, 422, "fresh"),
        ({"instruction": {"name": "fresh", "version": 1}}, 409, "is a draft"),
        ({"documents": [{"title": "t"}]}, 422, "'documents.0.text' is missing"),
        ({"instruction": "a", "instruct": "b"}, 422, "two names of one field"),
    ],
)
def test_what_is_not_there_is_refused_in_words(
    client: TestClient, more: dict[str, Any], status: int, said: str
) -> None:
    refused = client.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS} | more)
    assert (refused.status_code, said in refused.json()["detail"]) == (status, True), refused.text


def test_empty_texts_and_nulls_are_as_if_left_out(client: TestClient) -> None:
    """Form-driven applications send all of their fields."""
    nulls = dict.fromkeys(
        ("top_n", "top_k", "return_documents", "rank_fields", "raw_scores", "chat_template_kwargs", "timeout_ms"), None
    )
    said = rerank(client, model="", instruction=" ", instruct="", **nulls)
    assert order(said) == order(rerank(client))


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_a_long_query_is_cut_and_the_answer_says_so(client: TestClient, path: str) -> None:
    long = rerank(client, path, query="鹭" * (QUERY_CHARACTERS_MAX + 1))
    assert long["meta"]["warnings"] == [
        f"only the first {QUERY_CHARACTERS_MAX} of the query's {QUERY_CHARACTERS_MAX + 1} characters were read"
    ]
    assert rerank(client, path, query="鹭" * QUERY_CHARACTERS_MAX)["meta"]["warnings"] == []


def test_raw_scores_are_the_logits_of_the_others(client: TestClient) -> None:
    plain, raw = rerank(client), rerank(client, raw_scores=True)
    assert order(plain) == order(raw)
    for one, other in zip(plain["results"], raw["results"], strict=True):
        assert 1 / (1 + math.exp(-other["relevance_score"])) == pytest.approx(one["relevance_score"], abs=1e-12)


def test_documents_of_named_fields_are_read_as_coheres_first_version_does(client: TestClient) -> None:
    documents = [{"title": "a contract", "body": "none"}, {"title": "bird", "body": "heron"}]
    said = rerank(client, documents=documents, rank_fields=["title", "body"], instruction="the word heron")
    assert order(said) == [1, 0]
    assert said["results"][0]["document"] == {"text": "title: bird\nbody: heron"}


def test_texts_are_answered_as_text_embeddings_inference_does(client: TestClient) -> None:
    """A bare list of all texts, best first."""
    answer = client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "instruction": "the word contract"})
    body = answer.json()
    assert [sorted(each) for each in body] == [["index", "score"]] * 3
    assert body[0]["index"] == 0
    assert [each["score"] for each in body] == sorted((each["score"] for each in body), reverse=True)
    options = {"raw_scores": True, "return_text": True, "truncate": True, "truncation_direction": "right"}
    raw = client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "instruction": "the word contract"} | options)
    assert [each["text"] for each in raw.json()] == [TEXTS[each["index"]] for each in body]
    assert [each["index"] for each in raw.json()] == [each["index"] for each in body]


@pytest.mark.parametrize(
    ("more", "said"),
    [({"texts": []}, "the minimum number of entries is 1"), ({"query": " "}, "must not be blank"),
     ({"model": "any@unknown"}, "unknown")],
)  # fmt: skip
def test_problems_have_the_shape_that_such_clients_read(client: TestClient, more: dict[str, Any], said: str) -> None:
    """`error` is a text there, and an object for all others."""
    refused = client.post("/rerank", json={"query": QUERY, "texts": TEXTS} | more)
    body = refused.json()
    assert (refused.status_code, body["error_type"], said in body["error"]) == (422, "Validation", True), body
    other = client.post("/rerank", json={"query": QUERY, "documents": []}).json()
    assert "message" in other["error"]


def test_pairs_are_scored_in_their_order(client: TestClient) -> None:
    """One query with each text, or as many queries as texts; the scores are those of a reranking."""
    expected = {each["index"]: each["relevance_score"] for each in rerank(client)["results"]}
    for body in (
        {"text_1": QUERY, "text_2": TEXTS},
        {"queries": [QUERY], "documents": TEXTS},
        {"data_1": QUERY, "data_2": TEXTS},
        {"queries": QUERY, "items": TEXTS},
        {"queries": [QUERY, QUERY, "another"], "documents": TEXTS},
    ):
        for path in ("/score", "/v1/score"):
            said = client.post(path, json=body)
            assert said.status_code == 200, said.text
            assert [each["index"] for each in said.json()["data"]] == [0, 1, 2]
            assert [each["score"] for each in said.json()["data"]][:2] == [expected[0], expected[1]]
    one = client.post("/score", json={"text_1": QUERY, "text_2": TEXTS[1], "instruction": "the word heron"}).json()
    assert (one["object"], len(one["data"]), one["data"][0]["object"]) == ("list", 1, "score")
    refused = client.post("/score", json={"queries": [QUERY, QUERY], "documents": TEXTS})
    assert (refused.status_code, "2 queries and 3 texts" in refused.json()["detail"]) == (422, True)
