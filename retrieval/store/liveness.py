"""The live chunks of a version. Checked for every hit of every search, so it must cost no more than an array lookup.

Numbers ascend and are never reused, so the numbers of a version follow those of the version before. Liveness is one bit
per number, copied for each version: 125 kB for a million.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.arrays import AppendOnlyArray
from winnow.retrieval.records import ChunkNumbers

Flags = NDArray[np.bool_]

REMOVED_SHARE_MAX: Final = 0.25  # of the numbers; beyond it, copying the rest pays off


class LiveSet:
    """The live chunk numbers of one version, among some that were alive in an earlier one. Never changes."""

    def __init__(self, known: AppendOnlyArray[np.int64], bits: NDArray[np.uint8], *, count: int) -> None:
        """Of the `known` numbers, ascending, `count` are alive; the bit of the n-th has the value 2^(n mod 8)."""
        self._known = known
        self._bits = bits
        self._count = count

    @classmethod
    def of(cls, numbers: ChunkNumbers) -> LiveSet:
        """Create the set of all these numbers, which ascend."""
        return cls(AppendOnlyArray.of(numbers), _bits(np.ones(len(numbers), dtype=np.bool_)), count=len(numbers))

    def followed_by(self, *, gone: ChunkNumbers, new: ChunkNumbers) -> LiveSet:
        """Return the next version: `gone` were alive, and `new` are greater than all numbers so far."""
        known, old = self._known.followed_by(new), len(self._known.rows)
        bits = np.zeros(-(-len(known.rows) // 8), dtype=np.uint8)
        bits[: len(self._bits)] = self._bits
        places = np.arange(old, len(known.rows))
        np.bitwise_or.at(bits, places >> 3, _bit(places))
        places = np.searchsorted(known.rows, gone)
        np.bitwise_and.at(bits, places >> 3, ~_bit(places))
        follower = LiveSet(known, bits, count=self._count + len(new) - len(gone))
        if len(known.rows) - follower._count > REMOVED_SHARE_MAX * len(known.rows):
            return LiveSet.of(follower.numbers())
        return follower

    def includes(self, numbers: ChunkNumbers) -> Flags:
        """Return which of these numbers, in any order, are alive."""
        known = self._known.rows
        if not len(known):
            return np.zeros(len(numbers), dtype=np.bool_)
        places = np.minimum(known.searchsorted(numbers), len(known) - 1)
        alive: Flags = (known[places] == numbers) & ((self._bits[places >> 3] & _bit(places)) != 0)
        return alive

    def numbers(self) -> ChunkNumbers:
        """Return the live numbers, ascending. Costs a pass over all of them."""
        known = self._known.rows
        alive = np.unpackbits(self._bits, count=len(known), bitorder="little")
        return known[alive.astype(np.bool_)]

    def last(self) -> int:
        """Return the greatest number that was ever alive, or -1."""
        return int(self._known.rows[-1]) if len(self._known.rows) else -1


def _bits(flags: Flags) -> NDArray[np.uint8]:
    return np.packbits(flags, bitorder="little")


def _bit(places: NDArray[np.int64]) -> NDArray[np.uint8]:
    bits: NDArray[np.uint8] = np.left_shift(1, places & 7).astype(np.uint8)
    return bits
