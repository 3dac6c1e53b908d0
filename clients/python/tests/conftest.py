"""A service of its own for each test: the real one behind its own server, over the tests' small models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import PrefersWord
from tests.tiny_models import write_embedder
from tests.unit.api.http.routes.test_routes import parts_over
from tests.wire_service import listening
from winnow.api.http.app import create_app
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow_client import Client

KEY = "secret"


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PlainTokenizer:
    return PlainTokenizer.load(write_embedder(tmp_path_factory.mktemp("models") / "embedder"))


@pytest.fixture
def url(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[str]:
    """Its key is `secret`; its reranker prefers passages with the word refund."""
    app = create_app(parts_over(tmp_path, tokenizer, PrefersWord("refund"), api_key=KEY))
    with listening(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def winnow(url: str) -> Iterator[Client]:
    with Client(url, key=KEY) as client:
        yield client
