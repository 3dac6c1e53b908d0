"""A catalog moves between databases with everything in it, or stays where it is."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sql

from tests.contract.stability.alerts import fill_alerts
from tests.contract.stability.test_book import fill_stability, run_number, sample_number
from tests.contract.test_calibrations import CALIBRATION
from tests.contract.test_catalog import collection
from tests.contract.test_judgment_book import fill_judgments, judgment_number
from tests.contract.test_quota_books import FIRST, SECOND, used
from tests.contract.test_shadow_book import COMPARISON, SHADOW
from tests.contract.uploads.test_uploads import fill_uploads
from tests.postgres import PostgresServer
from winnow.retrieval.catalog.instructions import InstructionContent, Variable, VariableType
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyWish
from winnow.retrieval.catalog.quotas import LIMIT_MAX, Held, TenantLimits
from winnow.retrieval.catalog.sql import copy as sql_copy
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.calibrations import SqlCalibrations
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.copy import copy_catalog
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.folder import SqlFolderBook
from winnow.retrieval.catalog.sql.instructions import SqlInstructions
from winnow.retrieval.catalog.sql.keys import SqlKeys
from winnow.retrieval.catalog.sql.leases.tables import WRITER_LEASES
from winnow.retrieval.catalog.sql.migrate import NEWEST, REVISIONS
from winnow.retrieval.catalog.sql.quotas import SqlLimitBook, SqlUsageBook
from winnow.retrieval.catalog.sql.reservations import SqlReservations
from winnow.retrieval.catalog.sql.row_checksums import ROW_SUMS
from winnow.retrieval.catalog.sql.schema import metadata
from winnow.retrieval.catalog.sql.shadows import SqlShadowBook
from winnow.retrieval.catalog.sql.tenants import SqlGrants, SqlTenants
from winnow.retrieval.errors import CatalogExists, CatalogUnavailable, InvalidRequest, StoreCorrupt, WriteFailed
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, TenantName

STRANGE = 'it\'s "so" \\u0000 \\ %s :name\r\n\t法律 \U0001f600 \ufffd e\u0301 \u202e \x7f\x01 $1 {x}}'
Place = Path | str
Rows = dict[str, Counter[tuple[Any, ...]]]
LEASE = {
    "tenant": "law",
    "collection": "laws",
    "token": 3,
    "holder": "a-host/1",
    "expires_ms": 2**42,
    "needs_fence": 1,
    "next_number": 2**40,
    "newest_version": 17,
    "newest_token": 3,
}


class Counting:
    """Implements `Watcher`."""

    def __init__(self, happening: Callable[[], None] = lambda: None) -> None:
        self.total = 0
        self.rows = 0
        self._happening = happening

    def started(self, rows: int) -> None:
        self.total = rows

    def advanced(self, rows: int) -> None:
        self.rows += rows
        self._happening()


@pytest.fixture
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Place]:
    """Where there is no database yet, of this kind."""

    def place(kind: str) -> Place:
        if kind == "postgres":
            return request.getfixturevalue("postgres").new()
        return tmp_path / f"{len(list(tmp_path.iterdir()))}" / "catalog.sqlite"

    return place


@pytest.fixture(params=[f"{one}-{other}" for one in ("sqlite", "postgres") for other in ("sqlite", "postgres")])
def ends(request: pytest.FixtureRequest, new_place: Callable[[str], Place]) -> tuple[Place, Place]:
    """From where to where: each way there is."""
    one, other = request.param.split("-")
    first = new_place(one)
    if isinstance(first, Path):
        first.parent.mkdir()
    return first, new_place(other)


def filled(place: Place) -> SqlDatabase:
    """Everything that a catalog may hold, as those who hold it write it."""
    database = SqlDatabase.open(place)
    catalog, library, shadows = SqlCollections(database), SqlInstructions(database), SqlShadowBook(database)
    tenants, keys = SqlTenants(database), SqlKeys(database)
    law = tenants.make("law", by=COMMAND_LINE).name
    tenants.make("gone", by=COMMAND_LINE)
    tenants.disable("gone", by=COMMAND_LINE)
    key = keys.make(law, KeyWish(scopes=ALL_SCOPES, lifetime=timedelta(days=9), note=STRANGE), by=COMMAND_LINE).key
    keys.rotate(law, key.id, overlap=timedelta(hours=1), by=COMMAND_LINE)
    keys.used(key.id, at=key.created_at, least=timedelta(minutes=1))
    keys.revoke(law, key.id, by=COMMAND_LINE)
    code = Variable(name="code", type=VariableType.ENUM, default="a", allowed=("a", STRANGE), description=STRANGE)
    library.publish(law, "recency", InstructionContent(text=STRANGE, variables=(code,), collections=("laws", "法律")))
    library.publish(law, "recency", InstructionContent(text="Prefer recent documents", literal=True, note=STRANGE))
    library.retire(law, "recency", 2)
    library.write_draft(law, "recency", InstructionContent(text="Prefer old documents", embedding_task=STRANGE))
    library.set_default(law, "recency@1")
    for tenant in (DEFAULT_TENANT, law):
        catalog.add(collection("laws", tenant=tenant, reranker="large"))
    catalog.change(law, "laws", instruction="recency")
    catalog.begin(collection("acts", tenant=law))
    SqlFolderBook(database).join("a-folder")
    SqlReservations(database).reserve(law, "laws", Held(documents=7, bytes=2**40), turn=0)
    SqlCalibrations(database).put(replace(CALIBRATION, tenant=law, collection="laws"))
    SqlGrants(database).give(law, "laws", "default", by=COMMAND_LINE)
    limits = SqlLimitBook(database)
    limits.set_limits(law, TenantLimits(requests_per_minute=LIMIT_MAX, bytes=0, weight=0.1 + 0.2))
    limits.set_limits(DEFAULT_TENANT, TenantLimits(weight=2.0))
    SqlUsageBook(database).add([used("law", FIRST, 2**40), used("law", SECOND), used("nobody", SECOND, 0)])
    shadows.start(replace(SHADOW, tenant=law, share=1 / 3), by=COMMAND_LINE)
    shadows.start(replace(SHADOW, tenant=law, name="other", keep_queries=True, collection="laws"), by=COMMAND_LINE)
    undecided = replace(COMPARISON.agreement, tau=None, top_changed=False)
    shadows.add([COMPARISON, replace(COMPARISON, tenant=law, query="what\0 \ud800 退货", agreement=undecided)])
    fill_judgments(database, law)
    fill_alerts(database, law)
    fill_stability(database, law)
    fill_uploads(database, law, "laws")
    with database.writing() as connection:
        connection.execute(sql.insert(WRITER_LEASES).values(LEASE))
    return database


def rows_of(place: Place) -> Rows:
    """Every table, read by the driver alone; a row is the same on both where its values are."""
    if isinstance(place, Path):
        connection: Any = sqlite3.connect(place)
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    else:
        connection = psycopg.connect(place)
        names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    rows = {
        name: Counter(connection.execute(f'SELECT * FROM "{name}"').fetchall())  # noqa: S608  its own names
        for (name,) in connection.execute(names).fetchall()
        if name != ROW_SUMS.name  # each database has its own
    }
    connection.close()
    return rows


def sentences(path: Path) -> list[str]:
    """Schema and rows as SQLite writes them down, in an order that does not depend on that of writing."""
    connection = sqlite3.connect(path)
    dump = sorted(connection.iterdump())
    connection.close()
    return dump


def copied(source: Place, target: Place) -> None:
    one, other = SqlDatabase.at(source), SqlDatabase.at(target)
    copy_catalog(one, other, watcher=Counting())
    one.close()
    other.close()


def test_every_row_of_every_table_is_in_the_copy(ends: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was, in portions smaller than the tables; and there is a row in each table, of those to come as well."""
    monkeypatch.setattr(sql_copy, "ROWS_AT_ONCE", 2)
    source, target = filled(ends[0]), SqlDatabase.at(ends[1])
    watcher = Counting()
    tables = copy_catalog(source, target, watcher=watcher)
    source.close()
    target.close()
    here, there = rows_of(ends[0]), rows_of(ends[1])
    assert there == here
    assert here["alembic_version"] == Counter([(NEWEST,)])
    assert [each.name for each in tables if not each.rows] == [], "a table that `filled` does not fill is not tested"
    assert {each.name: each.rows for each in tables} == {
        name: rows.total() for name, rows in here.items() if name in metadata.tables
    }
    assert watcher.rows == watcher.total == sum(each.rows for each in tables)


def test_there_and_back_again_is_the_same_to_the_byte(tmp_path: Path, postgres: PostgresServer) -> None:
    """SQLite's own account of schema and rows does not tell the two apart."""
    first, url, last = tmp_path / "first.sqlite", postgres.new(), tmp_path / "last.sqlite"
    filled(first).close()
    copied(first, url)
    copied(url, last)
    assert sentences(last) == sentences(first)


def test_contents_have_the_same_digest_wherever_they_lie(tmp_path: Path, postgres: PostgresServer) -> None:
    """And another one where a single value differs."""
    source, on_server = filled(tmp_path / "catalog.sqlite"), SqlDatabase.at(postgres.new())
    here = copy_catalog(source, on_server, watcher=Counting())
    assert copy_catalog(on_server, SqlDatabase.at(tmp_path / "back.sqlite"), watcher=Counting()) == here
    with source.writing() as connection:
        connection.exec_driver_sql("UPDATE tenant_limits SET weight = 0.3 WHERE tenant = 'law'")  # 0.1 + 0.2 is more
    after = copy_catalog(source, SqlDatabase.at(tmp_path / "after.sqlite"), watcher=Counting())
    assert [each.name for each, was in zip(after, here, strict=True) if each != was] == ["tenant_limits"]


def numbered(database: SqlDatabase) -> dict[str, int]:
    """The numbers that the next rows get from the database, in each table whose rows it numbers."""
    book, log = SqlShadowBook(database), SqlAuditLog(database)
    before = {each.number for each in book.outcomes(TenantName("law"), "house")}
    book.add([replace(COMPARISON, tenant=TenantName("law"))])
    (number,) = {each.number for each in book.outcomes(TenantName("law"), "house")} - before
    SqlTenants(database).make(f"tenant-{number}", by=COMMAND_LINE)
    return {
        "audit": log.entries(tenant=None, limit=1)[0].number,
        "judgments": judgment_number(database, TenantName("law")),
        "shadow_comparisons": number,
        "stability_runs": run_number(database),
        "stability_samples": sample_number(database),
    }


def test_rows_are_numbered_on_from_the_last(ends: tuple[Place, Place]) -> None:
    """Two in a row in every table that has numbers: none of them meets one that was copied."""
    source = filled(ends[0])
    last = numbered(source)
    assert set(last) == {name for name, table in metadata.tables.items() if table.autoincrement_column is not None}
    target = SqlDatabase.at(ends[1])
    copy_catalog(source, target, watcher=Counting())
    for step in (1, 2):
        assert numbered(target) == {name: number + step for name, number in last.items()}
    source.close()
    target.close()


def test_a_copied_catalog_keeps_its_promises(ends: tuple[Place, Place]) -> None:
    """References hold, the audit log cannot be rewritten, and a published instruction stays what it is."""
    source = filled(ends[0])
    copied(ends[0], ends[1])
    target = SqlDatabase.open(ends[1])
    for forbidden in (
        "DELETE FROM tenants",
        "DELETE FROM audit",
        "UPDATE instructions SET text = 'else' WHERE state = 'published'",
    ):
        with pytest.raises(WriteFailed), target.writing() as connection:
            connection.exec_driver_sql(forbidden)
    key = SqlKeys(source).keys(TenantName("law"))[1]
    assert SqlKeys(target).find(key.id) == SqlKeys(source).find(key.id)
    assert SqlInstructions(target).versions(TenantName("law")) == SqlInstructions(source).versions(TenantName("law"))
    source.close()
    target.close()


def test_a_new_catalog_counts_as_empty_on_both_sides(ends: tuple[Place, Place]) -> None:
    """What the migrations put there is nothing, for one that was opened already; and the first number is 1."""
    SqlDatabase.open(ends[0]).close()
    SqlDatabase.open(ends[1]).close()
    assert rows_of(ends[0])["tenants"] != rows_of(ends[1])["tenants"]  # its default tenant was made a moment later
    copied(ends[0], ends[1])
    assert rows_of(ends[0]) == rows_of(ends[1])
    target = SqlDatabase.at(ends[1])
    assert numbered(target) == dict.fromkeys(
        ("audit", "judgments", "shadow_comparisons", "stability_runs", "stability_samples"), 1
    )
    target.close()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("INSERT INTO tenants (name, created_at) VALUES ('a', 'then'), ('b', 'then')", "tenants with 2 rows"),
        (
            "INSERT INTO audit (at, actor, action, tenant, subject) VALUES ('then', 'me', 'a.b', 'c', 'd')",
            "audit with 1 row;",
        ),
    ],
)
def test_a_catalog_that_holds_anything_is_not_written_to(place: Place, tmp_path: Path, held: str, said: str) -> None:
    """The table is named, and how much is in it."""
    filled(tmp_path / "source.sqlite").close()
    target = SqlDatabase.open(place)
    with target.writing() as connection:
        connection.exec_driver_sql(held)
    target.close()
    before = rows_of(place)
    with pytest.raises(CatalogExists, match=said):
        copied(tmp_path / "source.sqlite", place)
    assert rows_of(place) == before


def test_a_database_of_something_else_is_not_written_to(place: Place, tmp_path: Path) -> None:
    """Of another program, or of another winnow: neither gets tables, or another schema, from a copy."""
    filled(tmp_path / "source.sqlite").close()
    other = SqlDatabase.at(place)
    with other.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE recipes (dish TEXT)")
        connection.exec_driver_sql("INSERT INTO recipes VALUES ('soup')")
    with pytest.raises(CatalogExists, match="recipes with 1 row;"):
        copied(tmp_path / "source.sqlite", place)
    assert rows_of(place) == {"recipes": Counter([("soup",)])}
    with other.writing() as connection:
        connection.exec_driver_sql("DROP TABLE recipes")
    other.upgrade()
    other.downgrade(REVISIONS[-2])
    with pytest.raises(CatalogExists, match="alembic_version with 1 row;"):
        copied(tmp_path / "source.sqlite", place)
    assert other.schema().revision == REVISIONS[-2]
    other.close()


def test_a_source_of_another_schema_is_refused_before_anything_is_made(place: Place, tmp_path: Path) -> None:
    """An earlier one with the command that changes it, a later one as everywhere, and none."""
    target = tmp_path / "target.sqlite"
    SqlDatabase.at(place).close()
    with pytest.raises(InvalidRequest, match=f"schema none, not {NEWEST}; upgrade it with `winnow catalog upgrade`"):
        copied(place, target)
    source = SqlDatabase.open(place)
    source.downgrade(REVISIONS[-2])
    with pytest.raises(
        InvalidRequest, match=f"schema {REVISIONS[-2]}, not {NEWEST}; upgrade it with `winnow catalog upgrade`"
    ):
        copied(place, target)
    source.upgrade()
    with source.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreCorrupt, match=f"schema version 9999, this winnow reads {NEWEST}"):
        copied(place, target)
    source.close()
    assert not target.exists()


def test_what_is_written_meanwhile_is_not_half_in_the_copy(ends: tuple[Place, Place]) -> None:
    """One moment of the source is copied, whatever somebody writes between its tables: here an entry of each."""
    source, busy = filled(ends[0]), SqlDatabase.at(ends[0])
    before = rows_of(ends[0])
    names = iter(range(1_000))
    watcher = Counting(lambda: _write(busy, f"late-{next(names)}"))
    copy_catalog(source, SqlDatabase.at(ends[1]), watcher=watcher)
    assert rows_of(ends[1]) == before
    late = rows_of(ends[0])["tenants"] - before["tenants"]
    assert late.total() == next(names) > 1
    source.close()
    busy.close()


def _write(database: SqlDatabase, name: str) -> None:
    SqlTenants(database).make(name, by=COMMAND_LINE)


ALTERING = {
    "sqlite": ["CREATE TRIGGER meddle AFTER INSERT ON usage BEGIN UPDATE usage SET requests = requests + 1; END"],
    "postgres": [
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.requests := NEW.requests + 1; RETURN NEW; END $$",
        "CREATE TRIGGER meddle BEFORE INSERT ON usage FOR EACH ROW EXECUTE FUNCTION meddle()",
    ],
}


def test_a_database_that_keeps_something_else_is_found_out(place: Place, tmp_path: Path) -> None:
    """And keeps nothing of it."""
    filled(tmp_path / "source.sqlite").close()
    target = SqlDatabase.open(place)
    with target.writing() as connection:
        for statement in ALTERING["sqlite" if isinstance(place, Path) else "postgres"]:
            connection.exec_driver_sql(statement)
    before = rows_of(place)
    with pytest.raises(WriteFailed, match="the table usage reads back differently than it was written"):
        copied(tmp_path / "source.sqlite", place)
    assert rows_of(place) == before
    target.close()


def test_a_source_that_goes_away_amid_the_copy_is_named(tmp_path: Path, postgres: PostgresServer) -> None:
    """Not the target, in whose transaction that happens; nothing is left there, and the same copy works afterwards."""
    url, target = postgres.new(), tmp_path / "target.sqlite"
    filled(url).close()
    name = url.partition("?")[0].rpartition("/")[2]
    ends = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608  a test's
    source = SqlDatabase.at(url)
    with pytest.raises(CatalogUnavailable, match=name):
        copy_catalog(source, SqlDatabase.at(target), watcher=Counting(lambda: postgres.execute(ends)))
    assert rows_of(target) == {}
    copied(url, target)
    assert rows_of(target) == rows_of(url)
    source.close()
