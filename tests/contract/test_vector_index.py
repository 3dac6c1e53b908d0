"""What every VectorIndex promises, compared with a brute force that shares no code with any of them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import unit_vectors
from tests.fake_device import FakeCard
from winnow.retrieval.errors import GenerationCorrupt
from winnow.retrieval.index.faiss_flat import FaissFlatIndex, probe
from winnow.retrieval.index.gpu_index import DeviceFlatIndex
from winnow.retrieval.index.vector_index import ExactIndex, VectorIndex
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import VectorBatch

Build = Callable[[ChunkNumbers, Vectors], VectorIndex]


def faiss_flat(numbers: ChunkNumbers, vectors: Vectors) -> VectorIndex:
    """In batches of 7, as a store would give them."""
    batches = (
        VectorBatch(numbers=numbers[start : start + 7], vectors=vectors[start : start + 7])
        for start in range(0, len(numbers), 7)
    )
    return FaissFlatIndex.build(batches, dimension=vectors.shape[1], count=len(numbers) * 2 // 3)  # more come than said


def faiss_flat_reopened(numbers: ChunkNumbers, vectors: Vectors) -> VectorIndex:
    """Written to bytes and read again."""
    file = io.BytesIO()
    built = faiss_flat(numbers, vectors)
    assert isinstance(built, FaissFlatIndex)
    built.write(file.write)
    file.seek(0)
    return FaissFlatIndex.read(file, numbers)


def on_a_device(numbers: ChunkNumbers, vectors: Vectors) -> VectorIndex:
    """A copy in half precision finds, and the vectors of the host are compared."""
    built = faiss_flat(numbers, vectors)
    assert isinstance(built, FaissFlatIndex)
    return DeviceFlatIndex(built, FakeCard().flat(vectors), device="cuda:0", needed=0)


@pytest.fixture(params=[ExactIndex, faiss_flat, faiss_flat_reopened, on_a_device], ids=lambda build: build.__name__)
def build(request: pytest.FixtureRequest) -> Build:
    return request.param


def brute_force(numbers: ChunkNumbers, vectors: Vectors, query: Vectors, k: int) -> list[tuple[int, float]]:
    """In double precision and plain Python."""
    scored = [
        (int(number), sum(float(a) * float(b) for a, b in zip(vector, query, strict=True)))
        for number, vector in zip(numbers, vectors, strict=True)
    ]
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k]


@pytest.mark.parametrize("count", [1, 2, 50, 300])
@pytest.mark.parametrize("k", [1, 10, 64, 1_000])
def test_hits_and_similarities_agree_with_brute_force(build: Build, count: int, k: int) -> None:
    """By value and by order, for every k up to more than there are."""
    numbers = np.arange(count, dtype=np.int64) * 5 + 2
    vectors = unit_vectors(count, dimension=24)
    index = build(numbers, vectors)
    for query in unit_vectors(5, dimension=24, seed=1):
        expected = brute_force(numbers, vectors, query, k)
        hits = index.search(query, k)
        assert hits.numbers.tolist() == [number for number, _ in expected]
        np.testing.assert_allclose(hits.similarities, [similarity for _, similarity in expected], atol=1e-6)
        assert (hits.numbers.dtype, hits.similarities.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_only_allowed_chunks_answer(build: Build, share: float) -> None:
    """The nearest of those, by value and by order; numbers that the index does not hold are passed over."""
    numbers = np.arange(300, dtype=np.int64) * 5 + 2
    vectors = unit_vectors(300, dimension=24)
    index = build(numbers, vectors)
    inside = np.random.default_rng(1).random(300) < share
    allowed = np.sort(np.append(numbers[inside], [0, 3, 9_999]))
    for query in unit_vectors(3, dimension=24, seed=1):
        for k in (1, 20, 400):
            expected = brute_force(numbers[inside], vectors[inside], query, k)
            hits = index.search(query, k, allowed=allowed)
            assert hits.numbers.tolist() == [number for number, _ in expected]
            np.testing.assert_allclose(hits.similarities, [similarity for _, similarity in expected], atol=1e-6)
    np.testing.assert_array_equal(index.vectors_of(numbers[inside]), vectors[inside])


def test_equal_vectors_come_in_order_of_their_numbers(build: Build) -> None:
    """Also when more are equal than are asked for: the lowest numbers are kept."""
    vectors = np.repeat(unit_vectors(3, dimension=16), 40, axis=0)
    numbers = np.arange(len(vectors), dtype=np.int64) + 1_000
    index = build(numbers, vectors)
    for group in range(3):
        for k in (1, 5, 39, 40):
            hits = index.search(vectors[40 * group], k)
            assert hits.numbers.tolist() == numbers[40 * group : 40 * group + k].tolist()
            np.testing.assert_allclose(hits.similarities, 1.0, atol=1e-6)


def test_opposite_and_orthogonal_vectors_have_their_cosines(build: Build) -> None:
    """A similarity is a cosine, not a distance: 1, 0 and -1."""
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    hits = build(np.array([7, 8, 9]), vectors).search(vectors[0], 3)
    assert hits.numbers.tolist() == [7, 8, 9]
    assert hits.similarities.tolist() == [1.0, 0.0, -1.0]


def test_an_empty_index_finds_nothing(build: Build) -> None:
    """And still knows its dimension."""
    index = build(np.empty(0, dtype=np.int64), np.empty((0, 16), dtype=np.float32))
    hits = index.search(unit_vectors(1, dimension=16)[0], 10)
    assert (hits.numbers.tolist(), hits.similarities.tolist()) == ([], [])
    assert (index.dimension, index.numbers.tolist()) == (16, [])


def test_numbers_may_be_as_large_as_they_like(build: Build) -> None:
    """Chunk numbers are never used again, so that they outgrow 32 bits in time."""
    numbers = np.array([0, 2**31, 2**40, 2**62], dtype=np.int64)
    vectors = unit_vectors(4, dimension=16)
    assert [int(build(numbers, vectors).search(vector, 1).numbers[0]) for vector in vectors] == numbers.tolist()


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 60), k=st.integers(1, 80), seed=st.integers(0, 2**16), distinct=st.integers(1, 8))
def test_faiss_and_the_exact_index_are_the_same_function(count: int, k: int, seed: int, distinct: int) -> None:
    """Over any sizes and many repeated vectors."""
    vectors = unit_vectors(distinct, dimension=8, seed=seed)[np.random.default_rng(seed).integers(0, distinct, count)]
    numbers = np.flatnonzero(np.random.default_rng(seed).random(3 * count + 3) < 0.5).astype(np.int64)[:count]
    vectors = vectors[: len(numbers)].reshape(-1, 8)
    query = unit_vectors(1, dimension=8, seed=seed + 1)[0]
    exact, flat = ExactIndex(numbers, vectors).search(query, k), faiss_flat(numbers, vectors).search(query, k)
    np.testing.assert_allclose(flat.similarities, exact.similarities, atol=1e-6)
    assert len(flat.numbers) == min(k, len(numbers)) == len(set(flat.numbers.tolist()))


def test_what_is_no_flat_index_is_refused() -> None:
    """Not FAISS's own complaint, and never a crash."""
    with pytest.raises(GenerationCorrupt, match="cannot read"):
        FaissFlatIndex.read(io.BytesIO(b"not an index at all"), np.empty(0, dtype=np.int64))
    built = faiss_flat(np.arange(3), unit_vectors(3))
    file = io.BytesIO()
    assert isinstance(built, FaissFlatIndex)
    built.write(file.write)
    file.seek(0)
    with pytest.raises(GenerationCorrupt, match="3 vectors, but there are 2 chunk numbers"):
        FaissFlatIndex.read(file, np.arange(2))


def test_the_probe_passes_a_whole_index_and_refuses_vectors_that_are_not_finite() -> None:
    """FAISS itself never answers with a NaN row, and never complains about one."""
    vectors = unit_vectors(20)
    probe(FaissFlatIndex.build([VectorBatch(numbers=np.arange(20), vectors=vectors)], dimension=8))
    vectors[0, 0] = np.nan
    with pytest.raises(GenerationCorrupt, match="chunk 0"):
        probe(FaissFlatIndex.build([VectorBatch(numbers=np.arange(20), vectors=vectors)], dimension=8))


def test_a_sink_that_fails_stops_the_write() -> None:
    """FAISS's own writer reports nothing when a small file does not fit on the disk; this one does."""

    def full(block: bytes) -> None:
        raise OSError(28, "No space left on device")

    built = faiss_flat(np.arange(3), unit_vectors(3))
    assert isinstance(built, FaissFlatIndex)
    with pytest.raises(OSError, match="No space"):
        built.write(full)
