"""Everything beside the package can be imported: mypy does not read it, and most of it runs in campaigns only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ELSEWHERE = (
    "tests.clients.programs.",
    "tests.formats.square_font",
    "tests.openapi.hooks",
)  # environments of their own have what these import
IMPORTS = """
import importlib, sys
failed = []
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError, NameError) as error:
        failed.append(f"{name}: {error}")
sys.exit("\\n".join(failed) or 0)
"""


def scripts() -> list[str]:
    files = [file for folder in ("bench", "docs", "tests", "training") for file in (PROJECT / folder).rglob("*.py")]
    names = {".".join(file.relative_to(PROJECT).with_suffix("").parts) for file in files if "test_" not in file.name}
    here = {name for name in names if not name.startswith(ELSEWHERE)}
    return sorted(name for name in here if not name.endswith(("__init__", "__main__")))


@pytest.mark.slow
def test_every_script_can_be_imported():
    """In a process of its own, since some load much."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        input=" ".join(scripts()),
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(scripts()) > 60
