"""Groups sequences into packs of bounded size without padding. Pure.

The linear layers of a decoder treat each token alone, so the tokens of a whole pack go through them as one matrix.
Attention does not: it is computed by group, a run of sequences of (nearly) the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Sequences that are adjacent in a pack and share a call of attention."""

    start: int  # row of its first token in the pack
    lengths: tuple[int, ...]  # tokens, ascending

    @property
    def stop(self) -> int:
        return self.start + sum(self.lengths)

    @property
    def longest(self) -> int:
        return self.lengths[-1]

    @property
    def is_even(self) -> bool:
        """Whether all have the same length, so nothing is padded."""
        return self.lengths[0] == self.lengths[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One micro-batch."""

    members: tuple[int, ...]  # positions in the caller's list, shortest sequence first
    groups: tuple[Group, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(length for group in self.groups for length in group.lengths)


def make_packs(lengths: Sequence[int], *, tokens_max: int, stretch_max: float) -> list[Pack]:
    """Put every sequence in one pack of at most `tokens_max` tokens; a longer sequence is a pack by itself.

    `stretch_max` limits padding inside attention, as a multiple of a sequence's length; 1.0 is none.
    """
    assert stretch_max >= 1.0, "padding does not shrink. This is a bug."
    assert all(length > 0 for length in lengths), "an empty sequence has no last position. This is a bug."
    found: list[Pack] = []
    members: list[int] = []
    tokens = 0
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if members and tokens + lengths[position] > tokens_max:
            found.append(_pack(members, lengths, stretch_max))
            members, tokens = [], 0
        members.append(position)
        tokens += lengths[position]
    if members:
        found.append(_pack(members, lengths, stretch_max))
    return found


def _pack(members: Sequence[int], lengths: Sequence[int], stretch_max: float) -> Pack:
    groups: list[Group] = []
    start = 0
    together: list[int] = []
    for member in members:
        if together and lengths[member] > together[0] * stretch_max:
            groups.append(Group(start=start, lengths=tuple(together)))
            start += sum(together)
            together = []
        together.append(lengths[member])
    groups.append(Group(start=start, lengths=tuple(together)))
    return Pack(members=tuple(members), groups=tuple(groups))


def make_batches(lengths: Sequence[int], *, tokens_max: int) -> list[tuple[int, ...]]:
    """Put every position in one batch, shortest first, for models that pad: each batch is padded to its longest.

    A batch has at most `tokens_max` tokens with its padding; a longer sequence is a batch by itself.
    """
    found: list[tuple[int, ...]] = []
    members: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if members and (len(members) + 1) * lengths[position] > tokens_max:
            found.append(tuple(members))
            members = []
        members.append(position)
    return [*found, tuple(members)] if members else found
