"""nginx or HAProxy in front of the services, with the configurations of deploy/balance, on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.faults.replicas.services import PROJECT, STOP_SECONDS_MAX, Replica, free_ports, wait_for_port
from tests.orphans import ends_with_parent

CONFIGURATIONS: Final = PROJECT / "deploy" / "balance"
PROXIES: Final = {"nginx": "nginx-light", "haproxy": "haproxy"}  # and their packages of Debian and Ubuntu


def program(proxy: str) -> str | None:
    return shutil.which(proxy) or shutil.which(proxy, path="/usr/sbin")


def why_not(proxy: str) -> str | None:
    """Why it cannot be used here."""
    if program(proxy) is not None:
        return None
    return f"{proxy} is not installed (Debian and Ubuntu: apt-get install {PROXIES[proxy]})"


@contextlib.contextmanager
def balanced(folder: Path, behind: Sequence[Replica], *, proxy: str = "nginx", repeats: bool = True) -> Iterator[str]:
    """Run the proxy before these replicas, and return its URL. Without `repeats`: a control."""
    (port,) = free_ports(1)
    place = folder / f"{proxy}-{port}"
    place.mkdir()
    configured = {"nginx": nginx_configuration, "haproxy": haproxy_configuration}[proxy]
    path = place / "configuration"
    path.write_text(configured(place, port, behind, repeats=repeats), encoding="utf-8")
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


def nginx_configuration(place: Path, port: int, behind: Sequence[Replica], *, repeats: bool) -> str:
    servers = "".join(f"        server 127.0.0.1:{each.port} max_fails=1 fail_timeout=2s;\n" for each in behind)
    text = (CONFIGURATIONS / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"( +server winnow-\d:8000 [^\n]*\n)+", servers, text)
    text = text.replace("/tmp/", f"{place}/").replace("listen 8080;", f"listen 127.0.0.1:{port};")
    text = text.replace("worker_processes auto;", "worker_processes 1;\ndaemon off;")
    if os.geteuid() == 0:
        text = f"user root;\n{text}"
    return text if repeats else re.sub(r"proxy_next_upstream error[^;]*;", "proxy_next_upstream off;", text)


def haproxy_configuration(place: Path, port: int, behind: Sequence[Replica], *, repeats: bool) -> str:
    del place  # it writes nothing
    servers = "".join(f"    server winnow-{at} 127.0.0.1:{each.port}\n" for at, each in enumerate(behind, start=1))
    text = (CONFIGURATIONS / "haproxy.cfg").read_text(encoding="utf-8")
    text = re.sub(r"( +server winnow-\d winnow-\d:8000\n)+", servers, text).replace(
        "bind :8080", f"bind 127.0.0.1:{port}"
    )
    if repeats:
        return text
    return text.replace("    retries 2\n", "    retries 0\n").replace("    option redispatch 1\n", "")
