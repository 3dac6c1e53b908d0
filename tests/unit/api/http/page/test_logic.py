"""The page's own logic, run by Node without a browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: the page's logic was not tried")
def test_the_logic_of_the_page() -> None:
    """Requests, movements, errors, words: everything that needs no document."""
    command = ["node", "--test", str(Path(__file__).with_name("logic.test.mjs"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 13" in done.stdout
