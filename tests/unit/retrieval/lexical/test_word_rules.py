"""Collections of an earlier winnow: their words by their rules, until a fold brings the rules of today."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import lance
import pytest

from tests.builders import DIMENSION, written
from tests.fakes import HashEmbedder
from tests.faults.watched_syncer import WatchedSyncer
from tests.unit.indexer.test_chunking import Words
from tests.unit.indexer.test_pipeline import ListCorpus
from winnow.api.collections.fold_process import Fold, _built
from winnow.indexer.chunking import Chunker
from winnow.indexer.pipeline import index_corpus
from winnow.indexer.writer import DocumentWriter
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.files.durable import SyncedTree
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.locks import writing
from winnow.retrieval.lexical.words import WORD_RULES, WORD_RULES_BEFORE
from winnow.retrieval.store.checksums import find_damage
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.rows import WORDS_COLUMN, schema_of, words_table
from winnow.retrieval.tenancy import DEFAULT_TENANT


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


def fill(store: LanceStore) -> dict[str, str]:
    texts = {f"d{number}": f"tango {number} WHO can" for number in range(40)} | {"zh": "請閱讀說明書", "old": "parcels"}
    documents = [written(name, text, pieces=1 + (name == "d7")) for name, text in texts.items()]
    for start in range(0, len(documents), 6):
        store.replace(documents[start : start + 6])
    store.delete(["d3"])
    del texts["d3"]
    return texts


def require_new_rules(store: LanceStore, texts: dict[str, str]) -> None:
    snapshot = store.snapshot()
    assert snapshot.word_rules == WORD_RULES
    assert {name: snapshot.document(name).text for name in snapshot.content_hashes()} == texts
    assert found(store, "who can")
    assert found(store, "说明书") == ["zh"]
    assert found(store, "parcel") == ["old"]
    assert sorted(each for number in range(40) for each in found(store, f"{number}")) == sorted(
        each for each in texts if each.startswith("d")
    )
    table = snapshot.dataset.to_table(columns=[WORDS_COLUMN, "title", "text"])
    assert table[WORDS_COLUMN].to_pylist() == words_table(table)[WORDS_COLUMN].to_pylist()
    assert {index.name for index in snapshot.dataset.describe_indices()} == {"words_words"}
    assert list(find_damage(Path(store.place.name))) == []


def test_a_fold_brings_the_rules_of_today(old: LanceStore) -> None:
    """To all that was written, in a collection with deletions; another call changes nothing."""
    texts = fill(old)
    assert found(old, "who") == []
    old.renew_word_rules()
    require_new_rules(old, texts)
    version = old.snapshot().version
    old.renew_word_rules()
    assert old.snapshot().version == version
    old.replace([written("new", "der C++")])
    require_new_rules(old, {**texts, "new": "der C++"})
    assert found(old, "c++") == ["new"]


def test_an_empty_old_collection_gets_them_too(old: LanceStore) -> None:
    old.renew_word_rules()
    old.replace([written("a", "WHO")])
    assert found(old, "who") == ["a"]


def test_writes_between_its_steps_are_neither_lost_nor_forgotten(
    old: LanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upserts, deletions and searches in a store that is half way, which is searched by the old rules till the end."""
    monkeypatch.setattr("winnow.retrieval.store.lance_renewal.STEP_ROWS", 6)
    monkeypatch.setattr("winnow.retrieval.store.lance_store.SMALL_FRAGMENTS_MAX", 4)  # so that fragments are joined
    texts = fill(old)
    other = LanceStore.open(Path(old.place.name), dimension=DIMENSION, syncer=WatchedSyncer())
    turns = iter(range(24))

    @contextmanager
    def locked() -> Iterator[None]:
        for turn in itertools.islice(turns, 4):
            name = f"w{turn}"
            other.replace([written(name, f"whiskey x{turn}")])
            texts[name] = f"whiskey x{turn}"
            if turn % 3 == 0 and (gone := f"d{turn}") in texts:
                other.delete([gone])
                del texts[gone]
            assert other.snapshot().word_rules == WORD_RULES_BEFORE
            assert len(other.snapshot().lexical("whiskey", 100).numbers) == turn + 1
        yield

    old.renew_word_rules(locked)
    assert next(turns, None) is None
    require_new_rules(old, texts)
    require_new_rules(LanceStore.open(Path(old.place.name), dimension=DIMENSION, syncer=WatchedSyncer()), texts)


class Stopped(Exception):
    """As if the process had ended here."""


@pytest.mark.parametrize("after", range(1, 10))
def test_interrupted_anywhere_it_goes_on(old: LanceStore, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Before the disk has taken any of its commits; what is there meanwhile is searched and written to."""
    monkeypatch.setattr("winnow.retrieval.store.lance_renewal.STEP_ROWS", 30)
    texts = fill(old)
    left = iter(range(after))
    sync = SyncedTree.sync

    def stopping(tree: SyncedTree) -> None:
        if next(left, None) is None:
            raise Stopped
        sync(tree)

    with monkeypatch.context() as patched, contextlib.suppress(Stopped):
        patched.setattr(SyncedTree, "sync", stopping)
        old.renew_word_rules()
    again = LanceStore.open(Path(old.place.name), dimension=DIMENSION, syncer=WatchedSyncer())
    assert found(again, "parcel") == ["old"]
    again.replace([written("between", "C#")])
    again.renew_word_rules()
    require_new_rules(again, {**texts, "between": "C#"})


def test_a_collection_without_attributes_or_words_gets_both(tmp_path: Path) -> None:
    """The oldest format there is."""
    schema = schema_of(DIMENSION)
    schema = schema.remove(schema.get_field_index(WORDS_COLUMN)).with_metadata({b"winnow.format": b"1"})
    path = tmp_path / "corpus.lance"
    lance.write_dataset(schema.empty_table(), str(path))
    store = LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())
    store.renew_word_rules()
    assert store.snapshot().has_attribute_columns
    assert store.snapshot().word_rules == WORD_RULES


def test_the_process_that_folds_brings_them_unless_somebody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index run holds the lock for long, and brings them at its end."""
    monkeypatch.setattr("winnow.api.collections.fold_process._LOCK_SECONDS", 0.0)
    folder = CollectionFolder(tmp_path)
    schema = schema_of(DIMENSION)
    schema = schema.remove(schema.get_field_index(WORDS_COLUMN)).with_metadata({b"winnow.format": b"2"})
    lance.write_dataset(schema.empty_table(), str(folder.corpus))
    store = LanceStore.create(folder.corpus, dimension=DIMENSION, syncer=WatchedSyncer())
    texts = fill(store)
    with writing(folder):
        seen = _built(fold_of(folder, None)).generation
    assert store.snapshot().word_rules == WORD_RULES_BEFORE
    assert _built(fold_of(folder, seen)).store_version == store.snapshot().version
    require_new_rules(store, texts)


def fold_of(folder: CollectionFolder, seen: str | None) -> Fold:
    identity = EmbedderIdentity(name="fold", revision="1", dimension=DIMENSION)
    return Fold(
        folder=folder.path,
        tenant=DEFAULT_TENANT,
        identity=identity,
        made_at=datetime.now(UTC),
        kept=2,
        seen=seen,
    )


async def test_a_run_that_indexes_nothing_new_brings_them(old: LanceStore, tmp_path: Path) -> None:
    texts = fill(old)
    await index_corpus(
        corpus=ListCorpus(documents=[]),
        store=old,
        writer=DocumentWriter(store=old, embedder=HashEmbedder(), chunker=Chunker(tokenizer=Words(), tokens_max=16)),
        publish=lambda snapshot: f"version {snapshot.version}",
        rejects=tmp_path / "rejects.jsonl",
    )
    require_new_rules(old, texts)


def test_a_new_collection_has_the_rules_of_today(tmp_path: Path) -> None:
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    assert store.snapshot().word_rules == WORD_RULES
