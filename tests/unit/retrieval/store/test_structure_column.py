"""What stores promise of documents with parts, over every implementation and from the oldest format on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import lance
import pytest

from tests.builders import DIMENSION, unit_vectors, written
from tests.fakes import MemoryStore
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.backup.integrity import faults
from winnow.retrieval.lexical.words import WORD_RULES
from winnow.retrieval.records import Document, EmbeddedDocument, Location, Part, PartKind, Span
from winnow.retrieval.store.contract import Store
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.rows import STRUCTURE_COLUMN, WORDS_COLUMN, schema_of

PRICES = "item | price\nbolt | 3\nnut | 4\nscrew | 5\n"
HANDBOOK = Document(
    id="handbook.md",
    title="Handbook",
    text=f"Returns\nWithin thirty days.\n\n{PRICES}",
    parts=(
        Part(start=0, end=29, section=("Buying", "Returns"), location=Location(line=7)),
        Part(
            start=29,
            end=29 + len(PRICES),
            kind=PartKind.ROWS,
            section=("Buying", "价目表"),
            header="item | price",
            location=Location(sheet="Q3 'x'", row=1, line=10, anchor="prices"),
        ),
    ),
)


@pytest.fixture(params=["memory", "lance", "without words", "without attributes"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Also stores that earlier versions created."""
    if request.param == "memory":
        return MemoryStore()
    path = tmp_path / "corpus.lance"
    if request.param != "lance":
        schema = schema_of(DIMENSION)
        format_ = b"2" if request.param == "without words" else b"1"
        schema = schema.remove(schema.get_field_index(WORDS_COLUMN)).with_metadata({b"winnow.format": format_})
        lance.write_dataset(schema.empty_table(), str(path))
    return LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())


def cut(document: Document, *ends: int) -> EmbeddedDocument:
    spans = tuple(Span(start=start, end=end) for start, end in pairwise((0, *ends, len(document.text))))
    return EmbeddedDocument(document=document, spans=spans, vectors=unit_vectors(len(spans)))


def test_parts_come_back_and_chunks_know_their_place(store: Store) -> None:
    """The document is equal to what was written; each chunk has section, header and its own lines and rows."""
    store.replace([written("plain", "no parts")])
    store.replace([cut(HANDBOOK, 29, 51), written("other", "none either")])
    store.replace([written("later", "nor here")])
    snapshot = store.snapshot()
    assert snapshot.document("handbook.md") == HANDBOOK
    assert [snapshot.document(name).parts for name in ("plain", "other", "later")] == [(), (), ()]
    prose, first, second = (chunk for chunk in snapshot.chunks([1, 2, 3]))
    assert [each.document_id for each in (prose, first, second)] == ["handbook.md"] * 3
    assert prose.location == Location(line=7, line_end=8)
    assert prose.passage == "Handbook > Buying > Returns\nReturns\nWithin thirty days.\n\n"
    where = Location(sheet="Q3 'x'", anchor="prices")
    assert first.location == replace(where, row=1, row_end=2, line=10, line_end=11)
    assert second.location == replace(where, row=3, row_end=4, line=12, line_end=13)
    assert (first.header, second.header) == ("", "item | price")
    assert second.passage == "Handbook > Buying > 价目表\nitem | price\nnut | 4\nscrew | 5\n"
    pieces = snapshot.pieces([0, 3])
    assert [(each.part, each.location) for each in pieces] == [
        (None, Location()),
        (HANDBOOK.parts[1], second.location),
    ]
    assert list(faults(snapshot)) == []


def test_words_of_headings_and_headers_are_found(store: Store) -> None:
    """Lexical search reads what the models read, in old stores once they have the current word rules."""
    store.replace([cut(HANDBOOK, 29, 51), written("plain", "something else")])
    store.renew_word_rules()
    store.index_words()
    snapshot = store.snapshot()

    def found(query: str) -> set[int]:
        return set(snapshot.lexical(query, 10).numbers.tolist())

    assert found("buying") == {0, 1, 2}
    assert found("价目表") == {1, 2}
    assert found("price") == {1, 2}
    assert found("days") == {0}
    if isinstance(store, LanceStore):
        assert store.snapshot().word_rules == WORD_RULES


def test_parts_survive_compaction_deletes_and_clean_ups(store: Store) -> None:
    """Fragments with and without the column are joined."""
    for number in range(70):
        name = f"d{number}"
        store.replace([replace_id(HANDBOOK, name) if number % 3 else written(name, "text")])
        store.delete([f"d{number - 5}"])
    store.clean_up()
    snapshot = store.snapshot()
    for number in range(66, 70):
        assert snapshot.document(f"d{number}").parts == (HANDBOOK.parts if number % 3 else ())
    assert list(faults(snapshot)) == []


def replace_id(document: Document, document_id: str) -> EmbeddedDocument:
    return cut(replace(document, id=document_id), 29)


def test_documents_without_parts_cost_no_column(tmp_path: Path) -> None:
    """The column comes with the first document that needs it."""
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    store.replace([written("plain", "no parts")])
    assert STRUCTURE_COLUMN not in store.snapshot().dataset.schema.names
    store.replace([cut(HANDBOOK, 29)])
    assert STRUCTURE_COLUMN in store.snapshot().dataset.schema.names


def test_a_lost_part_is_a_fault(store: Store) -> None:
    """`winnow verify` compares parts with the content hash."""
    store.replace([cut(HANDBOOK, 29)])
    if isinstance(store, LanceStore):
        dataset = lance.dataset(store.place.name)
        dataset.update({STRUCTURE_COLUMN: "NULL"}, where="ordinal = 1")
        assert list(faults(store.snapshot())) == ["document 'handbook.md' differs from what was written"]
