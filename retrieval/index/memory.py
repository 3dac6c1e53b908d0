"""How much memory may this process still take? What the machine has free, or its control groups, whichever is less."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MACHINE: Final = Path("/proc/meminfo")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")


def available_bytes(*, machine: Path = _MACHINE, membership: Path = _MEMBERSHIP, groups: Path = _GROUPS) -> int | None:
    """None where nobody says anything, as on a system that is not Linux."""
    said = [_machine(machine), *map(_group, _own_groups(membership, groups))]
    return min((found for found in said if found is not None), default=None)


def give_memory_back() -> None:
    """To the system: what was freed and the C library keeps. Takes milliseconds; does something with glibc only."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _machine(path: Path) -> int | None:
    for line in _read(path).splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _own_groups(membership: Path, groups: Path) -> Iterator[Path]:
    """The folders of the groups that this process is in, and of those around them, whose limits hold as well.

    A container may see its own group as the root, whatever its path is said to be.
    """
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = groups / "memory" if controllers else groups  # each controller had a tree of its own in version 1
        folder = root / path.lstrip("/")
        yield root
        while folder != root and folder.is_relative_to(root):
            yield folder
            folder = folder.parent


def _group(folder: Path) -> int | None:
    """The limit, less what is taken; what the group holds of files can be given back, and does not count."""
    for limit_file, taken_file in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),  # version 1
    ):
        limit, taken = _read(folder / limit_file).strip(), _read(folder / taken_file).strip()
        if limit.isdigit() and taken.isdigit():
            return max(0, int(limit) - int(taken) + _cached(folder))
    return None


def _cached(folder: Path) -> int:
    for line in _read(folder / "memory.stat").splitlines():
        name, _, amount = line.partition(" ")
        if name == "inactive_file":
            return int(amount)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
