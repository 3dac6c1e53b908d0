"""Packs hold every sequence once, within their bound, and groups lie side by side."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.model.packing import Pack, make_batches, make_packs

LENGTHS = st.lists(st.integers(1, 300), max_size=60)


@given(lengths=LENGTHS, tokens_max=st.integers(1, 700), stretch_max=st.sampled_from([1.0, 1.25, 3.0]))
def test_every_sequence_is_in_one_pack_within_the_bound(
    lengths: list[int], tokens_max: int, stretch_max: float
) -> None:
    """Nothing is lost or computed twice; only a sequence that is too long alone exceeds the bound, alone."""
    found = make_packs(lengths, tokens_max=tokens_max, stretch_max=stretch_max)
    assert sorted(member for pack in found for member in pack.members) == list(range(len(lengths)))
    for pack in found:
        assert pack.lengths == tuple(lengths[member] for member in pack.members)
        assert sum(pack.lengths) <= tokens_max or len(pack.members) == 1


@given(lengths=LENGTHS.filter(bool), stretch_max=st.sampled_from([1.0, 1.25, 3.0]))
def test_groups_tile_the_rows_of_a_pack(lengths: list[int], stretch_max: float) -> None:
    """The first group starts at row 0 and each starts where the one before stops; none is stretched too far."""
    (pack,) = make_packs(lengths, tokens_max=sum(lengths), stretch_max=stretch_max)
    assert pack.groups[0].start == 0
    assert pack.groups[-1].stop == sum(lengths)
    assert all(one.stop == other.start for one, other in pairwise(pack.groups))
    assert all(group.longest <= group.lengths[0] * stretch_max for group in pack.groups)
    assert all(group.is_even for group in pack.groups) or stretch_max > 1.0


def test_without_stretching_groups_are_the_equal_lengths() -> None:
    """As many calls of attention as there are different lengths."""
    (pack,) = make_packs([3, 5, 3, 4, 5, 3], tokens_max=100, stretch_max=1.0)
    assert [group.lengths for group in pack.groups] == [(3, 3, 3), (4,), (5, 5)]
    assert pack.members == (0, 2, 5, 3, 1, 4)


def test_nothing_is_no_pack() -> None:
    """And not an empty one, which would have no last position."""
    nothing: list[Pack] = []
    assert make_packs([], tokens_max=10, stretch_max=1.0) == nothing


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 2_048))
def test_padded_batches_hold_every_sequence_within_the_bound(lengths: list[int], tokens_max: int) -> None:
    """Once each, neighbours in length together, padding counted; what is longer than the bound is alone."""
    found = make_batches(lengths, tokens_max=tokens_max)
    assert sorted(each for batch in found for each in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[each] for each in batch)
        assert len(batch) == 1 or len(batch) * longest <= tokens_max
    ordered = [lengths[each] for batch in found for each in batch]
    assert ordered == sorted(ordered)
