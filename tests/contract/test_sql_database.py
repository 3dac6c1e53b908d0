"""What a transaction means, and what is said when the database cannot have it: the same on SQLite and PostgreSQL."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sql

from tests.postgres import PostgresServer
from winnow.retrieval.catalog.sql import sqlite as sql_sqlite
from winnow.retrieval.catalog.sql.database import SILENT_SECONDS, SqlDatabase
from winnow.retrieval.concurrency.silence import ASK_SECONDS
from winnow.retrieval.errors import CatalogUnavailable, SettingInvalid, StoreCorrupt, WinnowError, WriteFailed

PASSWORD = "p%40ss word's"  # noqa: S105  in a URL; the password itself is below
SAID = "p@ss word's"
ADD = sql.text("INSERT INTO tenants (name, created_at) VALUES (:name, 'then')")


def names(database: SqlDatabase) -> list[str]:
    """But for the one that is always there."""
    with database.reading() as connection:
        return sorted(connection.scalars(sql.text("SELECT name FROM tenants WHERE name <> 'default'")))


def test_a_transaction_is_all_or_nothing(database: SqlDatabase) -> None:
    """Also where it is our own error that ends it."""
    with database.writing() as connection:
        connection.execute(ADD, {"name": "a"})
    with pytest.raises(StoreCorrupt):
        _add_two(database, "b", fails=StoreCorrupt("no"))
    with pytest.raises(WriteFailed):
        _add_two(database, "a")
    with database.writing() as connection:
        connection.execute(ADD, {"name": "d"})
    assert names(database) == ["a", "d"]


def _add_two(database: SqlDatabase, second: str, *, fails: WinnowError | None = None) -> None:
    with database.writing() as connection:
        connection.execute(ADD, {"name": "first"})
        connection.execute(ADD, {"name": second})
        if fails is not None:
            raise fails


def test_readers_do_not_wait_for_a_writer_and_do_not_see_its_half(database: SqlDatabase) -> None:
    with database.writing() as connection:
        connection.execute(ADD, {"name": "a"})
        assert names(database) == []
    assert names(database) == ["a"]


def test_what_sqlite_has_written_is_on_the_disk(tmp_path: Path) -> None:
    """Every commit waits for it, readers stand beside one writer, and references are enforced."""
    database = SqlDatabase.open(tmp_path / "catalog.sqlite")
    with database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_a_writer_that_never_ends_is_not_waited_for_for_ever(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here both connections are of one process; another's would be no different."""
    with database.writing() as first:
        is_postgres = first.dialect.name == "postgresql"
        impatient = _impatient(database, is_postgres=is_postgres, monkeypatch=monkeypatch)
        with pytest.raises(CatalogUnavailable, match="lock"), impatient.writing():
            pass
        impatient.close()
        first.execute(ADD, {"name": "a"})
    assert names(database) == ["a"]


def _impatient(database: SqlDatabase, *, is_postgres: bool, monkeypatch: pytest.MonkeyPatch) -> SqlDatabase:
    if is_postgres:
        monkeypatch.setattr("winnow.retrieval.catalog.sql.postgres.LOCK_MS", 50)
        return SqlDatabase(database._backend)
    monkeypatch.setattr(sql_sqlite, "BUSY_MS", 50)
    return SqlDatabase(database._backend)


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreCorrupt, match="not a database"):
        SqlDatabase.open(path)


def test_a_place_that_cannot_be_written_is_a_failed_write(tmp_path: Path) -> None:
    """Here: a folder where the file should be."""
    (tmp_path / "catalog.sqlite").mkdir()
    with pytest.raises(WriteFailed, match=r"catalog\.sqlite"):
        SqlDatabase.open(tmp_path / "catalog.sqlite")


def test_a_path_is_a_path_and_no_url(tmp_path: Path) -> None:
    """Whatever characters it has."""
    path = tmp_path / "a?b=c#d%20 e" / "catalog.sqlite"
    SqlDatabase.open(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    connection.close()


def everything_said(error: BaseException) -> str:
    """To a caller, in a log, and in a traceback with what caused it."""
    return "".join([str(error), repr(error), *traceback.format_exception(error)])


def test_a_server_that_is_down_is_unavailable() -> None:
    """By its address and never by its password, in the error and in what caused it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens not
        port = taken.getsockname()[1]
        with pytest.raises(CatalogUnavailable, match=f"winnow@127.0.0.1:{port}/catalog") as caught:
            SqlDatabase.open(f"postgresql://winnow:{PASSWORD}@127.0.0.1:{port}/catalog")
    for secret in (PASSWORD, SAID):
        assert secret not in everything_said(caught.value)


def test_who_may_not_enter_is_told_so_without_the_password(postgres: PostgresServer) -> None:
    url = postgres.url("postgres", user="nobody", password=PASSWORD)
    with pytest.raises(CatalogUnavailable, match="nobody") as caught:
        SqlDatabase.open(url)
    for secret in (PASSWORD, SAID):
        assert secret not in everything_said(caught.value)
        assert secret not in SqlDatabase.at(url).place


def test_a_database_that_is_not_there_is_named(postgres: PostgresServer) -> None:
    with pytest.raises(CatalogUnavailable, match="nowhere"):
        SqlDatabase.open(postgres.url("nowhere"))


@pytest.mark.parametrize("url", ["postgresql", f"mysql://u:{PASSWORD}@h/d", f"postgresql://u:{PASSWORD}@h:port/d"])
def test_what_is_no_url_of_postgresql_is_not_repeated(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(SettingInvalid, match="the catalog's URL") as caught:
        SqlDatabase.at(url)
    for secret in (PASSWORD, SAID):
        assert secret not in everything_said(caught.value)


def test_what_a_statement_was_given_is_in_no_error(database: SqlDatabase) -> None:
    """Nor in its cause: texts of tenants are nobody's but theirs."""
    with database.writing() as connection:
        connection.execute(ADD, {"name": "confidential"})
    twice, given = sql.text("INSERT INTO tenants SELECT * FROM tenants WHERE :x <> ''"), {"x": "very secret"}
    with pytest.raises(WriteFailed) as caught, database.writing() as connection:
        connection.execute(twice, given)  # the line is in what is said, too
    assert "very secret" not in everything_said(caught.value)
    assert "confidential" not in str(caught.value)


def test_connections_that_the_server_has_ended_are_made_anew(postgres: PostgresServer) -> None:
    """As after its restart: the next transaction works. One that was under way is unavailable, and may be repeated."""
    url = postgres.new(template="winnow_template")
    database = SqlDatabase.open(url)
    everyone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    assert names(database) == []
    postgres.execute(everyone)
    assert names(database) == []
    with pytest.raises(CatalogUnavailable):
        _add_after(database, lambda: postgres.execute(everyone))
    assert names(database) == []
    database.close()


def test_a_server_that_falls_silent_is_unavailable(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is stopped, in whose place the system still accepts what is sent. The next transaction works."""
    monkeypatch.setattr("winnow.retrieval.catalog.sql.postgres.SILENCE_MS", 300)
    database = SqlDatabase.open(postgres.new(template="winnow_template"))
    began = time.monotonic()
    with pytest.raises(CatalogUnavailable, match=r"no reply within 0\.3 seconds"), database.reading() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(30)")
    assert time.monotonic() - began < 20
    assert names(database) == []
    with database.snapshot() as connection:
        assert connection.exec_driver_sql("SELECT 1 FROM pg_sleep(0.6)").scalar() == 1, "it may read a whole table"
    with pytest.raises(CatalogUnavailable, match="no reply"), database.reading() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(30)")
    database.close()


def test_a_silent_server_is_waited_for_by_one_call_at_a_time(database: SqlDatabase) -> None:
    """The others fail at once, with what the first one was told; whoever is answered ends that for all."""
    database._silence.unanswered("no reply", seconds=SILENT_SECONDS)
    with pytest.raises(CatalogUnavailable, match="no reply"):
        names(database)
    time.sleep(ASK_SECONDS)
    assert [names(database) for _ in range(2)] == [[], []]


def test_a_process_that_stops_in_a_transaction_keeps_no_lock(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends the transaction, which writes nothing. The next writer goes on. Long copies have more time."""
    monkeypatch.setattr("winnow.retrieval.catalog.sql.postgres.IDLE_MS", 300)
    url = postgres.new(template="winnow_template")
    stopped, other = SqlDatabase.open(url), SqlDatabase.open(url)
    with pytest.raises(CatalogUnavailable):
        _add_after(stopped, lambda: _add_after(other, lambda: None))
    assert names(other) == ["a"]
    assert names(stopped) == ["a"], "its next transaction works"
    with stopped.snapshot() as connection:
        time.sleep(0.6)
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    for database in (stopped, other):
        database.close()


def test_a_process_that_ends_during_a_statement_keeps_no_lock(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would notice at the end of the statement that no caller waits for it any more."""
    monkeypatch.setattr("winnow.retrieval.catalog.sql.postgres.SILENCE_MS", 200)
    monkeypatch.setattr("winnow.retrieval.catalog.sql.postgres.STATEMENT_MS", 1_000)
    url = postgres.new(template="winnow_template")
    ended = SqlDatabase.open(url)
    with pytest.raises(CatalogUnavailable, match="no reply"), ended.writing() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    monkeypatch.undo()
    other = SqlDatabase.open(url)
    _add_after(other, lambda: None)
    assert names(other) == ["a"]
    for database in (ended, other):
        database.close()


def test_no_statement_waits_for_a_lock_without_end(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor those outside of writing transactions, such as the renewal of a lease."""
    monkeypatch.setattr("winnow.retrieval.catalog.sql.postgres.LOCK_MS", 300)
    url = postgres.new(template="winnow_template")
    holder, waiting = SqlDatabase.open(url), SqlDatabase.open(url)
    _add_after(holder, lambda: None)
    change = sql.text("UPDATE tenants SET name = name")
    with holder.reading() as connection:
        connection.execute(change)
        with pytest.raises(CatalogUnavailable, match="lock timeout"), waiting.reading() as other:
            other.execute(change)
    for database in (holder, waiting):
        database.close()


def test_a_server_that_takes_no_connection_any_more_is_unavailable(postgres: PostgresServer) -> None:
    """Those that a process had are gone, and so is what was known of them. Later it works again."""
    url = postgres.new(template="winnow_template")
    name = sql.make_url(url).database
    database = SqlDatabase.open(url)
    assert names(database) == []
    postgres.execute(
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608  of this test
    )
    for _ in range(2):
        with pytest.raises(CatalogUnavailable):
            names(database)
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert names(database) == []
    database.close()


def _add_after(database: SqlDatabase, happening: Callable[[], None]) -> None:
    with database.writing() as connection:
        happening()
        connection.execute(ADD, {"name": "a"})


def test_without_its_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "psycopg"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingInvalid, match=r"pip install 'winnow-search\[postgres\]'"):
        SqlDatabase.open("postgresql://winnow@127.0.0.1/catalog")


def test_a_version_changes_with_every_commit_and_with_nothing_else(database: SqlDatabase, tmp_path: Path) -> None:
    """Where the database can tell: PostgreSQL would have to be asked."""
    version = database.version()
    if version is None:
        with database.reading() as connection:
            assert connection.dialect.name == "postgresql"
        return
    seen = {version}
    for name in ("a", "b"):
        with database.writing() as connection:
            connection.execute(ADD, {"name": name})
            assert database.version() in seen
        assert database.version() not in seen
        seen.add(database.version())
        with pytest.raises(StoreCorrupt):
            _add_two(database, "c", fails=StoreCorrupt("no"))
        assert names(database)
        assert database.version() in seen
    another = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM tenants WHERE name = ?', 'a');"
    )
    subprocess.run([sys.executable, "-c", f"{another} c.commit()", database.place], check=True)
    assert database.version() not in seen
    database.close()
    assert database.version() is None
