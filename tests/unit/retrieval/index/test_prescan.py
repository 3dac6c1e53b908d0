"""Searching by codes first answers what comparing all vectors answers, to the bit; the full scan is the oracle."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.retrieval.index import faiss_flat, prescan
from winnow.retrieval.index.faiss_flat import FaissFlatIndex
from winnow.retrieval.index.prescan import Prescan, holds
from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import Vectors
from winnow.retrieval.store.contract import VectorBatch

WAITED = 60.0  # seconds, for a thread that takes milliseconds


@pytest.fixture(scope="module", autouse=True)
def few_are_enough() -> Any:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(prescan, "COUNT_MIN", 1)
        patched.setattr(prescan, "_AHEAD", 1)
        patched.setattr(prescan, "_SHARE_MAX", 1.0)
        yield


def unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Vectors about some things; some dimensions are always 0 and some are large, some vectors are the same."""

    seed: int = 0
    count: int = 500
    dimension: int = 32
    things: int = 20
    spread: float = 0.5
    repeated: float = 0.0

    def chance(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def vectors(self) -> Vectors:
        chance = self.chance()
        centres = chance.normal(size=(self.things, self.dimension))
        rows = centres[chance.integers(0, self.things, self.count)]
        rows = rows + self.spread * chance.normal(size=rows.shape)
        rows *= chance.choice([0.0, 1.0, 30.0], size=self.dimension, p=[0.1, 0.8, 0.1])
        again = chance.random(self.count) < self.repeated
        rows[again] = rows[chance.integers(0, self.count, int(again.sum()))]
        return unit(rows)


CASES = st.builds(
    Case,
    seed=st.integers(0, 2**32),
    count=st.integers(1, 700),
    dimension=st.sampled_from([1, 7, 16, 33, 96]),
    things=st.integers(1, 20),
    spread=st.sampled_from([0.0, 1e-4, 0.1, 2.0]),
    repeated=st.sampled_from([0.0, 0.5]),
)


def index_of(vectors: Vectors) -> FaissFlatIndex:
    numbers = 3 * np.arange(len(vectors), dtype=np.int64) + 1
    return FaissFlatIndex.build([VectorBatch(numbers=numbers, vectors=vectors)], dimension=vectors.shape[1])


def same(found: Hits, wanted: Hits) -> bool:
    return (
        found.numbers.tolist() == wanted.numbers.tolist()
        and found.similarities.tobytes() == wanted.similarities.tobytes()
    )


@given(case=CASES, k=st.integers(1, 120), share=st.sampled_from([None, 0.05, 0.6]))
@settings(max_examples=80, deadline=None)
def test_the_answer_is_that_of_comparing_all(case: Case, k: int, share: float | None) -> None:
    """Also where many are equally near, and where only some may answer."""
    vectors, chance = case.vectors(), case.chance()
    index = index_of(vectors)
    allowed = None if share is None else index.numbers[chance.random(case.count) < share]
    random = unit(chance.normal(size=(1, case.dimension)))[0]
    queries = [random, vectors[case.count // 2], np.zeros(case.dimension, np.float32)]
    wanted = [index.search(query, k, allowed=allowed) for query in queries]
    index.prepare()
    found = [index.search(query, k, allowed=allowed) for query in queries]
    assert all(map(same, found, wanted))


@given(seed=st.integers(0, 2**32), dimension=st.sampled_from([16, 100, 1_100]), spread=st.sampled_from([0.01, 1.0]))
@settings(max_examples=25, deadline=None)
def test_the_bound_holds_for_every_vector_and_is_narrow(seed: int, dimension: int, spread: float) -> None:
    case = Case(seed=seed, count=300, dimension=dimension, spread=spread)
    vectors, query = case.vectors(), unit(case.chance().normal(size=(1, dimension)))[0]
    codes = Prescan.over(vectors)
    assert codes is not None
    estimates, positions, bound = codes.candidates(query, len(vectors))
    assert holds(estimates, vectors[positions] @ query, bound)
    assert bound < 0.1


def test_few_vectors_are_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tests above would prove nothing."""
    vectors = Case(seed=7, count=5_000, dimension=64, things=200).vectors()
    index = index_of(vectors)
    wanted = index.search(vectors[3], 10)
    index.prepare()
    monkeypatch.setattr(index, "raw_search", None)
    compared: list[int] = []
    similarities = index._similarities

    def counted(row: Vectors, positions: Any) -> Vectors:
        compared.append(len(positions))
        return similarities(row, positions)

    monkeypatch.setattr(index, "_similarities", counted)
    assert same(index.search(vectors[3], 10), wanted)
    assert 10 < sum(compared) < 500


def test_codes_that_break_the_bound_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as of a build of FAISS that computes something else: one does, where the query is not whole numbers."""
    vectors = Case(seed=8).vectors()
    index = index_of(vectors)
    wanted = index.search(vectors[3], 10)
    index.prepare()
    codes = index._prescan
    assert codes is not None
    candidates = codes.candidates

    def wrong(query: Vectors, count: int, parameters: Any = None) -> Any:
        estimates, positions, bound = candidates(query, count, parameters)
        return estimates[::-1], positions, bound

    monkeypatch.setattr(codes, "candidates", wrong)
    assert same(index.search(vectors[3], 10), wanted)


def test_vectors_are_encoded_after_some_scans() -> None:
    """Not for a command that searches once, and no search waits for it."""
    index = index_of(Case(seed=9).vectors())
    query = index.vectors(np.array([1]))[0]
    for _ in range(faiss_flat._SCANS_BEFORE - 1):
        index.search(query, 5)
    assert not [each for each in threading.enumerate() if each.name == "encode-vectors"]
    assert index._prescan is None
    assert index.code_bytes == 0
    index.search(query, 5)
    for each in threading.enumerate():
        if each.name == "encode-vectors":
            each.join(WAITED)
    assert index._prescan is not None
    assert index.code_bytes == index.all_vectors().size  # a byte per number


def test_what_cannot_be_encoded_is_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = Case(seed=10, count=100, dimension=8).vectors()
    assert Prescan.over(np.where(vectors == vectors.max(), np.inf, vectors)) is None
    assert Prescan.over(np.where(vectors == vectors.max(), np.nan, vectors)) is None
    monkeypatch.setattr(prescan, "BYTES_MAX", 799)
    assert Prescan.over(vectors) is None
    monkeypatch.setattr(prescan, "COUNT_MIN", 101)
    monkeypatch.setattr(prescan, "BYTES_MAX", 800)
    assert Prescan.over(vectors) is None
