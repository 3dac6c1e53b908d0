"""Compares orders with a teacher's scores. Pure.

nDCG has the teacher's relevance as gain, discounted by log2(rank + 1). retrieval/significance.py tests differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

DEPTH: Final = 10  # places that nDCG looks at


def best_first(scores: Sequence[float]) -> list[int]:
    """Places in descending order of score; equal scores keep their order."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def ndcg(order: Sequence[int], gains: Sequence[float], *, depth: int = DEPTH) -> float:
    """nDCG of an order of places, with a gain for each place. 1 if no place has a gain: no order is better."""
    best = sorted(gains, reverse=True)[:depth]
    ideal = _discounted(best)
    return _discounted([gains[place] for place in order[:depth]]) / ideal if ideal > 0 else 1.0


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
