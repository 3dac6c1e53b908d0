"""A grouped answer gets as many documents as there are, whatever the nearest chunks belong to."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers
from winnow.retrieval.search.grouping import nearest_of_documents, spread

OWNERS = st.lists(st.sampled_from("abcdefgh"), max_size=60)


@given(owners=OWNERS, width=st.integers(1, 40), documents=st.integers(1, 10))
def test_the_first_of_each_document_and_then_the_nearest(owners: list[str], width: int, documents: int) -> None:
    """Against the rule said in plain words: no document more, no place less, nothing out of order."""
    places = spread(owners, width=width, documents=documents)
    assert places == sorted(set(places))
    assert len(places) == min(width, len(owners))
    firsts = [owners.index(owner) for owner in dict.fromkeys(owners)][: min(documents, width)]
    assert set(firsts) <= set(places)
    left = [place for place in range(len(owners)) if place not in firsts]
    assert set(places) - set(firsts) == set(left[: width - len(firsts)])


@given(owners=OWNERS, width=st.integers(1, 40), documents=st.integers(1, 10))
def test_looking_further_finds_what_looking_at_everything_would(owners: list[str], width: int, documents: int) -> None:
    """Every search sees only its k nearest; together they choose as if one had seen all, and stop once they can."""
    everything = Hits(
        numbers=np.arange(len(owners), dtype=np.int64),
        similarities=np.linspace(1.0, 0.0, len(owners), dtype=np.float32),
    )
    asked = []

    def search(k: int) -> Hits:
        asked.append(k)
        return Hits(numbers=everything.numbers[:k], similarities=everything.similarities[:k])

    def document_ids(numbers: ChunkNumbers) -> list[str]:
        return [owners[number] for number in numbers.tolist()]

    hits = nearest_of_documents(search, document_ids, width=width, documents=documents)
    found = {owners[number] for number in hits.numbers.tolist()}
    assert len(hits.numbers) == min(width, len(owners))
    assert len(found) >= min(documents, width, len(set(owners)))
    assert hits.similarities.tolist() == sorted(hits.similarities.tolist(), reverse=True)
    assert asked[0] == width
    if len(set(owners[:width])) >= min(documents, width):
        assert hits.numbers.tolist() == list(range(min(width, len(owners))))
        assert len(asked) == 1


def test_width_is_the_bound_of_documents_too() -> None:
    """Whoever allows two candidates gets two documents at most, though three were wanted."""
    assert spread(["a", "a", "b", "c"], width=2, documents=3) == [0, 2]
