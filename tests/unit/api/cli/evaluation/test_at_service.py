"""`winnow eval --url` measures the orders that the service answers in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.api.cli.client.conftest import KEY, Run, data, remote, run, url  # noqa: F401  fixtures
from winnow.api.cli.evaluation.at_service import _ordered, _places, _scored
from winnow.api.cli.evaluation.named_settings import Order
from winnow_client import Client

DOCUMENTS = [{"id": f"d{number}", "text": f"{word} and nothing else"} for number, word in enumerate("abcdefgh")]


@pytest.fixture
def client(url: str) -> Iterator[Client]:  # noqa: F811
    with Client(url, key=KEY) as client:
        client.create_collection("docs")
        client.write("docs", [*DOCUMENTS, {"id": "right", "text": "a refund"}])
        yield client


@pytest.fixture
def words(tmp_path: Path, client: Client) -> tuple[str, ...]:
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    queries.write_text(json.dumps({"_id": "q1", "text": "b and nothing"}), encoding="utf-8")
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\tright\t1\n", encoding="utf-8")
    return ("eval", "-c", "docs", "--queries", str(queries), "--qrels", str(qrels), "--metrics", "MRR@10")


def test_orders_are_those_of_the_service(client: Client, remote: Run, words: tuple[str, ...]) -> None:  # noqa: F811
    done = remote(*words, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    runs = {each["name"]: each["metrics"]["MRR@10"] for each in found["runs"]}
    recalled = client.search("b and nothing", collection="docs", rerank=False)["results"]
    place = [each["document_id"] for each in recalled].index("right") + 1
    assert runs["recall"] == pytest.approx(1 / place)
    assert (runs["rerank"], place > 1) == (1.0, True)  # the reranker prefers the word refund
    assert (found["documents"], found["reranker"], found["candidates"]) == (9, "prefers-word", 9)


def test_what_a_search_cannot_choose_is_refused(remote: Run, words: tuple[str, ...]) -> None:  # noqa: F811
    for flags, said in (
        (("--reranker", "x"), "reranker=x"),
        (("--setting", "wide depth=adaptive"), "depth=adaptive"),
        (("--setting", "other embedder=x"), "embedder=x"),
        (("--rerank-fields", "title"), "--rerank-fields"),
        (("--embed-model", "x"), "--embed-model"),
    ):
        refused = remote(*words, *flags)
        assert (refused.code, refused.out, said in refused.err) == (2, "", True), refused.err


def test_a_named_instruction_of_the_service_is_measured(client: Client, remote: Run, words: tuple[str, ...]) -> None:  # noqa: F811
    client.publish_instruction("first", "Refunds first.")
    done = remote(*words, "--setting", "named instruction=first", "--setting", "alone reranker=none", "--json")
    assert done.code == 0, done.err
    named, alone = (each["setting"] for each in json.loads(done.out)["runs"])
    assert (named["instruction"]["name"], named["instruction_text"]) == ("first", "Refunds first.")
    assert (alone["order"], alone["candidates"]) == ("recall", 0)


def explained(document_id: str, recall_rank: int, rank: int, relevance: float | None) -> Any:
    score = -float(recall_rank) if relevance is None else 2.0 - rank
    return {"document_id": document_id, "ordinal": 0, "recall_rank": recall_rank, "rank": rank, "score": score,
            "relevance": relevance}  # fmt: skip


def test_what_is_not_reranked_stands_behind_in_the_order_of_recall() -> None:
    recalled = [explained("a", 1, 1, None), explained("b", 2, 2, None), explained("c", 3, 3, None)]
    reranked = [explained("b", 2, 1, 0.2), explained("a", 1, 2, 0.9)]
    scored = _scored(_ordered(reranked, Order.ANSWER), recalled)
    assert list(scored) == ["b", "a", "c"]
    assert list(scored.values()) == sorted(scored.values(), reverse=True)
    assert list(_scored(_ordered(reranked, Order.RELEVANCE), recalled)) == ["a", "b", "c"]
    places = _places(recalled, reranked)
    assert places is not None
    assert places.at_depth(1) == ["a", "b", "c"]
    assert _places(recalled[1:], reranked) is None  # recall found others
