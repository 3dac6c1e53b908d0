"""What `make test` does where Chromium or axe-core is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.browser.environment import PINNED, install_axe, install_chromium, plan_chromium

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
APT = {"apt-get": "/usr/bin/apt-get"}
SUDO = {**APT, "sudo": "/usr/bin/sudo"}


class Machine:
    """Programs by name; a command that runs may install more."""

    def __init__(self, programs: dict[str, str], installs: dict[str, str] | None = None) -> None:
        self.programs = dict(programs)
        self.ran: list[list[str]] = []
        self._installs = installs

    def run(self, command: Sequence[str]) -> bool:
        self.ran.append([*command])
        self.programs.update(self._installs or {})
        return self._installs is not None


def test_an_installed_chromium_is_left_alone() -> None:
    """Under each of its names, on every system."""
    for name in ("chromium", "google-chrome"):
        machine = Machine({name: f"/usr/bin/{name}"})
        assert install_chromium(machine.programs.get, machine.run, system="ID=arch", is_root=False) is None
        assert machine.ran == []


@pytest.mark.parametrize(("programs", "is_root", "before"), [(APT, True, []), (SUDO, False, ["sudo"])])
def test_debian_installs_its_package(*, programs: dict[str, str], is_root: bool, before: list[str]) -> None:
    """Without a question, as root or with sudo that asks for no password."""
    machine = Machine(programs, installs={"chromium": "/usr/bin/chromium"})
    assert install_chromium(machine.programs.get, machine.run, system=DEBIAN, is_root=is_root) is None
    assert [command[: len(before)] for command in machine.ran] == [before, before]
    assert machine.ran[-1][-1] == "chromium"
    assert "--yes" in machine.ran[-1]


@pytest.mark.parametrize(
    ("programs", "system", "reason"),
    [
        (APT, "ID=ubuntu\n", "Only Debian's package"),
        ({}, DEBIAN, "Only Debian's package"),
        (APT, DEBIAN, "root or sudo"),
    ],
)
def test_a_machine_that_cannot_install_says_why(programs: dict[str, str], system: str, reason: str) -> None:
    """And what to do by hand."""
    plan = plan_chromium(programs.get, system=system, is_root=False)
    assert isinstance(plan, str)
    assert reason in plan
    assert "Install Chromium" in plan


def test_a_failed_installation_names_its_command() -> None:
    """It does not go on with the next command."""
    machine = Machine(APT)
    reason = install_chromium(machine.programs.get, machine.run, system=DEBIAN, is_root=True)
    assert reason is not None
    assert "`apt-get update --quiet` failed" in reason
    assert len(machine.ran) == 1


def test_axe_is_installed_once_for_each_pinned_version(tmp_path: Path) -> None:
    """npm runs for a new lock file only; without npm, or after a failure, no older version is left to be used."""
    folder = tmp_path / "cache"
    axe = folder / "node_modules" / "axe-core" / "axe.min.js"
    machine = Machine({"npm": "/usr/bin/npm"}, installs={})

    def install(command: Sequence[str]) -> bool:
        axe.parent.mkdir(parents=True)
        axe.write_text("axe", encoding="utf-8")
        return machine.run(command)

    assert "npm is not installed" in str(install_axe({}.get, machine.run, folder=folder))
    for _ in range(2):
        assert install_axe(machine.programs.get, install, folder=folder) is None
    assert len(machine.ran) == 1
    (folder / PINNED[1]).write_text("{}", encoding="utf-8")
    assert "failed" in str(install_axe(machine.programs.get, lambda _: False, folder=folder))
    assert not axe.exists()


def test_the_lock_file_pins_what_the_package_asks_for() -> None:
    """With its checksum, and no address: npm asks where it is set up to."""
    package, lock = (
        json.loads((Path(__file__).parents[1] / "browser" / name).read_text(encoding="utf-8")) for name in PINNED
    )
    locked = lock["packages"]["node_modules/axe-core"]
    assert package["dependencies"] == {"axe-core": locked["version"]}
    assert locked["integrity"].startswith("sha512-")
    assert "resolved" not in locked
