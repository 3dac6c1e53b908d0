"""Installs Schemathesis, which sends what the OpenAPI description allows, into the folder .schemathesis.

    python -m tests.openapi.environment

An environment of its own: it brings its own HTTP client and thirty packages that nothing else needs.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = PROJECT / ".schemathesis"
PROGRAM: Final = FOLDER / "bin" / "schemathesis"
VERSION: Final = "4.32.5"
SECONDS_MAX: Final = 600  # of the installation


def installed() -> Path:
    """Return the program, installed if it is missing or of another version."""
    mark = FOLDER / VERSION
    if not mark.is_file():
        venv.create(FOLDER, with_pip=True, clear=True)
        command = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", f"schemathesis=={VERSION}"]
        subprocess.run(command, check=True, timeout=SECONDS_MAX, stdout=sys.stderr)
        mark.touch()
    return PROGRAM


if __name__ == "__main__":
    print(installed())
