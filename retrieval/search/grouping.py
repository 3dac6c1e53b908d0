"""Selects candidates for answers that show documents instead of chunks.

The nearest chunks may all belong to one long document. So the search is widened until there are as many documents as
will be shown; the best chunk of each becomes a candidate, and the nearest other chunks fill the remaining places. The
number of candidates to rerank does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol, Self, TypeVar

from winnow.retrieval.records import ChunkNumbers

WIDENED_BY: Final = 4  # times; one more search costs less than reading the texts of far too many hits


class Hits(Protocol):
    """The hits of a search, best first."""

    @property
    def numbers(self) -> ChunkNumbers: ...

    def at(self, places: Sequence[int]) -> Self:
        """Return only these hits, in this order."""
        ...


Found = TypeVar("Found", bound=Hits)


def nearest_of_documents(
    search: Callable[[int], Found],
    document_ids: Callable[[ChunkNumbers], Sequence[str]],
    *,
    width: int,
    documents: int,
) -> Found:
    """Return at most `width` hits, best first, from as many documents as there are, up to `documents`.

    `search` returns the `k` best, and fewer only if there are no more.
    """
    asked = width
    while True:
        hits = search(asked)
        owners = document_ids(hits.numbers)
        if len(set(owners)) >= min(documents, width) or len(owners) < asked:
            return hits.at(spread(owners, width=width, documents=documents))
        asked *= WIDENED_BY


def spread(owners: Sequence[str], *, width: int, documents: int) -> list[int]:
    """Return positions of hits, ascending: the first of each of `documents` documents, then the nearest others."""
    firsts: dict[str, int] = {}
    for place, owner in enumerate(owners):
        firsts.setdefault(owner, place)
    heads = list(firsts.values())[: min(documents, width)]
    kept = frozenset(heads)
    others = (place for place in range(len(owners)) if place not in kept)
    return sorted([*heads, *islice(others, width - len(heads))])
