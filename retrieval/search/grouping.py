"""Which of the nearest chunks are candidates where an answer shows documents?

The nearest chunks may all be of one long document. So it is looked further, until there are as many documents as will
be shown; the best chunk of each is then a candidate, and the nearest of all others fill the places that are left. How
many are judged does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol, Self, TypeVar

from winnow.retrieval.records import ChunkNumbers

WIDENED_BY: Final = 4  # times; one more search costs less than the texts of one that asked for far too much


class Hits(Protocol):
    """What a search found, best first."""

    @property
    def numbers(self) -> ChunkNumbers: ...

    def at(self, places: Sequence[int]) -> Self:
        """Only these of it, in this order."""
        ...


Found = TypeVar("Found", bound=Hits)


def nearest_of_documents(
    search: Callable[[int], Found],
    document_ids: Callable[[ChunkNumbers], Sequence[str]],
    *,
    width: int,
    documents: int,
) -> Found:
    """At most `width` hits, best first, with as many documents among them as there are, up to `documents`.

    `search` gives the `k` best, and fewer only where there are no more.
    """
    asked = width
    while True:
        hits = search(asked)
        owners = document_ids(hits.numbers)
        if len(set(owners)) >= min(documents, width) or len(owners) < asked:
            return hits.at(spread(owners, width=width, documents=documents))
        asked *= WIDENED_BY


def spread(owners: Sequence[str], *, width: int, documents: int) -> list[int]:
    """Which of the hits, ascending: the first of each of the first `documents` documents, then the nearest others."""
    firsts: dict[str, int] = {}
    for place, owner in enumerate(owners):
        firsts.setdefault(owner, place)
    heads = list(firsts.values())[: min(documents, width)]
    kept = frozenset(heads)
    others = (place for place in range(len(owners)) if place not in kept)
    return sorted([*heads, *islice(others, width - len(heads))])
