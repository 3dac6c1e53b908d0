"""Memory does not grow with the corpus: small runs of bench/indexing/memory.py."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

GROWN_MB_MAX = 3.5  # the second half's ids and places in a dictionary take 5 MB, a list of the files 8 MB


@pytest.mark.parametrize(
    ("words", "counted"),
    [
        (("lines", "--gigabytes", "0.015", "--characters", "100", "--ids-in-memory", "1000"), "documents"),
        (("walk", "--files", "12000", "--per-folder", "500"), "files"),
    ],
    ids=["JSON lines", "a folder"],
)
def test_memory_is_flat(words: tuple[str, ...], counted: str) -> None:
    """After the tables on disk have taken over, twice the corpus takes no more memory."""
    command = [sys.executable, "-m", "bench.indexing.memory", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=240)
    measured: dict[str, Any] = json.loads(done.stdout)
    assert measured[counted] >= 12_000
    assert measured["grown_mb"] < GROWN_MB_MAX
