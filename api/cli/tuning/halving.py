"""Successive halving: which wordings are tried on which queries, and what that costs. Pure.

In each round all wordings that are left are tried on the same queries, and the better half goes on. The number of
queries doubles each time, up to all in the last round, so that the rounds cost about the same (Jamieson and Talwalkar
2016, arXiv 1502.07943). What was tried once is not tried again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ROUND_QUERIES_MIN: Final = 8  # a mean over fewer says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round tries."""

    wordings: int
    queries: int  # the first of the choosing half


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a tuning costs at most, in rerankings of one query's candidates."""

    choosing: int
    confirming: int

    @property
    def rerankings(self) -> int:
        return self.choosing + self.confirming


def halves(ids: Iterable[str], seed: int) -> tuple[list[str], list[str]]:
    """Split queries into those that choose and those that confirm. Depends on the ids and the seed alone."""
    drawn = sorted(ids, key=lambda each: hashlib.sha256(f"{seed} {each}".encode("utf-8", "surrogatepass")).digest())
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


def rounds(wordings: int, queries: int) -> list[Round]:
    """Plan the rounds: the last one tries two wordings, or one if there is only one, on all queries."""
    assert wordings > 0, "a wording to try. This is a bug."
    counts = [wordings]
    while counts[-1] > 2:  # two are compared on all queries
        counts.append(math.ceil(counts[-1] / 2))
    last = len(counts) - 1
    least = min(ROUND_QUERIES_MIN, queries)
    return [Round(wordings=count, queries=max(least, queries >> (last - place))) for place, count in enumerate(counts)]


def cost(plan: Sequence[Round], *, confirming: int) -> Cost:
    """Count the rerankings. The instruction in use is tried on all queries of both halves, the winner on the second."""
    seen, total = 0, plan[-1].queries
    for each in plan:
        total += each.wordings * (each.queries - seen)
        seen = each.queries
    return Cost(choosing=total, confirming=2 * confirming)


def better_half(means: Mapping[str, float], keep: int) -> list[str]:
    """Return the best wordings, best first; equal ones in their given order."""
    return sorted(means, key=lambda each: -means[each])[:keep]
