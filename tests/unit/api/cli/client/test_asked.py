"""Searches and reranks at a service: the body of its answer, printed as one of a data folder."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.unit.api.cli.client.conftest import KEY, Run
from winnow_client import Client

DOCUMENTS = [
    {"id": "a", "title": "Refunds", "text": "A refund takes fourteen days.", "metadata": {"lang": "en"}},
    {"id": "b", "title": "Herons", "text": "The heron fishes.", "metadata": {"lang": "en"}},
    {"id": "c", "title": "退货", "text": "七日内可以退货 refund。", "metadata": {"lang": "zh"}},
]


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, key=KEY) as client:
        client.create_collection("docs")
        client.write("docs", DOCUMENTS)
        yield client


def test_a_search_prints_the_answer_of_the_service(client: Client, remote: Run) -> None:
    words = ("search", "七日内退货", "-c", "docs", "--always-rerank", "--top-k", "2")
    asked = remote(*words, "--json", "--filter", '{"type": "eq", "key": "lang", "value": "zh"}')
    assert asked.code == 0, asked.err
    answer = json.loads(asked.out)
    assert [each["document_id"] for each in answer["results"]] == ["c"]
    told = client.search("七日内退货", collection="docs", rerank="always", top_k=2)
    lines = remote(*words).out.splitlines()
    assert lines[0].split("\t")[:5] == ["rank", "score", "relevance", "similarity", "document_id"]
    assert [line.split("\t")[4] for line in lines[1:]] == [each["document_id"] for each in told["results"]]


def test_an_instruction_is_asked_for_by_text_or_by_name_with_typed_values(client: Client, remote: Run) -> None:
    written = remote("instructions", "publish", "first", "--file", "-")  # nothing on standard input
    assert written.code == 2
    client.publish_instruction(
        "first", "Refunds of {years} years first.", variables=[{"name": "years", "type": "integer"}]
    )
    named = ("search", "refund", "-c", "docs", "--instruction-name", "first", "--json")
    answer = json.loads(remote(*named, "--variable", "years=3").out)
    assert (answer["instruction"]["name"], answer["instruction"]["version"]) == ("first", 1)
    assert "years" in remote(*named).err
    assert "years" in remote(*named, "--variable", "years=x").err
    both = remote("search", "refund", "-c", "docs", "--instruction", "x", "--instruction-name", "first")
    assert (both.code, "cannot be used together" in both.err) == (2, True)
    text = json.loads(remote("search", "refund", "-c", "docs", "--instruction", "Herons first.", "--json").out)
    assert text["instruction"]["source"] == "request"


def test_texts_are_reranked_at_the_service(client: Client, remote: Run) -> None:
    shown = remote("rerank", "money back", "a heron", "a refund", "--json")
    assert shown.code == 0, shown.err
    assert [each["index"] for each in json.loads(shown.out)["results"]] == [1, 0]
    lines = remote("rerank", "money back", "a heron", "a refund", "--top-n", "1").out.splitlines()
    assert (lines[0], lines[1].split("\t")[2:]) == ("rank\trelevance\twas\ttext", ["2", "a refund"])
    other = remote("rerank", "money back", "a heron", "--reranker", "other")
    assert (other.code, "has no reranker 'other'" in other.err) == (2, True)


def test_what_the_service_refuses_is_said_in_its_words(client: Client, remote: Run) -> None:
    many = remote("search", "x", "-c", "docs", "--top-k", "1000")
    assert (many.code, many.out) == (2, "")
    assert many.err.startswith("winnow: Invalid request: 'top_k': ")
    near = remote("search", "x", "-c", "doc")
    assert (near.code, "winnow: Collection not found: doc (did you mean 'docs'?)" in near.err) == (2, True)
