"""retrieval/backup/integrity.py: damage that no library reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.builders import DIMENSION, embedded, written
from tests.fakes import MemorySnapshot, MemoryStore
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.backup.integrity import faults
from winnow.retrieval.index.faiss_flat import FaissFlatIndex
from winnow.retrieval.records import Document
from winnow.retrieval.store.lance_store import LanceStore

DOCUMENTS = [
    Document(id="a", title="标题", text="一二三四五六", url="https://example.org", metadata={"b": 1, "a": [None, 2.5]}),
    Document(id="b", text="plain text in several chunks"),
    Document(id="c", text=""),
]


def filled() -> MemorySnapshot:
    store = MemoryStore()
    store.replace([embedded(document, pieces=3) for document in DOCUMENTS])
    return store.snapshot()


def test_a_sound_store_has_no_faults(tmp_path: Path) -> None:
    """Also after replacements, deletes and metadata of every JSON type; an empty one has none either."""
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    assert list(faults(store.snapshot())) == []
    store.replace([embedded(document, pieces=3) for document in DOCUMENTS])
    store.replace([written("b", "changed", pieces=2), written("d", "more")])
    store.delete(["c"])
    assert list(faults(store.snapshot())) == []
    assert list(faults(filled())) == []


def test_a_changed_letter_is_found() -> None:
    """In any chunk's text, in a title, in the metadata: the document is named, and the others are sound."""
    sound = filled()
    for change in ({"text": "x"}, {"title": "标題"}, {"metadata": {"b": 2}}, {"url": None}):
        chunk, vector = sound.stored[0]
        damaged = replace(sound, stored={**sound.stored, 0: (replace(chunk, **change), vector)})
        assert list(faults(damaged)) == ["document 'a' differs from what was written"]


def test_a_lost_chunk_and_a_lost_document_are_found() -> None:
    """Missing text is as wrong as other text."""
    sound = filled()
    without_one = replace(sound, stored={n: row for n, row in sound.stored.items() if n != 4})
    assert list(faults(without_one)) == ["document 'b' differs from what was written"]
    without_a = replace(sound, stored={n: row for n, row in sound.stored.items() if n > 2})
    assert list(faults(without_a)) == ["document 'a' has lost its chunks"]


def test_a_vector_that_is_not_of_length_one_is_found() -> None:
    """Too long, zero, and not a number at all."""
    sound = filled()
    chunk, vector = sound.stored[1]
    for factor in (2.0, 0.0, np.nan):
        damaged = replace(sound, stored={**sound.stored, 1: (chunk, (vector * factor).astype(np.float32))})
        assert list(faults(damaged)) == ["the vector of chunk 1 does not have length 1"]


def test_a_vector_that_differs_from_its_generation_is_found() -> None:
    """One bit is enough; chunks that are newer than the generation are not compared."""
    sound = filled()
    generation = FaissFlatIndex.build(sound.vectors(), dimension=DIMENSION)
    assert list(faults(sound, generation=generation)) == []
    chunk, vector = sound.stored[1]
    nudged = vector.copy()
    nudged[2] = np.nextafter(nudged[2], np.float32(1.0))
    damaged = replace(sound, stored={**sound.stored, 1: (chunk, nudged)})
    assert list(faults(damaged, generation=generation)) == [
        "the vector of chunk 1 differs from the one that its generation was built from"
    ]
    older = FaissFlatIndex.build(list(sound.vectors())[1:], dimension=DIMENSION)  # without the first batch
    assert list(faults(damaged, generation=older)) == []
