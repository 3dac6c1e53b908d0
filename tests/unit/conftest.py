"""What several files of these tests need."""

from __future__ import annotations

import pytest

from tests.tiny_models import write_embedder
from winnow.retrieval.model.tokenizer import PlainTokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PlainTokenizer:
    return PlainTokenizer.load(write_embedder(tmp_path_factory.mktemp("models") / "embedder"))
