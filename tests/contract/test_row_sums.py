"""Whatever changes in a SQLite catalog behind winnow's back is named, or changes nothing."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.contract.test_catalog import collection
from tests.contract.test_catalog_copy import filled, sentences
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tenants import SqlTenants
from winnow.retrieval.errors import WinnowError
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

FLIPS = 150


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A catalog with rows in every table, closed, so that all of it is in one file."""
    path = tmp_path / "catalog.sqlite"
    filled(path).close()
    return path


def faults(path: Path) -> list[str]:
    database = SqlDatabase.open(path)
    try:
        return database.faults()
    finally:
        database.close()


def behind_its_back(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def tables(path: Path) -> dict[str, list[str]]:
    """The columns of each table that has checksums."""
    connection = sqlite3.connect(path)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    found = {
        name: [each[1] for each in connection.execute(f'PRAGMA table_info("{name}")')]
        for (name,) in names.fetchall()
        if name != "row_sums"
    }
    connection.close()
    return found


def test_a_catalog_that_winnow_wrote_is_sound(whole: Path) -> None:
    """With rows that were inserted, changed and removed, also by a cascade; opened again it still is."""
    assert faults(whole) == []
    database = SqlDatabase.open(whole)
    SqlTenants(database).make("later", by=COMMAND_LINE)
    SqlCollections(database).add(collection("later"))
    SqlCollections(database).change(DEFAULT_TENANT, "later", reranker="large")
    SqlCollections(database).remove(DEFAULT_TENANT, "later")
    assert database.faults() == []
    database.downgrade("0004")
    database.upgrade()
    assert database.faults() == []
    database.close()


def test_a_connection_follows_the_schema_that_another_process_changed(whole: Path) -> None:
    """Back to a schema without checksums, and on to the newest: it goes on writing, and what it writes is summed."""
    first, second = SqlDatabase.open(whole), SqlDatabase.open(whole)
    tenants = SqlTenants(first)
    tenants.make("before", by=COMMAND_LINE)
    second.downgrade("0007")
    tenants.make("between", by=COMMAND_LINE)
    second.upgrade()
    tenants.make("after", by=COMMAND_LINE)
    assert first.faults() == second.faults() == []
    first.close()
    second.close()


def test_each_value_that_is_changed_is_named_with_its_row(whole: Path) -> None:
    """In every column of every table; so is a row that was removed, and one that was put in."""
    without_triggers = ["DROP TRIGGER audit_UPDATE", "DROP TRIGGER audit_DELETE", "DROP TRIGGER instructions_stay"]
    for table, columns in tables(whole).items():
        if table in {"alembic_version", "schema_version"}:
            continue  # opening refuses another one
        first = f"rowid = (SELECT min(rowid) FROM {table})"  # noqa: S608  its own names
        changes = [f"UPDATE {table} SET {each} = 77 WHERE {first}" for each in columns]  # noqa: S608  likewise
        for change in [*changes, f"DELETE FROM {table} WHERE {first}"]:  # noqa: S608  likewise
            damaged = whole.with_name("damaged.sqlite")
            shutil.copy(whole, damaged)
            behind_its_back(damaged, *without_triggers, change)
            named = [each for each in faults(damaged) if f"of {table}" in each]
            assert named, change
            damaged.unlink()
    behind_its_back(whole, "INSERT INTO tenants (name, created_at) VALUES ('stranger', '2026-01-01T00:00:00+00:00')")
    assert faults(whole) == ["the row 'stranger' of tenants was not written by winnow"]


def test_a_changed_schema_is_named(whole: Path) -> None:
    """Most of all the triggers that keep the audit log and published instructions."""
    behind_its_back(whole, "DROP TRIGGER audit_UPDATE", "CREATE INDEX extra ON audit (at)")
    assert faults(whole) == [
        "the row 'index', 'extra' of the schema was not written by winnow",
        "the row 'trigger', 'audit_UPDATE' of the schema is missing",
    ]


def test_an_update_does_not_hide_what_was_damaged_before(whole: Path) -> None:
    """And `accept` takes what is there, after somebody has looked at it."""
    behind_its_back(whole, "UPDATE tenants SET created_at = '2020-01-01T00:00:00+00:00' WHERE name = 'law'")
    database = SqlDatabase.open(whole)
    SqlTenants(database).disable("law", by=COMMAND_LINE)
    assert database.faults() == ["the row 'law' of tenants differs from what was written"]
    database.accept()
    assert database.faults() == []
    database.close()


def test_flipped_bits_are_named_or_change_nothing(whole: Path) -> None:
    """In any place of the file. What is not named leaves schema and rows as they are, to the letter."""
    content, before = whole.read_bytes(), sentences(whole)
    chance, named = random.Random(20261128), 0
    places = range(len(content))
    written = [place for place in places if content[place]]  # the rest is mostly empty space of pages
    for turn in range(FLIPS):
        at = chance.choice(written if turn % 2 else places)
        whole.write_bytes(content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :])
        try:
            found = bool(faults(whole))
        except WinnowError:
            found = True
        if not found:
            assert sentences(whole) == before, f"byte {at}"
        named += found
        for left in whole.parent.glob("catalog.sqlite-*"):
            left.unlink()
    assert named > FLIPS / 4, named


def test_flipped_bits_in_the_log_of_a_killed_process_are_named(whole: Path, tmp_path: Path) -> None:
    """SQLite ignores the damaged frame and all that follow it, though they were acknowledged."""
    database = SqlDatabase.open(whole)
    for name in ("one", "two", "three"):
        SqlTenants(database).make(name, by=COMMAND_LINE)
    killed = tmp_path / "killed"
    killed.mkdir()
    log = (whole.with_name("catalog.sqlite-wal")).read_bytes()
    shutil.copy(whole, killed / "catalog.sqlite")
    database.close()
    chance = random.Random(20261129)
    for place in (None, *(chance.randrange(len(log)) for _ in range(20))):
        copied = killed / "copied.sqlite"
        for left in killed.glob("copied.sqlite*"):
            left.unlink()
        shutil.copy(killed / "catalog.sqlite", copied)
        flipped = log if place is None else log[:place] + bytes([log[place] ^ 4]) + log[place + 1 :]
        copied.with_name("copied.sqlite-wal").write_bytes(flipped)
        found = [each for each in faults(copied) if "copied.sqlite-wal" in each]
        assert bool(found) == (place is not None), place
