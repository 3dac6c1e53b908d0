"""Several `winnow serve` over one folder or bucket and one PostgreSQL, all on loopback."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2

from tests.orphans import ends_with_parent

PROJECT: Final = Path(__file__).resolve().parents[3]
KEY: Final = "key-of-the-replicas"
HEADERS: Final = {"authorization": f"Bearer {KEY}"}
DRAIN_SECONDS: Final = 1
PORTS: Final = (20_000, 30_000)
START_SECONDS_MAX: Final = 300.0  # on a machine that is busy with other things
STOP_SECONDS_MAX: Final = 90.0


@dataclass(slots=True, kw_only=True)
class Replica:
    """One service, which comes back at the same port."""

    port: int
    data: str  # a folder, or s3://BUCKET/PATH
    catalog_url: str
    log: Path
    variables: Mapping[str, str] = field(default_factory=dict)  # how to reach a bucket
    tree: Path = PROJECT  # of the release that it runs
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}  # noqa: TID251
        settings = {
            "WINNOW_DATA": self.data,
            "WINNOW_CATALOG_URL": self.catalog_url,
            "WINNOW_API_KEY": KEY,
            "WINNOW_PORT": str(self.port),
            "WINNOW_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "WINNOW_STOP_SECONDS": "30",
            "OMP_NUM_THREADS": "1",
            **self.variables,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ends_with_parent([sys.executable, "-m", "winnow.api.cli", "serve"]),
                stdout=log,
                stderr=log,
                env=inherited | settings,
                cwd=self.tree,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the collections are, which all services share."""

    data: str
    catalog_url: str
    variables: Mapping[str, str] = field(default_factory=dict)
    server: int | None = None  # process of the object store; then each service has a cache, as on hosts of their own

    def replica(self, folder: Path, at: int, port: int) -> Replica:
        cache = {"WINNOW_CACHE_DIR": str(folder / f"cache-{at}")} if self.server else {}
        return Replica(
            port=port,
            data=self.data,
            catalog_url=self.catalog_url,
            log=folder / f"replica-{at}.log",
            variables={**self.variables, **cache},
        )


@contextlib.contextmanager
def replicas(folder: Path, place: Place, *, count: int, tree: Path = PROJECT) -> Iterator[list[Replica]]:
    """Started and ready; those that still run are killed at the end."""
    started = [place.replica(folder, at, port) for at, port in enumerate(free_ports(count))]
    try:
        for each in started:
            each.tree = tree
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


def free_ports(count: int) -> list[int]:
    """Outside of the range that connections get theirs from: a service that is started again finds its port free."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = random.randrange(*PORTS)
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
        return found


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
