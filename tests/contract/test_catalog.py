"""What every Catalog promises. There is one so far; the next one is added to the fixture."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest

from retrieval.catalog import Catalog, Collection
from retrieval.embedder import EmbedderIdentity
from retrieval.errors import CollectionExists, CollectionNotFound, InstructionNotFound, StoreCorrupt, WriteFailed
from retrieval.sql_catalog import SqlCatalog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "catalog.sqlite"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    opened = SqlCatalog.open(path)
    yield opened
    opened.close()


def collection(name: str, *, tenant: str = "default", instruction: str | None = None) -> Collection:
    return Collection(
        tenant=tenant,
        name=name,
        embedder=EmbedderIdentity(name="winnow-embed", revision="abc", dimension=384),
        chunk_tokens=256,
        created_at=datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
        instruction=instruction,
    )


def test_a_collection_comes_back_as_it_was_added(catalog: Catalog) -> None:
    """With its embedder's whole identity, and a time that still knows its zone."""
    catalog.add_collection(collection("laws", instruction=None))
    assert catalog.collection("default", "laws") == collection("laws")
    assert catalog.collection("default", "laws").created_at.tzinfo is not None


def test_a_name_is_taken_once_in_a_tenant(catalog: Catalog) -> None:
    """Two tenants may use the same name and never see each other's."""
    catalog.add_collection(collection("laws"))
    with pytest.raises(CollectionExists, match="laws"):
        catalog.add_collection(collection("laws"))
    catalog.add_collection(collection("laws", tenant="other"))
    catalog.add_collection(collection("acts"))
    assert [found.name for found in catalog.collections("default")] == ["acts", "laws"]
    assert [found.tenant for found in catalog.collections("other")] == ["other"]
    assert catalog.collections("nobody") == []
    catalog.remove_collection("other", "laws")
    assert catalog.collection("default", "laws").tenant == "default"


def test_what_is_not_there_is_not_found(catalog: Catalog) -> None:
    """Every call that names a collection says so, also right after its removal."""
    catalog.add_collection(collection("laws"))
    catalog.remove_collection("default", "laws")
    catalog.publish_instruction("default", "newest first", "Prefer recent documents")
    for attempt in (
        lambda: catalog.collection("default", "laws"),
        lambda: catalog.remove_collection("default", "laws"),
        lambda: catalog.set_collection_instruction("default", "laws", "newest first"),
        lambda: catalog.set_collection_instruction("default", "laws", None),
    ):
        with pytest.raises(CollectionNotFound, match="laws"):
            attempt()


def test_versions_of_an_instruction_count_up_and_never_change(catalog: Catalog) -> None:
    """The same text again publishes nothing; an older text after a newer one is a new version."""
    first = catalog.publish_instruction("default", "recency", "Prefer recent documents")
    assert (first.version, catalog.publish_instruction("default", "recency", first.text)) == (1, first)
    second = catalog.publish_instruction("default", "recency", "优先近三年的文献")
    third = catalog.publish_instruction("default", "recency", first.text)
    assert [second.version, third.version] == [2, 3]
    assert catalog.instruction("default", "recency") == third
    assert catalog.instruction("default", "recency", 1) == first
    assert catalog.instruction("default", "recency", 2).text == "优先近三年的文献"
    catalog.publish_instruction("default", "a", "x")
    assert [(found.name, found.version) for found in catalog.instructions("default")] == [
        ("a", 1), ("recency", 1), ("recency", 2), ("recency", 3)
    ]  # fmt: skip


def test_an_instruction_belongs_to_its_tenant(catalog: Catalog) -> None:
    """Looked up by another tenant it is not there, and neither is a version that was never published."""
    catalog.publish_instruction("default", "recency", "Prefer recent documents")
    with pytest.raises(InstructionNotFound, match="recency"):
        catalog.instruction("other", "recency")
    with pytest.raises(InstructionNotFound, match="recency, version 2"):
        catalog.instruction("default", "recency", 2)
    assert catalog.publish_instruction("other", "recency", "Something else").version == 1


def test_a_collection_names_an_instruction_that_exists(catalog: Catalog) -> None:
    """It can be set, set back, and not be set to something unknown."""
    catalog.add_collection(collection("laws"))
    with pytest.raises(InstructionNotFound, match="recency"):
        catalog.set_collection_instruction("default", "laws", "recency")
    catalog.publish_instruction("default", "recency", "Prefer recent documents")
    catalog.set_collection_instruction("default", "laws", "recency")
    assert catalog.collection("default", "laws").instruction == "recency"
    catalog.set_collection_instruction("default", "laws", None)
    assert catalog.collection("default", "laws").instruction is None


@pytest.mark.parametrize("hostile", ["'; DROP TABLE collections; --", '" OR 1=1', "%", "法律", "a\x00b"])
def test_names_are_values(catalog: Catalog, hostile: str) -> None:
    """No name is ever part of a statement."""
    catalog.add_collection(collection("laws"))
    catalog.add_collection(collection(hostile))
    assert catalog.collection("default", hostile).name == hostile
    catalog.remove_collection("default", hostile)
    assert [found.name for found in catalog.collections("default")] == ["laws"]


def test_what_was_added_is_there_after_reopening(path: Path) -> None:
    """And was synced: every commit waits for the disk."""
    first = SqlCatalog.open(path)
    first.add_collection(collection("laws"))
    with first._reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    first.close()
    second = SqlCatalog.open(path)
    assert second.collection("default", "laws") == collection("laws")
    second.close()


def _publish_some(path: Path, worker: int) -> None:
    catalog = SqlCatalog.open(path)
    for turn in range(10):
        catalog.publish_instruction("default", "shared", f"text {worker} {turn}")
    catalog.close()


def test_two_processes_create_and_write_at_once(path: Path) -> None:
    """Neither fails, and no version is given twice."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_publish_some, path, worker) for worker in range(2)]:
            done.result()
    catalog = SqlCatalog.open(path)
    versions = [instruction.version for instruction in catalog.instructions("default")]
    catalog.close()
    assert versions == list(range(1, 21))


def test_many_threads_share_one_catalog(catalog: Catalog) -> None:
    """One of them adds the collection, the others are told that it exists."""

    def add(_: int) -> bool:
        try:
            catalog.add_collection(collection("laws"))
        except CollectionExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(16))) == 1


def test_a_file_that_is_no_database_is_corrupt(path: Path) -> None:
    """And one of a later schema is not touched."""
    path.parent.mkdir()
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreCorrupt, match="not a database"):
        SqlCatalog.open(path)
    path.unlink()
    SqlCatalog.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(StoreCorrupt, match="schema version 99"):
        SqlCatalog.open(path)


def test_a_place_that_cannot_be_written_is_a_failed_write(tmp_path: Path) -> None:
    """Here: a folder where the file should be."""
    (tmp_path / "catalog.sqlite").mkdir()
    with pytest.raises(WriteFailed, match=r"catalog\.sqlite"):
        SqlCatalog.open(tmp_path / "catalog.sqlite")
