"""Several `winnow serve` over one folder and one PostgreSQL, and nginx in front of them, all on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from tests.orphans import ends_with_parent

PROJECT: Final = Path(__file__).resolve().parents[3]
CONFIGURATION: Final = PROJECT / "deploy" / "balance" / "nginx.conf"
KEY: Final = "key-of-the-replicas"
HEADERS: Final = {"authorization": f"Bearer {KEY}"}
DRAIN_SECONDS: Final = 1
START_SECONDS_MAX: Final = 300.0  # on a machine that is busy with other things
STOP_SECONDS_MAX: Final = 90.0


@dataclass(slots=True, kw_only=True)
class Replica:
    """One service, which comes back at the same port."""

    port: int
    data: Path
    catalog_url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}  # noqa: TID251
        settings = {
            "WINNOW_DATA": str(self.data),
            "WINNOW_CATALOG_URL": self.catalog_url,
            "WINNOW_API_KEY": KEY,
            "WINNOW_PORT": str(self.port),
            "WINNOW_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "WINNOW_STOP_SECONDS": "30",
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ends_with_parent([sys.executable, "-m", "winnow.api.cli", "serve"]),
                stdout=log,
                stderr=log,
                env=inherited | settings,
                cwd=PROJECT,
            )

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready():
            assert self.process is not None
            assert self.process.poll() is None, f"it ended; {self.log} says why"
            assert time.monotonic() < end, f"not ready after {START_SECONDS_MAX:.0f} s; {self.log} may say why"
            time.sleep(0.1)

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return httpx2.get(f"{self.url}/readyz", timeout=10).status_code == 200
        return False

    def end(self, number: signal.Signals) -> int:
        """Send the signal to the process, by its id, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS_MAX)


@contextlib.contextmanager
def replicas(folder: Path, catalog_url: str, *, count: int) -> Iterator[list[Replica]]:
    """Started and ready; those that still run are killed at the end."""
    started = [
        Replica(port=port, data=folder / "data", catalog_url=catalog_url, log=folder / f"replica-{at}.log")
        for at, port in enumerate(free_ports(count))
    ]
    try:
        started[0].start()  # alone: it makes the folder and the tables
        started[0].wait_until_ready()
        for each in started[1:]:
            each.start()
        for each in started[1:]:
            each.wait_until_ready()
        yield started
    finally:
        for each in started:
            if each.process is not None and each.process.poll() is None:
                each.process.kill()
                each.process.wait()


@contextlib.contextmanager
def balanced(folder: Path, behind: Sequence[Replica], *, repeats: bool = True) -> Iterator[str]:
    """Run nginx with deploy/balance/nginx.conf for these replicas, and return its URL. Without `repeats`: a control."""
    (port,) = free_ports(1)
    place = folder / f"nginx-{port}"
    place.mkdir()
    servers = "".join(f"        server 127.0.0.1:{each.port} max_fails=1 fail_timeout=2s;\n" for each in behind)
    text = CONFIGURATION.read_text(encoding="utf-8")
    text = re.sub(r"( +server winnow-\d:8000 [^\n]*\n)+", servers, text)
    text = text.replace("/tmp/", f"{place}/").replace("listen 8080;", f"listen 127.0.0.1:{port};")
    text = text.replace("worker_processes auto;", "worker_processes 1;\ndaemon off;")
    if os.geteuid() == 0:
        text = f"user root;\n{text}"
    if not repeats:
        text = re.sub(r"proxy_next_upstream error[^;]*;", "proxy_next_upstream off;", text)
    path = place / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    program = nginx()
    assert program is not None
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(ends_with_parent([program, "-c", str(path)]), stdout=log, stderr=log)
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


def nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        bound = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in bound]


def wait_for_port(port: int) -> None:
    end = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return
