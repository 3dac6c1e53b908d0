"""Two services for all pages: one that is open to this machine, one with API keys."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.docs.running import Reader
from tests.docs.warm import serving_commands

SCRIPTS = Path(sys.executable).parent
READY_SECONDS = 120


def environment_of(home: Path, port: int) -> dict[str, str]:
    """What a person has who followed the installation: winnow and python on the PATH, and a data folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}  # noqa: TID251
    return (
        {"OMP_NUM_THREADS": "2"}
        | inherited
        | {
            "PATH": f"{SCRIPTS}:{inherited['PATH']}",
            "HOME": str(home),
            "WINNOW_DATA": str(home / "winnow-data"),
            "WINNOW_PORT": str(port),
            "TERM": "dumb",  # no colours, no moving progress
            "LINES": "40",
            "COLUMNS": "100",
            "LC_ALL": "C.UTF-8",
        }
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


@contextmanager
def serving(home: Path, *, keyed: bool) -> Iterator[Reader]:
    port = free_port()
    environment = environment_of(home, port)
    if keyed:
        done = subprocess.run(
            ["winnow", "keys", "bootstrap"], env=environment, capture_output=True, text=True, check=True
        )
        environment["WINNOW_KEY"] = done.stdout.strip()
    with (home / "serve.log").open("w") as log:
        process = subprocess.Popen(["winnow", "serve"], env=environment, stdout=log, stderr=log, cwd=home)
        try:
            _await_readiness(port, process, home / "serve.log")
            yield Reader(folder=home, environment=environment, port=port)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _await_readiness(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)  # nothing to wait on before it listens
        else:
            return
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Reader]]:
    """Starts the one that a page asks for when the first page does."""
    with ExitStack() as stack:

        @cache
        def started(name: str) -> Reader:
            return stack.enter_context(serving(tmp_path_factory.mktemp(name), keyed=name == "keyed"))

        yield started


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with a `winnow` that need not load its libraries."""
    with serving_commands(tmp_path_factory.mktemp("bin")) as folder:
        yield folder
