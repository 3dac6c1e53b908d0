"""Ids on disk are found as those in memory are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.corpus import Place, Record, Reject, check_entries
from winnow.indexer.id_tables import IN_MEMORY_MAX, KnownDocuments, KnownOnDisk, SeenIds, in_batches, know
from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.records import Document

ids = st.text(st.characters(exclude_categories=()), max_size=4)


@given(st.lists(st.tuples(ids, st.sampled_from(["a:1", "b:2", "c"]))), st.integers(0, 4))
def test_the_first_place_of_an_id_is_named(shown: list[tuple[str, str]], in_memory_max: int) -> None:
    """Wherever the table moves to the disk."""
    table = SeenIds(in_memory_max=in_memory_max)
    first: dict[str, str] = {}
    for document_id, place in shown:
        assert table.first_place(document_id, place) == first.get(document_id)
        first.setdefault(document_id, place)


@given(st.dictionaries(ids, st.text("0123456789abcdef", min_size=4, max_size=4)), st.lists(ids))
def test_what_a_collection_held_is_known_on_disk(held: dict[str, str], shown: list[str]) -> None:
    """Hashes, and what the corpus has not shown, in the same order; an id may be shown again."""
    memory, disk = KnownDocuments(held), KnownOnDisk([{name: value} for name, value in held.items()])
    for document_id in [*shown, *list(held)[::2], *shown]:
        assert disk.see(document_id) == memory.see(document_id)
    assert list(disk.unseen()) == list(memory.unseen())
    assert disk.unseen_count == memory.unseen_count == len(set(held) - set(list(held)[::2]) - set(shown))


def test_the_table_leaves_nothing(tmp_path: Path) -> None:
    """Its file has no name while it is open; a folder that is not there is an error that says so."""
    table = SeenIds(tmp_path, in_memory_max=1)
    assert [table.first_place(f"{number % 900}", f"a:{number}") for number in (1, 2, 3, 901)] == [
        None,
        None,
        None,
        "a:1",
    ]
    assert list(tmp_path.iterdir()) == []
    table.close()
    assert isinstance(know([{}], count=IN_MEMORY_MAX + 1, folder=tmp_path), KnownOnDisk)
    assert isinstance(know([{}], count=IN_MEMORY_MAX, folder=tmp_path), KnownDocuments)
    with pytest.raises(WriteFailed, match="missing"):
        KnownOnDisk([], tmp_path / "missing")


def test_a_repeated_id_is_refused_with_its_first_place() -> None:
    """From the disk, too; also if both records have the same place."""
    places = [Place(source="a", line=line) for line in (1, 2, 3)]
    entries = [
        Record(document=Document(id=name, text="t"), place=place, position=0)
        for name, place in zip("xyx", places, strict=True)
    ]
    same = Record(document=Document(id="x", text="t"), place=Place(source="a"), position=0)
    for seen in (None, SeenIds(in_memory_max=1)):
        *_, last = check_entries(entries, seen)
        assert isinstance(last, Reject)
        assert last.reason == "the id is already used by a:1"
        assert isinstance(list(check_entries([same, same], seen and SeenIds(in_memory_max=0)))[1], Reject)


def test_batches() -> None:
    """In order, and the last may be smaller."""
    assert list(in_batches(iter("abc"), 2)) == [["a", "b"], ["c"]]
