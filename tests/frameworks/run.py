"""Runs these tests where the frameworks are: makes their environment, and serves data/corpus and a chat model.

python -m tests.frameworks.run
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.frameworks.chat_model import chat_model
from tests.frameworks.environment import PROJECT, ready
from tests.orphans import ends_with_parent

FOLDER: Final = PROJECT / ".frameworks"
READY_SECONDS: Final = 120.0
SECONDS_MAX: Final = 1_500.0  # of all tests


@contextmanager
def service(data: Path) -> Iterator[tuple[str, str]]:
    """Serve data/corpus with API keys; yields the address and a key that may search and write."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}  # noqa: TID251
    environment = {"OMP_NUM_THREADS": "2"} | inherited | {"WINNOW_DATA": str(data), "WINNOW_PORT": str(port)}
    _winnow(environment, "index", str(PROJECT / "data" / "corpus"), "--collection", "corpus")
    _winnow(environment, "keys", "bootstrap")
    key = _winnow(environment, "keys", "create", "--scope", "search", "--scope", "write").split()[-1]
    with (data / "serve.log").open("wb") as log:
        command = ends_with_parent([sys.executable, "-m", "winnow.api.cli", "serve"])
        process = subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=log, stderr=log)
        try:
            _await_readiness(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}", key
        finally:
            process.terminate()
            process.wait(timeout=60)


def _winnow(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "winnow.api.cli", *arguments]
    done = subprocess.run(command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _await_readiness(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, "the service ended before it was ready"
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=5).close()  # noqa: S310  loopback
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)  # nothing to wait on before it listens
        else:
            return
    raise AssertionError("the service was not ready in time")


def main() -> int:
    python = ready(FOLDER)
    with tempfile.TemporaryDirectory() as data, service(Path(data)) as (url, key), chat_model() as model:
        found = {
            "FRAMEWORKS_URL": url,
            "FRAMEWORKS_CHAT_URL": model.url,
            "WINNOW_API_KEY": key,
            "HAYSTACK_TELEMETRY_ENABLED": "False",
        }
        here = Path(__file__).parent
        command = [python, "-m", "pytest", "-c", str(here / "pytest.ini"), f"--confcutdir={here}", str(here)]
        environment = {**os.environ, **found}  # noqa: TID251
        return subprocess.run(
            [*command, *sys.argv[1:]], env=environment, cwd=PROJECT, timeout=SECONDS_MAX, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
