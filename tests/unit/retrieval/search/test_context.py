"""What stands around a hit is the document's own text, told once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import written
from tests.fakes import MemoryStore
from winnow.retrieval.search.context import Context, Extract, contexts

ALPHABET = "abcdefghijklmnopqrst"  # ten pieces of two characters each


def filled() -> MemoryStore:
    """Three documents of ten chunks, numbered 0 to 29, the middle one written again: 30 to 39."""
    store = MemoryStore()
    store.replace([written(name, ALPHABET, pieces=10) for name in ("first", "middle", "last")])
    store.replace([written("middle", ALPHABET.upper(), pieces=10)])
    return store


def around(*numbers: int, reach: int) -> list[Context]:
    snapshot = filled().snapshot()
    return contexts(snapshot, snapshot.chunks(numbers), reach=reach)


def test_a_chunk_is_surrounded_by_its_own_document() -> None:
    """By character offsets, so that a reader can put the three together."""
    assert around(4, reach=2) == [
        Context(before=Extract(start=4, end=8, text="efgh"), after=Extract(start=10, end=14, text="klmn"))
    ]


def test_nothing_stands_beyond_the_ends_of_a_document() -> None:
    """Neither the neighbour in number, which is of another document, nor one that is no longer there."""
    assert around(0, reach=3)[0].before is None
    assert around(9, reach=3)[0].after is None  # 10 was of the document that was written again
    assert around(20, reach=3)[0].before is None
    assert around(30, reach=1) == [Context(before=None, after=Extract(start=2, end=4, text="CD"))]


def test_who_is_shown_first_takes_first() -> None:
    """Two hits three apart share what lies between them: the better one has it, the other goes without."""
    better, other = around(6, 3, reach=2)
    assert better.before == Extract(start=8, end=12, text="ijkl")
    assert (other.before, other.after) == (Extract(start=2, end=6, text="cdef"), None)


@given(
    shown=st.lists(st.sampled_from([*range(10), *range(20, 40)]), unique=True, min_size=1, max_size=12),
    reach=st.integers(1, 10),
)
def test_no_character_is_given_twice_and_none_is_changed(shown: list[int], reach: int) -> None:
    """Whatever is shown: hits and contexts of a document never overlap, and each is the document at that place."""
    snapshot = filled().snapshot()
    chunks = snapshot.chunks(shown)
    spans: dict[str, list[tuple[int, int]]] = {}
    for chunk, context in zip(chunks, contexts(snapshot, chunks, reach=reach), strict=True):
        text = snapshot.document(chunk.document_id).text
        mine = spans.setdefault(chunk.document_id, [])
        mine.append((chunk.start, chunk.end))
        for extract in (context.before, context.after):
            if extract is not None:
                assert extract.text == text[extract.start : extract.end] != ""
                assert extract.end - extract.start <= 2 * reach
                mine.append((extract.start, extract.end))
        assert context.before is None or context.before.end == chunk.start
        assert context.after is None or context.after.start == chunk.end
    for each in spans.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(each)))
