"""The Model Context Protocol over HTTP, message by message: what a chat platform's client sends and reads."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.api.mcp.server import make_server
from winnow.retrieval.model.tokenizer import PlainTokenizer

HEADERS = {
    "accept": "application/json, text/event-stream",
    "host": "search.example.org",
    "origin": "https://chat.example",
}
LEGAL = [
    {"id": "a/退货", "title": "退货", "text": "七日内可以退货 heron", "metadata": {"lang": "zh"}},
    {"id": "rent", "text": "The rent is due. heron", "url": "https://example.org/rent", "metadata": {"lang": "en"}},
]
BIRDS = [{"id": "heron", "title": "Heron", "text": "The heron fishes.", "metadata": {"lang": "en"}}]


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    app = create_app(parts_over(tmp_path, tokenizer, PrefersWord("fishes"), api_key="secret"))
    with CheckingClient(app, headers={"authorization": "Bearer secret"}) as client:
        for name, documents in (("legal", LEGAL), ("birds", BIRDS)):
            assert client.post("/v1/collections", json={"name": name}).status_code == 201
            assert client.post(f"/v1/collections/{name}/documents", json={"documents": documents}).status_code == 200
        client.post("/v1/collections", json={"name": "empty"})
        yield client


def sent(client: TestClient, method: str, parameters: Any = None, query: str = "", **headers: str) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters or {}}
    return client.post(f"/mcp{query}", json=body, headers=HEADERS | headers)


def called(client: TestClient, tool: str, at: str = "", **arguments: Any) -> Any:
    answer = sent(client, "tools/call", {"name": tool, "arguments": arguments}, at)
    assert answer.status_code == 200, answer.text
    result = answer.json()["result"]
    assert not result.get("isError"), result
    (content,) = result["content"]
    assert (content["type"], "structuredContent" in result) == ("text", False)
    return json.loads(content["text"])


def refused(client: TestClient, tool: str, **arguments: Any) -> str:
    result = sent(client, "tools/call", {"name": tool, "arguments": arguments}).json()["result"]
    assert result["isError"] is True
    return str(result["content"][0]["text"])


def test_a_client_learns_what_there_is(client: TestClient) -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    said = sent(client, "initialize", hello).json()["result"]
    assert (said["serverInfo"]["name"], "tools" in said["capabilities"]) == ("winnow", True)
    tools = {each["name"]: each for each in sent(client, "tools/list").json()["result"]["tools"]}
    assert set(tools) == {"search", "fetch", "search_filtered", "list_collections"}
    assert all(each["annotations"]["readOnlyHint"] for each in tools.values())
    assert list(tools["search"]["inputSchema"]["properties"]) == ["query"]
    assert list(tools["fetch"]["inputSchema"]["properties"]) == ["id"]
    notified = client.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=HEADERS)
    assert notified.status_code == 202


def test_search_and_fetch_have_the_shape_that_platforms_expect(client: TestClient) -> None:
    """Over all collections, the most relevant first; one without documents is passed over."""
    found = called(client, "search", query="heron")["results"]
    assert (found[0]["id"], {each["id"] for each in found}) == (
        "birds/heron",
        {"birds/heron", "legal/a/退货", "legal/rent"},
    )
    assert all(sorted(each) == ["id", "text", "title", "url"] for each in found)
    urls = {each["id"]: each["url"] for each in found}
    assert (urls["legal/rent"], urls["legal/a/退货"]) == (
        "https://example.org/rent",
        "winnow://legal/a/%E9%80%80%E8%B4%A7",
    )
    read = called(client, "fetch", id="legal/a/退货")
    assert read == {
        "id": "legal/a/退货", "title": "退货", "text": LEGAL[0]["text"], "url": urls["legal/a/退货"],
        "metadata": {"lang": "zh"},
    }  # fmt: skip


def test_a_search_may_name_collection_filter_and_instruction(client: TestClient) -> None:
    where = {"type": "eq", "key": "lang", "value": "en"}
    found = called(client, "search_filtered", query="heron", collection="legal", filter=where, top_k=1)["results"]
    assert [each["id"] for each in found] == ["legal/rent"]
    assert found[0]["relevance"] is not None
    assert called(client, "search_filtered", query="heron", instruction="builtin/legal-statutes")["results"]
    listed = called(client, "list_collections")["collections"]
    assert {each["name"]: each["documents"] for each in listed} == {"birds": 1, "legal": 2, "empty": 0}
    assert "lang" in next(each for each in listed if each["name"] == "legal")["attributes"]


@pytest.mark.parametrize("blank", [None, ""])
def test_arguments_that_are_null_or_empty_are_as_if_left_out(client: TestClient, blank: str | None) -> None:
    """Chat models fill in every argument of a tool, also those that they do not mean."""
    where = None if blank is None else {}
    left_out = {"collection": blank, "instruction": blank, "filter": where, "top_k": None}
    given = called(client, "search_filtered", query="heron", **left_out)
    assert given == called(client, "search_filtered", query="heron")


def test_the_address_may_say_what_calls_leave_open(client: TestClient) -> None:
    found = called(client, "search", "?collection=legal&instruction=builtin/legal-statutes", query="heron")["results"]
    assert {each["id"] for each in found} == {"legal/a/退货", "legal/rent"}


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("fetch", {"id": "legal/none"}, "not found"),
        ("fetch", {"id": "nothing"}, "ids come from a search"),
        ("search_filtered", {"query": "q", "collection": "none"}, "not found"),
        ("search_filtered", {"query": "q", "filter": {"type": "like"}}, "filter"),
        ("search_filtered", {"query": "q", "instruction": "unknown-name"}, "unknown-name"),
        ("search_filtered", {"query": "q", "collection": "empty"}, "nothing has been indexed"),
    ],
)
def test_mistakes_are_told_to_the_model(client: TestClient, tool: str, arguments: Any, said: str) -> None:
    assert said in refused(client, tool, **arguments)


def test_documents_are_resources(client: TestClient) -> None:
    templates = sent(client, "resources/templates/list").json()["result"]["resourceTemplates"]
    assert [each["uriTemplate"] for each in templates] == ["winnow://{collection}/{document}"]
    read = sent(client, "resources/read", {"uri": "winnow://birds/heron"}).json()["result"]
    assert read["contents"][0]["text"] == "The heron fishes."
    assert "error" in sent(client, "resources/read", {"uri": "winnow://birds/none"}).json()


def test_the_sdk_leaves_the_log_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would write a line for each message, in a form of its own."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    make_server(lambda _: pytest.fail("nobody asks"))
    assert (root.handlers, root.level) == ([], level)


def test_a_service_without_the_extra_says_so(client: TestClient) -> None:
    client.app.state.mcp = None  # type: ignore[attr-defined]
    answer = sent(client, "tools/list")
    assert (answer.status_code, "winnow-search[mcp]" in answer.json()["detail"]) == (501, True)


def test_a_wrong_key_is_refused_before_the_protocol_begins(client: TestClient) -> None:
    assert sent(client, "tools/list", authorization="Bearer other").status_code == 401
    assert client.get("/mcp", headers=HEADERS).status_code == 405
    assert client.post("/mcp", content=b"{", headers=HEADERS | {"content-type": "application/json"}).status_code == 400
