"""Vectors in float16: what is read, how much is lost, and what stays what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders import DIMENSION, embedded, unit_vectors, written
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.records import Document, Vectors
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.rows import require_schema, schema_of
from winnow.retrieval.store.vector_column import cosine_loss, vector_array, vector_format, vectors_in
from winnow.retrieval.vector_format import VectorFormat

FLOAT16 = VectorFormat.FLOAT16
LOSS_MAX = 5e-4  # what the documentation promises


def rounded(vectors: Vectors) -> Vectors:
    """An implementation of its own: the nearest multiple of the step at this magnitude, ties to even."""
    exponent = np.maximum(np.frexp(vectors.astype(np.float64))[1], -13)  # below, steps no longer shrink
    step = np.ldexp(1.0, exponent - 11)
    nearest: Vectors = (np.rint(vectors.astype(np.float64) / step) * step).astype(np.float32)
    return nearest


def store_in(folder: Path, stored_as: VectorFormat) -> LanceStore:
    return LanceStore.create(folder / "corpus.lance", dimension=DIMENSION, vectors=stored_as, syncer=WatchedSyncer())


def all_vectors(store: LanceStore) -> Vectors:
    return np.concatenate([batch.vectors for batch in store.snapshot().vectors()])


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_what_is_read_is_the_nearest_float16_as_float32(scale: float) -> None:
    """Also where float16 has few digits left."""
    vectors = unit_vectors(200, seed=1) * np.float32(scale)
    read = vectors_in(vector_array(vectors, FLOAT16))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, rounded(vectors))
    np.testing.assert_array_equal(vectors_in(vector_array(vectors, VectorFormat.FLOAT32)), vectors)


def test_no_query_loses_more_than_is_told_and_one_loses_it() -> None:
    vectors = unit_vectors(300, dimension=64, seed=2)
    told = cosine_loss(vectors, FLOAT16)
    assert told is not None
    assert 0 < told < LOSS_MAX
    lost = vectors.astype(np.float64) - rounded(vectors)
    for queries in (unit_vectors(500, dimension=64, seed=3), lost / np.linalg.norm(lost, axis=1, keepdims=True)):
        assert float(np.abs(lost @ queries.T.astype(np.float64)).max()) <= told * (1 + 1e-9)
    assert float(np.einsum("ij,ij->i", lost, lost).max()) == pytest.approx(told**2)
    assert cosine_loss(vectors, VectorFormat.FLOAT32) is None
    assert cosine_loss(vectors[:0], FLOAT16) == 0.0


def test_the_most_that_can_be_lost_is_less_than_promised() -> None:
    """Every number half-way between two of float16, just above a power of two, and as short as a vector may be long."""
    halfway = np.float32(0.125 * (1 + 2.0**-11))
    assert cosine_loss(np.full((1, 64), halfway), FLOAT16) == pytest.approx(np.sqrt(64) * 0.125 * 2.0**-11)
    assert LOSS_MAX > 1.01 * 2.0**-11


def test_writes_removals_and_joins_keep_the_format(tmp_path: Path) -> None:
    """Of rows that are copied, and of those that are written later, with attributes and structure in new columns."""
    store = store_in(tmp_path, FLOAT16)
    documents = {f"d{place}": written(f"d{place}", f"text {place}", pieces=2) for place in range(40)}
    for each in documents.values():  # one commit each, so that fragments are joined
        store.replace([each])
    documents["d3"] = embedded(Document(id="d3", text="another", metadata={"year": 3}))
    store.replace([documents["d3"]])
    store.delete(["d5"])
    del documents["d5"]
    store.clean_up()
    for opened in (store, LanceStore.open(tmp_path / "corpus.lance", dimension=DIMENSION)):
        snapshot = opened.snapshot()
        assert opened.vector_format is snapshot.vector_format is FLOAT16
        numbers = snapshot.chunk_numbers().tolist()
        found = dict(zip(numbers, snapshot.vectors_of(numbers), strict=True))
        for chunk in snapshot.chunks(numbers):
            expected = rounded(documents[chunk.document_id].vectors)[chunk.ordinal]
            np.testing.assert_array_equal(found[chunk.number], expected)
        np.testing.assert_array_equal(all_vectors(opened), snapshot.vectors_of(numbers))
    assert snapshot.vectors_of([]).dtype == np.float32


def test_an_existing_store_keeps_its_format(tmp_path: Path) -> None:
    """Whatever is asked for when it is opened again."""
    store_in(tmp_path, FLOAT16).replace([written("a", "0")])
    again = store_in(tmp_path, VectorFormat.FLOAT32)
    assert again.vector_format is FLOAT16
    again.replace([written("b", "1")])
    assert again.snapshot().counts() == (2, 2)


def test_an_earlier_winnow_refuses_what_it_could_not_write_to() -> None:
    """It knows the formats 1 to 3; float32 stores stay of format 3."""
    formats = {each: schema_of(DIMENSION, each).metadata[b"winnow.format"] for each in VectorFormat}
    assert formats == {VectorFormat.FLOAT32: b"3", FLOAT16: b"4"}
    for each in VectorFormat:
        assert vector_format(schema_of(DIMENSION, each)) is each
        require_schema(schema_of(DIMENSION, each), DIMENSION, "here")
    with pytest.raises(StoreCorrupt):
        require_schema(schema_of(DIMENSION).with_metadata({b"winnow.format": b"5"}), DIMENSION, "here")
