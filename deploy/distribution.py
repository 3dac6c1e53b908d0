"""Builds wheels and source archives of the service and its client into dist/, prints their sizes, and fails where one
is too large.

    .venv/bin/python deploy/distribution.py [--tag v0.1.0]

The versions of both must be the same, and with a tag, that of the tag. The build uses the setuptools of this
environment, so it needs no network.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
CLIENT = PROJECT / "clients" / "python"
MB = 1_000_000
SIZE_MAX = {".whl": 45 * MB, ".tar.gz": 45 * MB}  # 37 MB each in November 2026, nearly all of it the bundled models


def version(file: Path = PROJECT / "winnow" / "__init__.py") -> str:
    """That of the tree, which need not be installed."""
    text = file.read_text(encoding="utf-8")
    return re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0]


def build(target: Path, *, source: Path = PROJECT) -> list[Path]:
    """Build the wheel and the source archive of a tree into a folder; returns the files in it."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)]
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603  our own tree
    return sorted(target.iterdir())


def too_large(file: Path) -> str | None:
    """Says so, or None."""
    most = next(most for suffix, most in SIZE_MAX.items() if file.name.endswith(suffix))
    size = file.stat().st_size
    return f"{file.name} has {size / MB:.1f} MB; at most {most / MB:.0f} MB are allowed" if size > most else None


def main() -> None:
    parser = argparse.ArgumentParser(description="Build wheel and source archive into dist/.")
    parser.add_argument("--tag", default="", help="the release's tag: v and the version")
    tag = parser.parse_args().tag
    if tag and tag != f"v{version()}":
        sys.exit(f"The tag is {tag}, but winnow/__init__.py has version {version()}. Change one of them.")
    client = version(CLIENT / "winnow_client" / "version.py")
    if client != version():
        sys.exit(f"winnow_client/version.py has version {client}, but the service has {version()}. They go together.")
    target = PROJECT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    build(target)
    files = build(target, source=CLIENT)
    for file in files:
        sys.stdout.write(f"{file.stat().st_size / MB:6.1f} MB  {file.name}\n")
    sys.exit("\n".join(filter(None, map(too_large, files))) or 0)


if __name__ == "__main__":
    main()
