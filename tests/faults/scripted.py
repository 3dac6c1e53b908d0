"""Which collection is disturbed, by which operation, and what must be there afterwards?

One small collection of synthetic vectors, prepared the same way every time, one operation on it, and a dictionary that
says what an undisturbed operation leaves. No model is loaded: a run takes as long as its calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import lance

from tests.builders import embedded
from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.files.layout import CollectionFolder, Layout
from winnow.retrieval.files.locks import writing
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.records import Document, EmbeddedDocument, Metadata
from winnow.retrieval.store.lance_store import SMALL_FRAGMENTS_MAX, LanceStore
from winnow.retrieval.store.rows import WORDS_COLUMN, schema_of
from winnow.retrieval.tenancy import DEFAULT_TENANT

DIMENSION: Final = 16
NAME: Final = "scripted"
IDENTITY: Final = EmbedderIdentity(name="scripted", revision="r1", dimension=DIMENSION)

LONG_AGO: Final = 0  # of a clock
FRESH: Final = 1 << 32

Model = dict[str, tuple[str, int]]  # text and number of chunks, by document id


def folder_of(root: Path) -> CollectionFolder:
    return Layout(root).collection(DEFAULT_TENANT, NAME)


def document(name: str, text: str, pieces: int) -> EmbeddedDocument:
    metadata: Metadata = {"begins": text[:1], "length": len(text)}
    return embedded(Document(id=name, text=text, metadata=metadata), pieces=pieces, dimension=DIMENSION)


def write(store: LanceStore, model: Model) -> None:
    store.replace([document(name, text, pieces) for name, (text, pieces) in model.items()])


def opened(root: Path) -> LanceStore:
    return LanceStore.open(folder_of(root).corpus, dimension=DIMENSION)


def aftermath(turn: str) -> Model:
    """What is written after a disturbance, to see that writing goes on."""
    return {f"after {turn}": (f"written after {turn}", 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be disturbed."""

    prepare: Callable[[Path], Model]  # makes a data folder, and says what is in it
    run: Callable[[Path, LanceStore], None]  # returns when it is acknowledged
    after: Callable[[Model], Model]


def _collection(root: Path) -> LanceStore:
    DataFolder.open(root).make(
        Collection(
            tenant=DEFAULT_TENANT,
            name=NAME,
            embedder=IDENTITY,
            chunk_tokens=64,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )
    return opened(root)


def _few_commits(root: Path) -> Model:
    """Two generations, fresh chunks beyond the newer, a document that was replaced and one that was deleted."""
    store = _collection(root)
    first: Model = {f"d{at}": (f"text of document {at}", 1 + at % 3) for at in range(6)}
    write(store, first)
    fold(folder_of(root), store.snapshot(), IDENTITY)
    write(store, {"d1": ("another text", 2), "d6": ("one more", 1)})
    fold(folder_of(root), store.snapshot(), IDENTITY)
    write(store, {"d7": ("fresh", 2)})
    store.delete(["d3"])
    changed: Model = {"d1": ("another text", 2), "d6": ("one more", 1), "d7": ("fresh", 2)}
    _date(root, FRESH)
    return {name: stored for name, stored in {**first, **changed}.items() if name != "d3"}


def _many_commits(root: Path) -> Model:
    """So many that the next write joins their fragments first."""
    store = _collection(root)
    model: Model = {}
    for at in range(SMALL_FRAGMENTS_MAX + 1):
        commit: Model = {f"d{at}": (f"text of document {at}", 1 + at % 2)}
        write(store, commit)
        model |= commit
        if at == SMALL_FRAGMENTS_MAX // 2:
            fold(folder_of(root), store.snapshot(), IDENTITY)
    return model


def _old_generations(root: Path) -> Model:
    """The next publication removes the first of them."""
    model = _few_commits(root)
    _date(root, LONG_AGO)
    return model


def _old_versions(root: Path) -> Model:
    """The next write removes all but the newest."""
    model = _many_commits(root)
    _date(root, LONG_AGO)
    return model


def _without_attributes(root: Path) -> Model:
    """As an earlier winnow wrote it. The next write makes columns of what the metadata says."""
    return _of_format(root, b"1", [name for name in schema_of(DIMENSION).names if name != WORDS_COLUMN])


def _without_words(root: Path) -> Model:
    """As the winnow before wrote it. The next fold makes a column of the words, and an index of that."""
    return _of_format(root, b"2", None)


def _of_format(root: Path, format_: bytes, columns: list[str] | None) -> Model:
    """With these columns; None: all but the words."""
    model = _few_commits(root)
    corpus = folder_of(root).corpus
    table = opened(root).snapshot().dataset.to_table(columns=columns)
    if columns is None:
        table = table.drop_columns([WORDS_COLUMN])
    table = table.replace_schema_metadata({b"winnow.format": format_})
    lance.write_dataset(table, str(corpus), mode="overwrite", max_rows_per_file=3)
    opened(root).index_words()
    _date(root, FRESH)
    return model


def _date(root: Path, seconds: int) -> None:
    """What is old goes with the next write, so that it must not depend on how long the tests take."""
    folder = folder_of(root)
    for path in [*(folder.corpus / "_versions").glob("*.manifest"), *folder.generations.iterdir()]:
        os.utime(path, (seconds, seconds))


WRITTEN: Final[Model] = {"d1": ("a third text", 3), "d8": ("new", 2), "d0": ("replaced as well", 1)}
_DELETED: Final = ("d2", "d7", "d1")


def _upsert(root: Path, store: LanceStore) -> None:
    with writing(folder_of(root)):
        write(store, WRITTEN)


def _delete(root: Path, store: LanceStore) -> None:
    with writing(folder_of(root)):
        store.delete(_DELETED)


def _renew(root: Path, store: LanceStore) -> None:
    store.renew_word_rules(lambda: writing(folder_of(root)))


def _publish(root: Path, store: LanceStore) -> None:
    fold(folder_of(root), store.snapshot(), IDENTITY)


def _roll_back(root: Path, store: LanceStore) -> None:
    roll_back(folder_of(root), IDENTITY)


def _sweep(root: Path, store: LanceStore) -> None:
    """What an operator's clean-up does to a store."""
    with writing(folder_of(root)):
        store.clean_up()


def _with_written(model: Model) -> Model:
    return {**model, **WRITTEN}


def _without_deleted(model: Model) -> Model:
    return {name: stored for name, stored in model.items() if name not in _DELETED}


OPERATIONS: Final[dict[str, Operation]] = {
    "upsert": Operation(prepare=_few_commits, run=_upsert, after=_with_written),
    "upgrade": Operation(prepare=_without_attributes, run=_upsert, after=_with_written),
    "word-rules": Operation(prepare=_without_words, run=_renew, after=dict),
    "delete": Operation(prepare=_few_commits, run=_delete, after=_without_deleted),
    "publish": Operation(prepare=_old_generations, run=_publish, after=dict),
    "rollback": Operation(prepare=_few_commits, run=_roll_back, after=dict),
    "compaction": Operation(prepare=_old_versions, run=_upsert, after=_with_written),
    "clean-up": Operation(prepare=_old_versions, run=_sweep, after=dict),
}
