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
from retrieval.sql_catalog import SCHEMA_VERSION, SqlCatalog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "catalog.sqlite"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    opened = SqlCatalog.open(path)
    yield opened
    opened.close()


def collection(
    name: str, *, tenant: str = "default", instruction: str | None = None, reranker: str | None = None
) -> Collection:
    return Collection(
        tenant=tenant,
        name=name,
        embedder=EmbedderIdentity(name="winnow-embed", revision="abc", dimension=384),
        chunk_tokens=256,
        created_at=datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
        instruction=instruction,
        reranker=reranker,
    )


def test_a_collection_comes_back_as_it_was_added(catalog: Catalog) -> None:
    """With its embedder's whole identity, and a time that still knows its zone."""
    catalog.add_collection(collection("laws", reranker="large"))
    catalog.add_collection(collection("acts"))
    assert catalog.collection("default", "laws") == collection("laws", reranker="large")
    assert catalog.collection("default", "acts") == collection("acts")
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
        lambda: catalog.change_collection("default", "laws", instruction="newest first"),
        lambda: catalog.change_collection("default", "laws", instruction=None),
        lambda: catalog.change_collection("default", "laws", reranker="large"),
        lambda: catalog.change_collection("default", "laws"),
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
        catalog.change_collection("default", "laws", instruction="recency")
    catalog.publish_instruction("default", "recency", "Prefer recent documents")
    catalog.change_collection("default", "laws", instruction="recency")
    assert catalog.collection("default", "laws").instruction == "recency"
    catalog.change_collection("default", "laws", instruction=None)
    assert catalog.collection("default", "laws").instruction is None


def test_a_change_touches_what_it_names_and_nothing_else(catalog: Catalog) -> None:
    """What is kept differs from what goes back to the default; a change that is refused changes nothing."""
    catalog.add_collection(collection("laws", reranker="large"))
    catalog.add_collection(collection("acts"))
    catalog.publish_instruction("default", "recency", "Prefer recent documents")
    changed = catalog.change_collection("default", "laws", instruction="recency")
    assert (changed.instruction, changed.reranker) == ("recency", "large")
    changed = catalog.change_collection("default", "laws", reranker="small")
    assert (changed.instruction, changed.reranker) == ("recency", "small")
    with pytest.raises(InstructionNotFound):
        catalog.change_collection("default", "laws", instruction="none", reranker=None)
    assert catalog.change_collection("default", "laws") == changed == catalog.collection("default", "laws")
    changed = catalog.change_collection("default", "laws", instruction=None, reranker=None)
    assert (changed.instruction, changed.reranker) == (None, None)
    assert catalog.collection("default", "acts") == collection("acts")


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


VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE tenants (name VARCHAR NOT NULL, PRIMARY KEY (name));
CREATE TABLE collections (
    tenant VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    embedder_name VARCHAR NOT NULL,
    embedder_revision VARCHAR NOT NULL,
    embedder_dimension INTEGER NOT NULL,
    embedder_prompt_format VARCHAR NOT NULL,
    chunk_tokens INTEGER NOT NULL,
    created_at VARCHAR NOT NULL,
    instruction VARCHAR,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY(tenant) REFERENCES tenants (name)
);
CREATE TABLE instructions (
    tenant VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    text VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    PRIMARY KEY (tenant, name, version),
    FOREIGN KEY(tenant) REFERENCES tenants (name)
);
INSERT INTO schema_version VALUES (1);
INSERT INTO tenants VALUES ('default');
INSERT INTO collections VALUES
    ('default', 'laws', 'winnow-embed', 'abc', 384, 'qwen3-1', 256, '2026-02-03T04:05:06.000789+00:00', 'recency');
INSERT INTO instructions VALUES
    ('default', 'recency', 1, 'Prefer recent documents', '2026-02-03T04:05:06.000789+00:00');
"""  # as the first winnow wrote it; never to be changed


@pytest.fixture
def version_1(path: Path) -> Path:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    connection.close()
    return path


def schema_of(path: Path) -> tuple[int, list[str]]:
    """The version it says, and the columns of its collections."""
    connection = sqlite3.connect(path)
    version = connection.execute("SELECT version FROM schema_version").fetchall()
    columns = [row[1] for row in connection.execute("PRAGMA table_info(collections)")]
    connection.close()
    assert len(version) == 1
    return version[0][0], columns


def test_a_catalog_of_version_1_is_upgraded_with_all_that_is_in_it(version_1: Path) -> None:
    """Its collections have chosen no reranker yet, and may now."""
    catalog = SqlCatalog.open(version_1)
    laws = catalog.collection("default", "laws")
    assert (laws.embedder.name, laws.chunk_tokens, laws.instruction, laws.reranker) == (
        "winnow-embed", 256, "recency", None
    )  # fmt: skip
    assert catalog.instruction("default", "recency").text == "Prefer recent documents"
    assert catalog.change_collection("default", "laws", reranker="large").reranker == "large"
    catalog.close()
    version, columns = schema_of(version_1)
    assert (version, columns[-1]) == (SCHEMA_VERSION, "reranker")
    again = SqlCatalog.open(version_1)
    assert again.collection("default", "laws").reranker == "large"
    again.close()


def test_an_upgraded_catalog_has_the_schema_of_a_new_one(version_1: Path, tmp_path: Path) -> None:
    """So that both are upgraded alike the next time."""
    SqlCatalog.open(version_1).close()
    SqlCatalog.open(tmp_path / "new.sqlite").close()
    assert schema_of(version_1) == schema_of(tmp_path / "new.sqlite")


def test_two_processes_upgrade_at_once(version_1: Path) -> None:
    """One of them does it, the other finds it done; both go on to write."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_publish_some, version_1, worker) for worker in range(2)]:
            done.result()
    catalog = SqlCatalog.open(version_1)
    assert len(catalog.instructions("default")) == 21
    assert catalog.collection("default", "laws").reranker is None
    catalog.close()


def test_an_upgrade_that_fails_leaves_the_catalog_as_it_was(version_1: Path) -> None:
    """Here the column is there already, put there by nobody we know."""
    with sqlite3.connect(version_1) as connection:
        connection.execute("ALTER TABLE collections ADD COLUMN reranker VARCHAR")
    connection.close()
    before = schema_of(version_1)
    with pytest.raises(WriteFailed, match="duplicate column"):
        SqlCatalog.open(version_1)
    assert schema_of(version_1) == before == (1, before[1])


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_a_schema_that_no_upgrade_leads_from_is_refused_untouched(version_1: Path, version: int) -> None:
    """Also by an older winnow that meets a newer one's catalog."""
    with sqlite3.connect(version_1) as connection:
        connection.execute("UPDATE schema_version SET version = ?", [version])
    connection.close()
    before = schema_of(version_1)
    with pytest.raises(StoreCorrupt, match=f"schema version {version}; this winnow reads {SCHEMA_VERSION}"):
        SqlCatalog.open(version_1)
    assert schema_of(version_1) == before
