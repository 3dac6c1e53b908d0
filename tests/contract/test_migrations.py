"""From every schema there has been to the newest, and back: nothing is lost, and nobody meets a half."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.instructions import InstructionContent
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.instructions import SqlInstructions
from winnow.retrieval.catalog.sql.migrate import NEWEST, REVISIONS, _config
from winnow.retrieval.catalog.sql.schema import metadata
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import InvalidRequest, StoreCorrupt, WriteFailed
from winnow.retrieval.records import Collapse, Diversity

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
    ('default', 'recency', 1, 'Prefer {recent} documents', '2026-02-03T04:05:06.000789+00:00');
"""  # as the first winnow wrote it; never to be changed


VERSION_2 = """
ALTER TABLE collections ADD COLUMN reranker VARCHAR;
UPDATE collections SET reranker = 'large';
UPDATE schema_version SET version = 2;
"""  # as the winnow after it made of it; never to be changed
RERANKER = {1: None, 2: "large"}


@pytest.fixture(params=RERANKER)
def version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def old(tmp_path: Path, version: int) -> Path:
    """A catalog from before Alembic."""
    path = tmp_path / "catalog.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    if version == 2:
        connection.executescript(VERSION_2)
    connection.close()
    return path


def asked(path: Path, question: str) -> list[tuple[object, ...]]:
    """By SQLite itself."""
    connection = sqlite3.connect(path)
    answer = connection.execute(question).fetchall()
    connection.close()
    return answer


def columns(database: SqlDatabase) -> dict[str, list[str]]:
    """Of every table, in their order."""
    with database.reading() as connection:
        there = sql.inspect(connection)
        return {table: [str(each["name"]) for each in there.get_columns(table)] for table in there.get_table_names()}


def differences(database: SqlDatabase) -> list[object]:
    """Between what is there and what the tables of the program say."""
    with database.reading() as connection:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def test_the_migrations_are_one_line(database: SqlDatabase) -> None:
    """Their numbers, read from the names of their files, are Alembic's own account of them."""
    with database.reading() as connection:
        scripts = ScriptDirectory.from_config(_config(connection))
    assert scripts.get_heads() == [NEWEST]
    assert [each.revision for each in scripts.walk_revisions()] == list(reversed(REVISIONS))


def test_the_migrations_make_what_the_tables_say(database: SqlDatabase) -> None:
    assert database.schema().revision == NEWEST
    assert differences(database) == []


def test_every_step_back_leads_where_the_way_there_was(place: Path | str) -> None:
    """One migration after the other, down and up again."""
    database = SqlDatabase.open(place)
    newest = columns(database)
    for revision in reversed(REVISIONS[:-1]):
        database.downgrade(revision)
        assert database.schema().revision == revision
    database.upgrade()
    assert (database.schema().revision, columns(database)) == (NEWEST, newest)
    assert differences(database) == []
    database.close()


def test_a_step_back_keeps_the_rows(place: Path | str) -> None:
    """All but what the earlier schema has no place for; foreign keys hold afterwards as before."""
    database = SqlDatabase.open(place)
    catalog = SqlCollections(database)
    library = SqlInstructions(database)
    published = library.publish("default", "recency", InstructionContent(text="Prefer recent documents", literal=True))
    library.write_draft("default", "recency", InstructionContent(text="Prefer old documents"))
    laws = Collection(
        tenant="default",
        name="laws",
        embedder=EmbedderIdentity(name="winnow-embed", revision="abc", dimension=384),
        chunk_tokens=256,
        created_at=datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
        instruction="recency",
        reranker="large",
        diversity=Diversity(collapse=Collapse(shingles=0.6), mmr_lambda=0.7),
    )
    catalog.add(laws)
    database.downgrade("0001")
    assert not {"reranker", "collapse_shingles"} & set(columns(database)["collections"])
    database.upgrade()
    assert catalog.of_tenant("default") == [replace(laws, reranker=None, diversity=Diversity())]
    assert library.versions("default") == [published]
    with pytest.raises(WriteFailed, match=r"(?i)foreign key"), database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM tenants")
    database.close()


def test_there_is_no_way_back_to_what_is_not_before(database: SqlDatabase) -> None:
    """Refused, and nothing is changed."""
    for revision in (NEWEST, "0000", "base", "-1", "head", ""):
        with pytest.raises(InvalidRequest, match="0001"):
            database.downgrade(revision)
    assert database.schema().revision == NEWEST


def test_a_catalog_from_before_alembic_is_upgraded_with_all_that_is_in_it(old: Path, version: int) -> None:
    """And is not looked at again by a winnow of then: it reads a version that it does not know."""
    database = SqlDatabase.open(old)
    catalog = SqlCollections(database)
    laws = catalog.get("default", "laws")
    assert (laws.embedder.name, laws.chunk_tokens, laws.instruction, laws.reranker) == (
        "winnow-embed", 256, "recency", RERANKER[version]
    )  # fmt: skip
    (recency,) = SqlInstructions(database).versions("default")
    assert (recency.reference, recency.state, recency.published_at) == ("recency@1", "published", recency.created_at)
    assert recency.content == InstructionContent(text="Prefer {recent} documents", literal=True)
    assert catalog.change("default", "laws", reranker="other").reranker == "other"
    assert differences(database) == []
    database.close()
    assert asked(old, "SELECT version FROM schema_version") == [(3,)]
    again = SqlDatabase.open(old)
    assert again.schema().revision == NEWEST
    again.close()


def test_an_upgraded_catalog_has_the_schema_of_a_new_one(old: Path, tmp_path: Path) -> None:
    """So that both are upgraded alike the next time."""
    upgraded, new = SqlDatabase.open(old), SqlDatabase.open(tmp_path / "new.sqlite")
    assert columns(upgraded) == columns(new)
    upgraded.close()
    new.close()
    assert asked(old, "SELECT * FROM schema_version") == asked(tmp_path / "new.sqlite", "SELECT * FROM schema_version")


def _open(place: Path | str) -> str | None:
    database = SqlDatabase.open(place)
    revision = database.schema().revision
    database.close()
    return revision


def test_processes_open_at_once(place: Path | str) -> None:
    """One of them makes the tables, the others find them."""
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(_open, [place] * 3)) == [NEWEST] * 3


def test_processes_upgrade_at_once(old: Path) -> None:
    """One of them does it, the others find it done."""
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(_open, [old] * 3)) == [NEWEST] * 3
    assert asked(old, "SELECT count(*) FROM collections") == [(1,)]


@pytest.mark.parametrize("version", [1])
def test_an_upgrade_that_fails_leaves_the_catalog_as_it_was(old: Path, version: int) -> None:
    """Here the column is there already, put there by nobody we know."""
    connection = sqlite3.connect(old)
    connection.execute("ALTER TABLE collections ADD COLUMN reranker VARCHAR")
    connection.commit()
    before = list(connection.iterdump())
    with pytest.raises(WriteFailed, match="duplicate column"):
        SqlDatabase.open(old)
    assert list(connection.iterdump()) == before
    connection.close()


@pytest.mark.parametrize("unknown", [0, 3, 99])
def test_a_version_that_no_upgrade_leads_from_is_refused_untouched(old: Path, unknown: int) -> None:
    connection = sqlite3.connect(old)
    connection.execute("UPDATE schema_version SET version = ?", [unknown])
    connection.commit()
    before = list(connection.iterdump())
    with pytest.raises(StoreCorrupt, match=f"schema version {unknown}, this winnow reads {NEWEST}"):
        SqlDatabase.open(old)
    assert list(connection.iterdump()) == before
    connection.close()


def test_a_catalog_of_a_later_winnow_is_refused_untouched(place: Path | str) -> None:
    """Upgraded or downgraded by this one, nobody would know what it is."""
    database = SqlDatabase.open(place)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = columns(database)
    with pytest.raises(StoreCorrupt, match=f"schema version 9999, this winnow reads {NEWEST}"):
        SqlDatabase.open(place)
    with pytest.raises(StoreCorrupt, match="schema version 9999"):
        database.downgrade("0001")
    assert (database.schema().revision, columns(database)) == ("9999", before)
    database.close()
