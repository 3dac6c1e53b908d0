"""The balancers read their configurations, and repeat only requests that change nothing, or the same thing again."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from winnow.api.http.scopes import NEEDED
from winnow.retrieval.catalog.keys import KeyScope

BALANCE = Path(__file__).resolve().parents[2] / "deploy" / "balance"
NGINX, HAPROXY = BALANCE / "nginx.conf", BALANCE / "haproxy.cfg"
UPSERT = "/v1/collections/{name}/documents"
CHANGES = {"/mcp", "/v1/feedback"}  # a key that searches may post these, and each counts


def pattern(path: Path, before: str) -> str:
    found = re.search(rf"{re.escape(before)} (\^\S+\$)", path.read_text(encoding="utf-8"))
    assert found
    return found[1]


def test_both_repeat_the_same_routes() -> None:
    """Every POST that only reads, writing documents, and no other."""
    routes = pattern(NGINX, "location ~")
    assert pattern(HAPROXY, "path -m reg") == routes
    repeated = {
        path for method, path in NEEDED if method == "POST" and re.match(routes, re.sub(r"\{\w+\}", "some-name", path))
    }
    reading = {path for (method, path), scope in NEEDED.items() if method == "POST" and scope == KeyScope.SEARCH}
    assert repeated == (reading - CHANGES) | {UPSERT}


@pytest.mark.parametrize(
    ("path", "program", "arguments"), [(NGINX, "nginx", ("-t", "-c")), (HAPROXY, "haproxy", ("-c", "-f"))]
)
def test_the_program_reads_its_configuration(
    path: Path, program: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """With addresses of this machine, since the names are those of containers."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed (Debian and Ubuntu: apt-get install {program})")
    local = tmp_path / path.name
    local.write_text(re.sub(r"winnow-\d:8000", "127.0.0.1:8000", path.read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run([found, *arguments, str(local)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
