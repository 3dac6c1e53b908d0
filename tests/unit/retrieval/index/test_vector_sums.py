"""retrieval/index/vector_sums.py: another vector has another sum."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.index.vector_sums import sums_of

WORDS = st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6)


@given(rows=st.lists(WORDS, min_size=1, max_size=4))
def test_a_sum_is_what_its_rule_says(rows: list[list[int]]) -> None:
    """Each 32-bit word times its number, modulo 2**64, whatever the words are as floats."""
    vectors = np.array(rows, dtype=np.uint32).view(np.float32)
    multipliers = [int(sums_of(unit[None].view(np.float32))[0]) for unit in np.eye(6, dtype=np.uint32)]
    assert len(set(multipliers)) == 6
    expected = [sum(word * times for word, times in zip(row, multipliers, strict=True)) % 2**64 for row in rows]
    assert sums_of(vectors).tolist() == expected


@given(row=WORDS, flips=st.sets(st.integers(0, 6 * 32 - 1), min_size=1, max_size=6))
def test_flipped_bits_change_the_sum(row: list[int], flips: set[int]) -> None:
    """One or several: also the signs of two values, which cancel each other in weaker sums."""
    words = np.array([row], dtype=np.uint32)
    changed = words.copy()
    for at in flips:
        changed[0, at // 32] ^= np.uint32(1 << at % 32)
    assert sums_of(words.view(np.float32)) != sums_of(changed.view(np.float32))


def test_the_numbers_are_part_of_the_format() -> None:
    """A generation that was written by another release, or on another machine, still opens."""
    vectors = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert [f"{each:016x}" for each in sums_of(vectors).tolist()] == ["1da6ea0c95000000", "5660481b97c00000"]


def test_half_precision_counts_as_its_float32_values() -> None:
    """What a store returns in float16 has the sum of what is searched."""
    vectors = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float16)
    assert sums_of(vectors).tolist() == sums_of(vectors.astype(np.float32)).tolist()
