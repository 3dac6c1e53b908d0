"""Results of a run: one JSON object per line, in the file as soon as it is known."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Rows:
    """Rows in the file and in memory."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        if file is not None:
            file.write_text("", encoding="utf-8")
        self._began = time.monotonic()
        self._found: list[dict[str, Any]] = []

    @classmethod
    def read(cls, file: Path) -> Rows:
        rows = cls(None)
        rows._found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
        return rows

    def add(self, kind: str, **found: Any) -> None:
        row = {"kind": kind, "at": round(time.monotonic() - self._began, 1), **found}
        self._found.append(row)
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(row, default=str) + "\n")

    def of(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """Rows of this kind whose fields have these values."""
        return [
            row
            for row in self._found
            if row["kind"] == kind and all(row.get(name) == value for name, value in wanted.items())
        ]


def run_or_read(
    arguments: argparse.Namespace, as_text: Callable[[Rows], str], run: Callable[[Rows, Path], None]
) -> None:
    """Print the table of an earlier run if given; else run, and print the results, even of an incomplete run.

    `run` gets the rows and a temporary folder.
    """
    if arguments.read is not None:
        print(as_text(Rows.read(arguments.read)))
        return
    rows = Rows(arguments.out)
    arguments.logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(rows, Path(folder))
        finally:
            print(as_text(rows))
