"""Installs what the browser tests need: Chromium as a Debian package, and axe-core from npm in the folder .browser.

    python -m tests.browser.environment

Where something cannot be installed, standard error says why, and the tests that need it are skipped with that reason.
Nothing of it is part of winnow: axe-core (MPL-2.0) checks the page, and stays in the ignored folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = PROJECT / ".browser"
AXE: Final = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
PINNED: Final = ("package.json", "package-lock.json")  # the lock file holds axe-core's checksum
SECONDS_MAX: Final = 600  # of one installation
NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
BY_HAND: Final = "Install Chromium so that `chromium` is on the PATH."

Which = Callable[[str], str | None]
Run = Callable[[Sequence[str]], bool]


def find_chromium(which: Which = shutil.which) -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    return next((path for name in NAMES if (path := which(name)) is not None), None)


def plan_chromium(which: Which, *, system: str, is_root: bool) -> list[list[str]] | str:
    """Return the commands that install Chromium, or why there are none. `system` is the text of /etc/os-release."""
    if "ID=debian" not in system.splitlines() or which("apt-get") is None:
        return f"Only Debian's package is installed automatically. {BY_HAND}"
    if not is_root and which("sudo") is None:
        return f"Installing a Debian package needs root or sudo. {BY_HAND}"
    as_root = [] if is_root else ["sudo", "--non-interactive"]
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
    return [[*as_root, "apt-get", "update", "--quiet"], [*as_root, *install]]


def install_chromium(which: Which, run: Run, *, system: str, is_root: bool) -> str | None:
    """Install Chromium where it is missing. Return what failed, or None."""
    if find_chromium(which) is not None:
        return None
    plan = plan_chromium(which, system=system, is_root=is_root)
    if isinstance(plan, str):
        return plan
    failed = next((command for command in plan if not run(command)), None)
    return None if failed is None else f"`{' '.join(failed)}` failed. {BY_HAND}"


def install_axe(which: Which, run: Run, *, folder: Path = FOLDER) -> str | None:
    """Install the pinned axe-core into `folder` unless it is there. Return what failed, or None."""
    npm = which("npm")
    sources = {name: Path(__file__).with_name(name).read_bytes() for name in PINNED}
    axe = folder / AXE.relative_to(FOLDER)
    if axe.is_file() and all((folder / name).read_bytes() == text for name, text in sources.items()):
        return None
    if npm is None:
        return "npm is not installed, so axe-core cannot check accessibility. Install npm."
    shutil.rmtree(folder, ignore_errors=True)  # a failure below must not leave another version behind
    folder.mkdir()
    for name, text in sources.items():
        (folder / name).write_bytes(text)
    command = [npm, "ci", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    if run(command) and axe.is_file():
        return None
    return f"`npm ci --prefix {folder.name}` failed, so axe-core cannot check accessibility."


def _run(command: Sequence[str]) -> bool:
    """Run a command, its output on standard error. Return whether it succeeded in time."""
    try:
        return subprocess.run(command, stdout=sys.stderr, timeout=SECONDS_MAX, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main() -> None:
    release = Path("/etc/os-release")
    system = release.read_text(encoding="utf-8") if release.is_file() else ""
    failures = (
        install_chromium(shutil.which, _run, system=system, is_root=os.geteuid() == 0),
        install_axe(shutil.which, _run),
    )
    for reason in filter(None, failures):
        print(f"Browser tests: {reason} The tests that need it are skipped.", file=sys.stderr)


if __name__ == "__main__":
    main()
