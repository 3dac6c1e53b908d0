"""Installs what the tests in Node need, from npm into the node_modules of each package of ours.

    python -m tests.clients.node

Where something cannot be installed, standard error says why, and the tests that need it are skipped with that reason.
Nothing of it is part of winnow.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
TYPESCRIPT: Final = PROJECT / "clients" / "typescript"
JAVASCRIPT: Final = PROJECT / "tests" / "clients" / "javascript"
FOLDERS: Final = (TYPESCRIPT, JAVASCRIPT)
VERSION_MIN: Final = 20
SECONDS_MAX: Final = 300  # of one installation

Which = Callable[[str], str | None]
Run = Callable[[Sequence[str]], bool]


def missing_from(folder: Path) -> str | None:
    """Return why a package's tests cannot run, or None."""
    if shutil.which("node") is None:
        return "Node is not installed"
    if not is_installed(folder):
        return f"what {folder.relative_to(PROJECT)} needs is not installed; `python -m tests.clients.node` installs it"
    return None


def is_installed(folder: Path) -> bool:
    """Return whether the lock file's versions are there."""
    stamp = folder / "node_modules" / ".installed"
    return stamp.is_file() and stamp.read_bytes() == (folder / "package-lock.json").read_bytes()


def install(folder: Path, which: Which, run: Run) -> str | None:
    """Install the packages that a lock file pins, unless they are there. Return what failed, or None."""
    if is_installed(folder):
        return None
    node, npm = which("node"), which("npm")
    if node is None or npm is None:
        return "Node and npm are not installed."
    if not run([node, "-e", f"process.exit(parseInt(process.versions.node) < {VERSION_MIN} ? 1 : 0)"]):
        return f"Node is older than {VERSION_MIN}."
    command = [npm, "ci", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    if not run(command):
        return f"`npm ci --prefix {folder}` failed."
    (folder / "node_modules" / ".installed").write_bytes((folder / "package-lock.json").read_bytes())
    return None


def run_command(command: Sequence[str]) -> bool:
    """Run a command, its output on standard error. Return whether it succeeded in time."""
    try:
        return subprocess.run(command, stdout=sys.stderr, timeout=SECONDS_MAX, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main() -> None:
    for folder in FOLDERS:
        if (reason := install(folder, shutil.which, run_command)) is not None:
            print(f"Tests in Node: {reason} The tests that need it are skipped.", file=sys.stderr)


if __name__ == "__main__":
    main()
