"""What is told of a store's files, compared with the files and with what was written."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.store.disk_use import StoreUse, measure_store
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.local_place import LocalPlace

FLOAT32_BYTES = 4
PADDING_MAX = 64  # bytes in a file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.lance"


def create(path: Path) -> LanceStore:
    return LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())


def measured(store: LanceStore, path: Path) -> StoreUse:
    """Also: its parts are all files, each once."""
    use = measure_store(store.snapshot(), LocalPlace(path))
    files = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert use.documents + use.vectors + use.words + use.replaced == files
    return use


def test_an_empty_store_has_no_vectors(path: Path) -> None:
    assert measured(create(path), path).vectors == 0


def test_each_part_grows_with_what_is_in_it(path: Path) -> None:
    """Vectors by their numbers; long random texts are documents and words, and what was replaced is neither."""
    store = create(path)
    store.replace([written(f"d{place}", f"{place}") for place in range(40)])
    small = measured(store, path)
    assert 0 <= small.vectors - 40 * DIMENSION * FLOAT32_BYTES <= PADDING_MAX
    text = os.urandom(50_000).hex()  # one word, which is compressed to half
    store.replace([written("long", text)])
    store.index_words()
    large = measured(store, path)
    assert 0 <= large.vectors - 41 * DIMENSION * FLOAT32_BYTES <= 2 * PADDING_MAX
    assert large.documents - small.documents >= len(text) / 2
    store.replace([written(f"d{place}", "other") for place in range(40)])
    replaced = measured(store, path)
    assert 0 <= replaced.vectors - large.vectors <= 2 * PADDING_MAX
    assert replaced.replaced > large.replaced > 0


def test_nothing_is_replaced_once_old_versions_are_removed(path: Path) -> None:
    store = create(path)
    for turn in range(4):
        store.replace([written("a", str(turn))])
    before = measured(store, path)
    old = time.time() - 3_600
    for file in path.rglob("*"):
        os.utime(file, (old, old))
    freed = store.remove_old_versions()
    after = measured(store, path)
    assert before.replaced > 0
    assert before.replaced - after.replaced >= freed > 0
    assert after.vectors == before.vectors


def test_a_missing_file_is_a_damaged_store(path: Path) -> None:
    store = create(path)
    store.replace([written("a", "0")])
    next(path.glob("data/*.lance")).unlink()
    with pytest.raises(StoreCorrupt):
        measure_store(LanceStore.open(path, dimension=DIMENSION).snapshot(), LocalPlace(path))
