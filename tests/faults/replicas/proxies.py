"""nginx or HAProxy in front of the services, with the configurations of deploy/balance, on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from tests.faults.replicas.services import PROJECT, STOP_SECONDS_MAX, free_ports, wait_for_port
from tests.orphans import ends_with_parent

CONFIGURATIONS: Final = PROJECT / "deploy" / "balance"
PROXIES: Final = {"nginx": "nginx-light", "haproxy": "haproxy"}  # and their packages of Debian and Ubuntu


class Listening(Protocol):
    """A service on loopback."""

    port: int


def program(proxy: str) -> str | None:
    return shutil.which(proxy) or shutil.which(proxy, path="/usr/sbin")


def why_not(proxy: str) -> str | None:
    """Why it cannot be used here."""
    if program(proxy) is not None:
        return None
    return f"{proxy} is not installed (Debian and Ubuntu: apt-get install {PROXIES[proxy]})"


def as_shipped(text: str) -> str:
    return text


@contextlib.contextmanager
def balanced(
    folder: Path,
    behind: Sequence[Listening],
    *,
    proxy: str = "nginx",
    repeats: bool = True,
    change: Callable[[str], str] = as_shipped,
) -> Iterator[str]:
    """Run the proxy before these services, and return its URL. Without `repeats`: a control.

    Its configuration is the shipped one after `change`, with addresses on loopback. Its log is `PROXY-*/log`.
    """
    (port,) = free_ports(1)
    place = folder / f"{proxy}-{port}"
    place.mkdir()
    shipped, configured = {
        "nginx": ("nginx.conf", nginx_configuration),
        "haproxy": ("haproxy.cfg", haproxy_configuration),
    }[proxy]
    text = with_servers(change((CONFIGURATIONS / shipped).read_text(encoding="utf-8")), behind)
    path = place / "configuration"
    path.write_text(configured(text, place, port, repeats=repeats), encoding="utf-8")
    command = program(proxy)
    assert command is not None
    flags = {"nginx": ["-c"], "haproxy": ["-db", "-f"]}[proxy]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(ends_with_parent([command, *flags, str(path)]), stdout=log, stderr=log)
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


def with_servers(text: str, behind: Sequence[Listening]) -> str:
    """Repeat each line of the first server for all of these, and leave out the lines of the others."""
    lines = []
    for line in text.splitlines(keepends=True):
        if not re.match(r" +server winnow-\d", line):
            lines.append(line)
        elif "winnow-1:8000" in line:
            lines += [
                line.replace("winnow-1:8000", f"127.0.0.1:{each.port}").replace("winnow-1", f"winnow-{at}")
                for at, each in enumerate(behind, start=1)
            ]
    return "".join(lines)


def nginx_configuration(text: str, place: Path, port: int, *, repeats: bool) -> str:
    text = text.replace("/tmp/", f"{place}/").replace("listen 8080;", f"listen 127.0.0.1:{port};")
    text = text.replace("worker_processes auto;", "worker_processes 1;\ndaemon off;")
    if os.geteuid() == 0:
        text = f"user root;\n{text}"
    return text if repeats else re.sub(r"proxy_next_upstream error[^;]*;", "proxy_next_upstream off;", text)


def haproxy_configuration(text: str, place: Path, port: int, *, repeats: bool) -> str:
    del place  # it writes nothing
    text = text.replace("bind :8080", f"bind 127.0.0.1:{port}")
    if repeats:
        return text
    return re.sub(r"retries \d", "retries 0", text).replace("    option redispatch 1\n", "")
