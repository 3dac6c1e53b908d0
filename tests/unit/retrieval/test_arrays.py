"""What two ascending lists of chunk numbers have in common, beside what numpy says by sorting."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from winnow.retrieval.arrays import difference_sorted, intersect_sorted, isin_sorted, mask_sorted
from winnow.retrieval.records import ChunkNumbers

ASCENDING = some.sets(some.integers(0, 60), max_size=30).map(lambda chosen: np.array(sorted(chosen), dtype=np.int64))


@given(ASCENDING, ASCENDING)
def test_which_are_among_the_others(numbers: ChunkNumbers, others: ChunkNumbers) -> None:
    expected = np.isin(numbers, others).tolist()
    assert isin_sorted(numbers, others).tolist() == expected
    assert mask_sorted(numbers, others).tolist() == expected
    assert isin_sorted(numbers[::-1], others).tolist() == expected[::-1]


@given(some.integers(0, 10_000), some.floats(0, 0.1), some.integers(1, 20), some.integers(0, 1_000))
def test_few_and_many_chosen_of_a_large_index(begin: int, share: float, step: int, seed: int) -> None:
    """Close together and far apart, so that each way is taken."""
    chance = np.random.default_rng(seed)
    numbers = begin + step * np.flatnonzero(chance.random(2_000) < 0.9)
    chosen = np.flatnonzero(chance.random(begin + step * 2_500) < share)
    assert mask_sorted(numbers, chosen).tolist() == np.isin(numbers, chosen).tolist()


@given(ASCENDING, ASCENDING)
def test_what_both_hold_and_what_only_one_holds(numbers: ChunkNumbers, others: ChunkNumbers) -> None:
    assert intersect_sorted(numbers, others).tolist() == np.intersect1d(numbers, others).tolist()
    assert difference_sorted(numbers, others).tolist() == np.setdiff1d(numbers, others).tolist()
