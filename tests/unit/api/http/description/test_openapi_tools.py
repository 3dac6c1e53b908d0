"""The description for agents holds what its operations need, and nothing that changes anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.api.http.description.openapi_tools import _named
from winnow.retrieval.model.tokenizer import PlainTokenizer


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    app = create_app(parts_over(tmp_path, tokenizer, PrefersWord("a"), api_key="secret"))
    with CheckingClient(app, base_url="https://search.example.org") as client:
        yield client


def as_dify_reads(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, dict[str, Any]]]]:
    """Method, path and parameters of each tool, as Dify 1.x makes them: those of the path and query, and the
    properties of the body, in one list by name. Parts of the document that it reads without asking must be there.
    """
    assert document["info"]["description"]
    assert document["servers"][0]["url"].startswith("https://")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", operation["operationId"])
            assert operation["summary"]
            assert operation["description"]
            found = {each["name"]: each for each in operation.get("parameters", ())}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                for step in schema["$ref"].split("/")[1:] if "$ref" in schema else ():
                    schema = document if step == "components" else schema
                    schema = schema[step]
                properties = {
                    name: {**each, "required": name in schema.get("required", ())}
                    for name, each in schema["properties"].items()
                }
                assert not set(properties) & set(found), f"{path}: a parameter would be there twice"
                found |= properties
            yield method, path, found


def test_dify_makes_tools_that_work(client: TestClient) -> None:
    """What a model does not fill in, Dify sends as its default, or as null."""
    headers = {"authorization": "Bearer secret"}
    assert client.post("/v1/collections", json={"name": "docs"}, headers=headers).status_code == 201
    assert client.post("/v1/collections/docs/documents", json={"id": "a", "text": "b"}, headers=headers).is_success
    filled = {"query": "a", "collection": "docs", "documents": ["a"], "name": "docs", "document_id": "a"}
    for method, path, parameters in as_dify_reads(client.get("/openapi-tools.json").json()):
        sent = {name: filled.get(name, each.get("default")) for name, each in parameters.items() if "in" not in each}
        assert all(name in filled for name, each in parameters.items() if each.get("required")), path
        body = {"json": sent} if method == "post" else {}
        answered = client.request(method, path.format_map(filled), headers=headers, **body)
        assert answered.status_code == 200, (path, answered.text)


def test_four_tools_and_their_schemas(client: TestClient) -> None:
    """Without a key, as the whole description; its address is the one that was asked."""
    tools, whole = client.get("/openapi-tools.json").json(), client.get("/openapi.json").json()
    named = {operation["operationId"] for path in tools["paths"].values() for operation in path.values()}
    assert named == {"search", "fetch", "rerank", "list_collections"}
    assert tools["servers"] == [{"url": "https://search.example.org"}]
    assert set(tools["components"]["schemas"]) == _named(tools)
    assert all(tools["components"]["schemas"][name] == whole["components"]["schemas"][name] for name in _named(tools))
    assert "bearer" in tools["components"]["securitySchemes"]
    assert len(client.get("/openapi-tools.json").content) < len(client.get("/openapi.json").content) / 2
