"""A key's default instruction and collection, on every way that a search takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.retrieval.catalog.instructions import InstructionContent
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyWish
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

DOCUMENTS = [{"id": "heron", "text": "The heron fishes."}, {"id": "rent", "text": "A contract about rent."}]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(tmp_path_factory.mktemp("data"), tokenizer, PrefersWord("heron"))
    catalog = parts.disk.catalog
    whole = catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE).text
    for name in ("house", "other"):
        catalog.instructions.publish(DEFAULT_TENANT, name, InstructionContent(text=f"Prefer the {name}"))
    only = InstructionContent(text="Prefer elsewhere", collections=("elsewhere",))
    catalog.instructions.publish(DEFAULT_TENANT, "only", only)
    headers = {"authorization": f"Bearer {whole}"}
    with CheckingClient(create_app(parts), base_url="http://search.example.org", headers=headers) as client:
        for name in ("docs", "elsewhere"):
            assert client.post("/v1/collections", json={"name": name, "instruction": None}).status_code == 201
            assert client.post(f"/v1/collections/{name}/documents", json={"documents": DOCUMENTS}).status_code == 200
        assert client.patch("/v1/collections/docs", json={"instruction": "other"}).status_code == 200
        yield client


def key_with(client: TestClient, **defaults: str) -> dict[str, str]:
    said = client.post("/v1/keys", json={"scopes": ["search"], **defaults})
    assert said.status_code == 201, said.text
    assert {name: said.json()[name] for name in defaults} == defaults
    return {"authorization": f"Bearer {said.json()['key']}"}


def instruction(answer: Any) -> tuple[str, str | None]:
    assert answer.status_code == 200, answer.text
    said = answer.json()["instruction"]
    return said["source"], said["name"]


def test_a_search_takes_what_the_key_says_where_it_says_nothing(client: TestClient) -> None:
    """Request, then key, then collection; the collection of the key where none is named."""
    by_key = key_with(client, instruction="house@1", collection="docs")
    body = {"query": "heron"}
    assert instruction(client.post("/v1/search", json=body, headers=by_key)) == ("key", "house")
    assert instruction(client.post("/v1/collections/docs/search", json=body, headers=by_key)) == ("key", "house")
    own = body | {"instruction": {"name": "other"}}
    assert instruction(client.post("/v1/search", json=own, headers=by_key)) == ("request", "other")
    assert instruction(client.post("/v1/search", json=body | {"collection": "docs"})) == ("collection", "other")
    unnamed = client.post("/v1/search", json=body)
    assert (unnamed.status_code, unnamed.json()["error"]["param"]) == (422, "collection")
    by_text = key_with(client, instruction="Prefer contracts", collection="elsewhere")
    said = client.post("/v1/search", json=body, headers=by_text)
    assert (instruction(said), said.json()["collection"]) == (("key", None), "elsewhere")


def test_an_instruction_for_other_collections_is_passed_over(client: TestClient) -> None:
    by_key = key_with(client, instruction="only")
    for collection, expected in (("elsewhere", ("key", "only")), ("docs", ("collection", "other"))):
        body = {"query": "heron", "collection": collection}
        assert instruction(client.post("/v1/search", json=body, headers=by_key)) == expected


def test_reranking_takes_the_instruction_of_the_key(client: TestClient) -> None:
    """And says so; the caller's own goes before it."""
    body: dict[str, Any] = {"query": "heron", "documents": ["a heron", "rent"]}
    by_key = key_with(client, instruction="house")
    said = client.post("/v1/rerank", json=body, headers=by_key).json()["meta"]["winnow"]["instruction"]
    assert "house" in json.dumps(said)
    own = client.post("/v1/rerank", json=body | {"model": "winnow-rerank@other"}, headers=by_key).json()
    assert "other" in json.dumps(own["meta"]["winnow"]["instruction"])
    plain = client.post("/v1/rerank", json=body).json()
    assert "house" not in json.dumps(plain["meta"])


def test_tools_of_chatbots_search_what_the_key_names(client: TestClient) -> None:
    """One collection in place of all; the address goes before the key."""
    by_key = key_with(client, collection="elsewhere") | {"accept": "application/json, text/event-stream"}
    call = {"name": "search", "arguments": {"query": "heron"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    for address, expected in (("/mcp", "elsewhere/heron"), ("/mcp?collection=docs", "docs/heron")):
        said = client.post(address, json=body, headers=by_key).json()["result"]["content"][0]["text"]
        ids = {each["id"] for each in json.loads(said)["results"]}
        assert expected in ids
        assert {each.partition("/")[0] for each in ids} == {expected.partition("/")[0]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"instruction": "nowhere"}, 404),
        ({"instruction": "house@9"}, 404),
        ({"collection": "nowhere"}, 404),
        ({"collection": "other/docs"}, 404),
        ({"collection": "No Name"}, 422),
        ({"instruction": " "}, 422),
    ],
)
def test_a_default_that_is_not_there_is_refused(client: TestClient, *, body: dict[str, str], status: int) -> None:
    assert client.post("/v1/keys", json=body).status_code == status


def test_a_rotated_key_keeps_its_defaults(client: TestClient) -> None:
    made = client.post("/v1/keys", json={"instruction": "house", "collection": "docs"}).json()
    rotated = client.post(f"/v1/keys/{made['id']}/rotate").json()
    assert (rotated["instruction"], rotated["collection"]) == ("house", "docs")
