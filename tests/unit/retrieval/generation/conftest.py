"""A store of five documents, and the folder of a collection without generations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import written
from tests.fakes import MemoryStore
from winnow.retrieval.files.layout import CollectionFolder


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.replace([written(f"d{at}", f"text {at}") for at in range(5)])
    return store


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    folder = CollectionFolder(tmp_path / "c")
    folder.path.mkdir()
    return folder
