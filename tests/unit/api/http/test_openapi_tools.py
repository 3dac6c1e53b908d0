"""The description for agents holds what its operations need, and nothing that changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.api.http.openapi_tools import _named
from winnow.retrieval.model.tokenizer import PlainTokenizer


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    app = create_app(parts_over(tmp_path, tokenizer, PrefersWord("a"), api_key="secret"))
    with CheckingClient(app, base_url="https://search.example.org") as client:
        yield client


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
