"""Runs something in a folder of its own, prints what is wrong, and keeps the folder's logs if anything is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path


def exit_code(name: str, run: Callable[[Path], Iterable[str]]) -> int:
    """Return 0 if `run` yields nothing that is wrong, else 1."""
    folder = Path(tempfile.mkdtemp(prefix=f"winnow-{name}-"))
    try:
        wrong = list(run(folder))
    except BaseException:
        print(f"interrupted; the logs are in {folder}")
        raise
    for each in wrong:
        print(f"WRONG: {each}; the logs are in {folder}")
    if not wrong:
        shutil.rmtree(folder)
    return 1 if wrong else 0
