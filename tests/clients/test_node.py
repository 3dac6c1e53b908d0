"""What the tests in Node need is installed once, and what is missing is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.clients.node import FOLDERS, install, is_installed

PROGRAMS = {"node": "/usr/bin/node", "npm": "/usr/bin/npm"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "package-lock.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_packages_are_installed_once_for_each_lock_file(folder: Path) -> None:
    """npm runs again when the lock file changes."""
    ran = []

    def run(command: Sequence[str]) -> bool:
        ran.append(command[1])
        (folder / "node_modules").mkdir(exist_ok=True)
        return True

    for _ in range(2):
        assert install(folder, PROGRAMS.get, run) is None
    assert ran == ["-e", "ci"]
    (folder / "package-lock.json").write_text("{ }", encoding="utf-8")
    assert not is_installed(folder)
    assert install(folder, PROGRAMS.get, run) is None
    assert ran == ["-e", "ci"] * 2


def test_what_is_missing_is_named(folder: Path) -> None:
    """A machine without Node, with an old one, and one that npm cannot install on."""
    assert "not installed" in str(install(folder, {}.get, lambda _: True))
    assert "older than 20" in str(install(folder, PROGRAMS.get, lambda _: False))
    assert "failed" in str(install(folder, PROGRAMS.get, lambda command: command[1] == "-e"))
    assert not is_installed(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_lock_file_pins_every_package_by_checksum(folder: Path) -> None:
    """Without addresses: npm asks where it is set up to."""
    lock = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    locked = [each for name, each in lock["packages"].items() if name]
    assert locked
    assert all(each["integrity"].startswith("sha512-") and "resolved" not in each for each in locked)
