"""Puts Debian's Prometheus where the tests find it; where that cannot be, says why, and their tests are skipped.

    python -m tests.observe.environment

Its package is unpacked, not installed: no service is started, and no other package is needed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / ".prometheus"
PROGRAMS = ("prometheus", "promtool")
SECONDS_MAX = 120  # of a download of 19 MB


def found() -> dict[str, str] | None:
    """The path of each program: unpacked by `main`, or installed."""
    paths = {each: shutil.which(each, path=str(FOLDER / "usr" / "bin")) or shutil.which(each) for each in PROGRAMS}
    present = {name: path for name, path in paths.items() if path is not None}
    return present if len(present) == len(PROGRAMS) else None


def unpack() -> str | None:
    """Why it could not be done; None once it is."""
    for needed in ("apt-get", "dpkg-deb"):
        if shutil.which(needed) is None:
            return f"there is no {needed}; install Prometheus by hand"
    with tempfile.TemporaryDirectory(prefix="winnow-prometheus-") as folder:
        package = _download(Path(folder))
        if package is None and _run("apt-get", "update", "--quiet", cwd=folder):  # a new machine has no lists yet
            package = _download(Path(folder))
        if package is None:
            return "`apt-get download prometheus` failed"
        if not _run("dpkg-deb", "--extract", str(package), str(FOLDER), cwd=folder):
            return f"{package.name} could not be unpacked into {FOLDER}"
    return None


def _download(folder: Path) -> Path | None:
    _run("apt-get", "download", "prometheus", cwd=str(folder))
    return next(folder.glob("*.deb"), None)


def _run(*command: str, cwd: str) -> bool:
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=SECONDS_MAX, check=False)
    return done.returncode == 0


def main() -> None:
    if found() is None and (reason := unpack()) is not None:
        sys.stderr.write(f"Tests with a real Prometheus are skipped: {reason}.\n")


if __name__ == "__main__":
    main()
