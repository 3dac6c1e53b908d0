"""Tries JavaScript clients against real services, and writes what came of it: results/javascript.json, and the page.

    python -m tests.clients.run_javascript [--only PROGRAM ...] [--install]

The clients are those of javascript/package-lock.json; --install installs them. With --only, the rows of the other
programs stay as they are. Exits with 1 where a program did not end well.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.clients.cases import RESULTS, read_rows, write_rows
from tests.clients.node import JAVASCRIPT, install, missing_from, run_command
from tests.clients.page import write_page
from tests.clients.run import Tried, run
from tests.clients.services import services

LANGUAGE: Final = "javascript"


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedInNode(Tried):
    """A client, and the program that tries it in Node."""

    group: str = LANGUAGE

    @property
    def command(self) -> tuple[str, ...]:
        return ("node", str(JAVASCRIPT / f"{self.program}.js"))


TRIED: Final = (
    TriedInNode(client="cohere-ai", program="with_cohere"),
    TriedInNode(client="@langchain/cohere", program="with_langchain_cohere"),
    TriedInNode(client="@ai-sdk/cohere", program="with_ai_sdk"),
    TriedInNode(client="openai", program="with_openai"),
    TriedInNode(client="@modelcontextprotocol/sdk", program="with_mcp"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Try every JavaScript client against real services.")
    parser.add_argument("--only", nargs="+", default=[each.program for each in TRIED], help="names of programs")
    parser.add_argument("--install", action="store_true", help="install the clients if they are missing")
    asked = parser.parse_args(arguments)
    reason = install(JAVASCRIPT, shutil.which, run_command) if asked.install else missing_from(JAVASCRIPT)
    if reason is not None:
        print(f"The JavaScript clients were not tried: {reason}", file=sys.stderr)
        return 1
    chosen = [each for each in TRIED if each.program in asked.only]
    with tempfile.TemporaryDirectory() as folder, services(Path(folder)) as target:
        found, failures = run(chosen, target, Path(folder))
    replaced = {row.client for row in found}
    others = [row for row in read_rows() if row.language == LANGUAGE and row.client not in replaced]
    write_rows(LANGUAGE, [*(replace(row, language=LANGUAGE) for row in found), *others], folder=RESULTS)
    write_page()
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
