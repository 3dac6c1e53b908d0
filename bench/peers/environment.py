"""Makes an environment of their own for the peers, in the ignored folder .peers."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = PROJECT / ".peers"
PINNED: Final = ("chromadb==1.5.9", "lancedb==0.40.0")
SECONDS_MAX: Final = 900  # of the installation


def peers_python() -> Path:
    """Return the Python that has the peers; installs them if they are missing. Exits where that fails."""
    python, mark = FOLDER / "bin" / "python", FOLDER / "installed"
    if mark.is_file() and mark.read_text("utf-8").split() == list(PINNED):
        return python
    venv.create(FOLDER, clear=True, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINNED]
    if subprocess.run(command, timeout=SECONDS_MAX, check=False).returncode:
        sys.exit(f"the peers cannot be installed: {' '.join(PINNED)}")
    mark.write_text("\n".join(PINNED), "utf-8")
    return python
