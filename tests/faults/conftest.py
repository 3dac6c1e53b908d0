"""What the tests of faults share: where they cannot run, they say why."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.faults.points import Bench
from tests.faults.tracer import refused
from tests.faults.worker import Worker


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    reason = refused()
    if reason is not None:
        pytest.skip(reason)
    with Worker("tests.faults.tracer") as tracer, Worker("tests.faults.checker") as checker:
        yield Bench(tmp_path_factory.mktemp("faults"), tracer=tracer, checker=checker)


@pytest.fixture(scope="session")
def strace() -> str:
    """The command."""
    path = shutil.which("strace")
    if path is None:
        pytest.skip("strace is not installed (Debian and Ubuntu: apt-get install strace)")
    tried = subprocess.run([path, "-o", "/dev/null", "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")
    return path
