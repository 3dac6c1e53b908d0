"""The page's own logic, run by Node without a browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: the page's logic was not tried")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_logic_of_the_page(path: Path) -> None:
    """Requests, movements, errors, words: everything that needs no document."""
    command = ["node", "--test", "--test-reporter=tap", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
