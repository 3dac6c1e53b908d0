"""retrieval/generation/stored_vectors.py: without vectors, and yet always with the bits it was built from."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from tests.builders import DIMENSION, unit_vectors, written
from tests.fakes import MemorySnapshot, MemoryStore
from tests.upgrade.own_vectors import publish_with_vectors
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import GenerationCorrupt, StoreCorrupt
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.cleanup import RETIRED_SECONDS, clean
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.generation.open import open_newest, verify
from winnow.retrieval.generation.pointer import current_name, names
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store import lance_store, retention
from winnow.retrieval.store.contract import StoreSnapshot, VectorBatch
from winnow.retrieval.store.lance_store import LanceStore

IDENTITY = EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION)


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "c")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.replace([written(f"d{at}", f"text {at}", pieces=2) for at in range(10)])
    return store


def rows_of(snapshot: StoreSnapshot) -> dict[int, bytes]:
    return {
        number: vector.tobytes()
        for batch in snapshot.vectors()
        for number, vector in zip(batch.numbers.tolist(), batch.vectors, strict=True)
    }


def changed(store: MemoryStore, number: int) -> None:
    """Change one bit of a vector, as a disk may."""
    newest = store.snapshot()
    chunk, vector = newest.stored[number]
    words = vector.copy().view(np.uint32)
    words[0] ^= 1
    store._newest = replace(newest, stored=MappingProxyType({**newest.stored, number: (chunk, words.view(np.float32))}))


def test_no_vector_is_written(folder: CollectionFolder, store: MemoryStore) -> None:
    """Numbers and checksums take 16 bytes a chunk."""
    publish(folder, store.snapshot(), IDENTITY)
    sizes = {file.name: file.stat().st_size for file in (folder.generations / "g000001").iterdir()}
    assert (sizes.pop("numbers.i64"), sizes.pop("vectors.sums")) == (160, 160)
    assert sizes.keys() == {"manifest.json", "manifest.sha256"}


def test_whatever_the_store_went_through_the_bits_are_those_it_was_built_from(
    folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each version that a generation was built from is replaced, joined with others, and cleaned up."""
    monkeypatch.setattr(lance_store, "SMALL_FRAGMENTS_MAX", 2)
    folder.path.mkdir()
    store = LanceStore.create(folder.corpus, dimension=DIMENSION)
    built: dict[str, dict[int, bytes]] = {}
    for turn in range(8):
        store.replace([written(f"d{turn}", f"text {turn}", pieces=3), written("same", f"again {turn}", pieces=2)])
        if turn % 3 == 2:
            store.delete([f"d{turn - 2}"])
        built[publish(folder, store.snapshot(), IDENTITY).name] = rows_of(store.snapshot())
    monkeypatch.setattr(retention, "SUPERSEDED_SECONDS", -1.0)
    versions = len(list((folder.corpus / "_versions").glob("*.manifest")))
    assert store.clean_up() > 0
    assert len(list((folder.corpus / "_versions").glob("*.manifest"))) < versions
    live = rows_of(store.snapshot())
    everything = IndexReader(folder=folder, store=store, identity=IDENTITY).view_through(None)
    for name in names(folder):
        if name != current_name(folder):
            roll_back(folder, IDENTITY, to=name)
        opened = open_newest(folder, IDENTITY, store)
        assert opened is not None
        assert (opened.name, opened.fallback_from) == (name, None)
        expected = {number: vector for number, vector in built[name].items() if number in live}
        numbers = opened.index.numbers
        found = dict(zip(numbers.tolist(), (each.tobytes() for each in opened.index.vectors_of(numbers)), strict=True))
        assert found == expected
        view = IndexReader(folder=folder, store=store, identity=IDENTITY).view()
        for query in unit_vectors(3, seed=1):
            assert view.search(query, 5).numbers.tolist() == everything.search(query, 5).numbers.tolist()
    assert [check.fault for check in verify(folder, store)] == [None] * len(built)


def test_a_changed_vector_is_neither_served_nor_published(folder: CollectionFolder, store: MemoryStore) -> None:
    """Its chunk is named. Once the chunk is gone, everything else is served again."""
    publish(folder, store.snapshot(), IDENTITY)
    changed(store, 7)
    said = "the vector of chunk 7 differs from the one that generation g000001 was built from"
    with pytest.raises(StoreCorrupt, match=said):
        IndexReader(folder=folder, store=store, identity=IDENTITY).view()
    with pytest.raises(StoreCorrupt, match=said):
        fold(folder, store.snapshot(), IDENTITY)
    assert (current_name(folder), names(folder)) == ("g000001", ["g000001"])
    assert said in str(verify(folder, store)[0].fault)
    store.delete(["d3"])
    assert IndexReader(folder=folder, store=store, identity=IDENTITY).view().generation == "g000001"
    assert fold(folder, store.snapshot(), IDENTITY).count == 18


def test_what_is_open_goes_on_serving_when_the_disk_changes(folder: CollectionFolder, store: MemoryStore) -> None:
    """Its vectors were right when they were read."""
    publish(folder, store.snapshot(), IDENTITY)
    reader = IndexReader(folder=folder, store=store, identity=IDENTITY)
    reader.view()
    changed(store, 7)
    assert reader.follow().search(unit_vectors(1)[0], 3).numbers.size == 3


@pytest.mark.parametrize("lost", ["versions", "numbers"])
def test_a_generation_of_another_store_is_built_again(folder: CollectionFolder, store: MemoryStore, lost: str) -> None:
    """The store's folder was put back to an earlier state. It serves alone, visibly, until the next generation."""
    other = MemoryStore()
    if lost == "versions":
        other.replace([written(f"d{at}", f"text {at}", pieces=2) for at in range(3)])
        store.replace([written("late", "late")])
        said = "it was built from version 3, and the store has only 2"
    else:
        other.replace([written(f"d{at}", f"text {at}", pieces=2) for at in range(10)])
        store.delete(["d1"])
        other.replace([written("late", "late")])
        other.delete(["late"])
        said = "the store has older chunks that are not in it"
    publish(folder, store.snapshot(), IDENTITY)
    with pytest.raises(GenerationCorrupt, match=said):
        open_newest(folder, IDENTITY, other)
    assert said in str(verify(folder, other)[0].fault)
    view = IndexReader(folder=folder, store=other, identity=IDENTITY).view()
    assert view.generation is None
    assert said in str(view.fallback_from)
    assert set(view.search(unit_vectors(1)[0], 100).numbers.tolist()) == set(rows_of(other.snapshot()))
    fold(folder, other.snapshot(), IDENTITY)
    assert IndexReader(folder=folder, store=other, identity=IDENTITY).view().fallback_from is None


class HeldStore(MemoryStore):
    """Remembers whether its versions were held while vectors were read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held = False
        self.read_while_held: list[bool] = []

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        self.is_held = True
        yield
        self.is_held = False

    def snapshot(self) -> MemorySnapshot:
        store, newest = self, super().snapshot()

        class Watched(MemorySnapshot):
            def vectors(self, *, after: int = -1) -> Iterator[VectorBatch]:
                store.read_while_held.append(store.is_held)
                return newest.vectors(after=after)

        return Watched(version=newest.version, documents=newest.documents, stored=newest.stored)


def test_no_version_goes_while_it_is_read(folder: CollectionFolder) -> None:
    """Opening a large index may take longer than versions stay after they were replaced."""
    store = HeldStore()
    store.replace([written("a", "text")])
    publish(folder, store.snapshot(), IDENTITY)
    store.read_while_held.clear()
    open_newest(folder, IDENTITY, store)
    assert store.read_while_held == [True]


def test_an_old_folder_opens_and_shrinks(folder: CollectionFolder, store: MemoryStore) -> None:
    """The copy of the vectors goes with the generation that has it; until then one can go back to it."""
    publish_with_vectors(folder, store.snapshot(), IDENTITY)
    opened = open_newest(folder, IDENTITY, store)
    assert opened is not None
    assert opened.index.numbers.tolist() == list(range(20))
    fold(folder, store.snapshot(), IDENTITY)
    assert not (folder.generations / "g000002" / "vectors.faiss").exists()
    assert roll_back(folder, IDENTITY) == "g000001"
    assert IndexReader(folder=folder, store=store, identity=IDENTITY).view().generation == "g000001"
    fold(folder, store.snapshot(), IDENTITY)
    clean(folder, now=time.time() + RETIRED_SECONDS + 60)
    assert not list(folder.generations.glob("*/vectors.faiss"))
