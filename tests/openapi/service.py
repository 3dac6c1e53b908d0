"""`winnow serve` with the bundled models, in a folder of its own, on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2

from tests.openapi.story import ADDRESS

KEY: Final = "a key for this service alone"
READY_SECONDS: Final = 300  # of a machine that is very busy


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Its address. `folder` gets its data and its log."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}  # noqa: TID251
    environment = inherited | {"WINNOW_API_KEY": KEY, "WINNOW_WEBHOOK_HOSTS": ADDRESS.split("/")[2]}
    command = [sys.executable, "-m", "winnow.api.cli", "serve", "--data", str(folder / "data"), "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with (
        (folder / "serve.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            _await(address, process, folder / "serve.log")
            yield address
        finally:
            process.terminate()


def client_of(address: str) -> httpx2.Client:
    """A client with the key for everything."""
    return httpx2.Client(base_url=address, headers={"authorization": f"Bearer {KEY}"}, timeout=60)


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{address}/readyz", timeout=30).is_success:
                return
        time.sleep(0.05)  # nothing to wait on before it listens
    raise AssertionError(log.read_text())
