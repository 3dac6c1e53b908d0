"""Memory does not grow with the corpus: small runs of bench/indexing/memory.py."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

RESIDENT_MB_MAX = 400
GROWN_MB_MAX = 8  # in the second half of a run; 20,000 ids and places in a dictionary take more


@pytest.mark.parametrize(
    ("words", "counted"),
    [
        (("lines", "--gigabytes", "0.03", "--characters", "600", "--ids-in-memory", "1000"), "documents"),
        (("walk", "--files", "6000", "--per-folder", "60"), "files"),
    ],
    ids=["JSON lines", "a folder"],
)
def test_memory_is_flat(words: tuple[str, ...], counted: str) -> None:
    """After the tables on disk have taken over, twice the corpus takes no more memory."""
    command = [sys.executable, "-m", "bench.indexing.memory", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=240)
    measured: dict[str, Any] = json.loads(done.stdout)
    assert measured[counted] >= 6_000
    assert measured["grown_mb_in_second_half"] < GROWN_MB_MAX
    assert max(measured["resident_mb"]) < RESIDENT_MB_MAX
