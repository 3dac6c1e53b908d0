"""Collections of an earlier winnow: their words by their rules, until a fold brings the rules of today."""

from __future__ import annotations

from pathlib import Path

import lance
import pytest

from retrieval.chunk_rows import WORDS_COLUMN, schema_of
from retrieval.lance_store import LanceStore
from retrieval.words import WORD_RULES, WORD_RULES_BEFORE
from tests.builders import DIMENSION, written
from tests.fakes import WatchedSyncer


@pytest.fixture
def old(tmp_path: Path) -> LanceStore:
    """As the winnow before made it: without a column of words."""
    schema = schema_of(DIMENSION)
    schema = schema.remove(schema.get_field_index(WORDS_COLUMN)).with_metadata({b"winnow.format": b"2"})
    path = tmp_path / "corpus.lance"
    lance.write_dataset(schema.empty_table(), str(path))
    return LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())


def found(store: LanceStore, query: str) -> list[str]:
    snapshot = store.snapshot()
    return [chunk.document_id for chunk in snapshot.chunks(snapshot.lexical(query, 10).numbers.tolist())]


def test_an_old_collection_answers_and_grows_under_its_own_rules(old: LanceStore) -> None:
    old.replace([written("a", "will the parcels return"), written("b", "退货之后如何申请退款")])
    old.index_words()
    old.replace([written("c", "returned parcel"), written("d", "will")])
    assert old.snapshot().word_rules == WORD_RULES_BEFORE
    assert sorted(found(old, "parcel")) == ["a", "c"]
    assert found(old, "申请退款的办法") == ["b"]
    assert found(old, "will") == []
    for number in range(60):
        old.replace([written(f"e{number}", "tango")])
        old.delete([f"e{number - 3}"])
    assert sorted(found(old, "parcel")) == ["a", "c"]


def test_a_new_collection_has_the_rules_of_today(tmp_path: Path) -> None:
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    assert store.snapshot().word_rules == WORD_RULES
