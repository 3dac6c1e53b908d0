"""Windows: bounded, complete, and the same whether or not an earlier run was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.batches import Step, WindowBound, make_steps
from winnow.indexer.changes import Change, Changes
from winnow.indexer.corpus import Entry, Place, Record, Reject
from winnow.indexer.id_tables import KnownDocuments
from winnow.retrieval.records import Document

BOUND = WindowBound(documents=3, characters=100)


def record(name: str, *, characters: int = 10, position: int = 1) -> Record:
    return Record(document=Document(id=name, text="x" * characters), place=Place(source=name), position=position)


def run(entries: Iterable[Entry], known: dict[str, str] | None = None) -> list[Step]:
    return list(make_steps(entries, Changes(KnownDocuments(known or {})), BOUND))


def windows(found: list[Step]) -> list[list[str]]:
    return [[document.id for document in step.window] for step in found if step.window]


def test_a_window_is_bounded_by_documents():
    """Three to a window, the rest in the last."""
    assert windows(run(record(name) for name in "abcdefgh")) == [["a", "b", "c"], ["d", "e", "f"], ["g", "h"]]


def test_a_window_is_bounded_by_characters():
    """A long document closes its window, and may go over."""
    entries = [record("a"), record("long", characters=1_000), record("b"), record("c")]
    assert windows(run(entries)) == [["a", "long"], ["b", "c"]]


def test_unchanged_documents_leave_no_trace_in_a_window():
    """What is skipped neither fills nor closes a window."""
    known = {name: record(name).document.content_hash for name in "bcdeg"}
    (step,) = run([record(name) for name in "abcdefg"], known)
    assert [document.id for document in step.window] == ["a", "f"]
    assert step.changes == {Change.ADDED: 2, Change.UNCHANGED: 5}


def test_a_long_silence_is_broken_without_closing_the_window():
    """A corpus that is skipped still shows progress, and its window goes on behind the silence."""
    same = [record(f"same{number}", position=number) for number in range(5_000)]
    known = {entry.document.id: entry.document.content_hash for entry in same}
    found = run([record("a"), *same, record("b", position=5_001)], known)
    assert [len(step.window) for step in found] == [0, 0, 2]
    assert [step.position for step in found] == [1_998, 3_998, 5_001]
    assert sum((Counter(step.changes) for step in found), Counter()) == {Change.ADDED: 2, Change.UNCHANGED: 5_000}


ENTRIES = st.lists(
    st.tuples(st.integers(0, 60), st.booleans()), max_size=30
).map(
    lambda drawn: [
        Reject(place=Place(source="s", line=number), reason="bad", position=number)
        if is_bad
        else record(f"d{number}", characters=characters, position=number)
        for number, (characters, is_bad) in enumerate(drawn, start=1)
    ]
)  # fmt: skip


@given(entries=ENTRIES, known_share=st.integers(0, 3), kill_after=st.integers(0, 12))
def test_a_run_that_was_killed_cuts_the_same_windows(entries: list[Entry], known_share: int, kill_after: int):
    """Whatever was there before, and wherever the kill: committed windows and resumed ones are the undisturbed ones."""
    records = [entry for entry in entries if isinstance(entry, Record)]
    known = {
        entry.document.id: entry.document.content_hash
        for number, entry in enumerate(records)
        if known_share and number % known_share == 0
    }
    undisturbed = windows(run(entries, known))
    committed = undisturbed[:kill_after]
    by_id = {entry.document.id: entry.document.content_hash for entry in records}
    resumed = windows(run(entries, known | {name: by_id[name] for window in committed for name in window}))
    assert committed + resumed == undisturbed


@given(entries=ENTRIES)
def test_every_entry_is_counted_once(entries: list[Entry]):
    """Documents and rejects, each in exactly one step, up to the last position."""
    found = run(entries)
    counted = sum(sum(step.changes.values()) + len(step.rejects) for step in found)
    assert counted == len(entries)
    assert found[-1].position == (entries[-1].position if entries else 0)
