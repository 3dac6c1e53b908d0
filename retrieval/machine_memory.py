"""How much memory may this process still take? What the machine has free, or its control group, whichever is less."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_MACHINE: Final = Path("/proc/meminfo")
_GROUP: Final = Path("/sys/fs/cgroup")


def available_bytes(*, machine: Path = _MACHINE, group: Path = _GROUP) -> int | None:
    """None where neither says anything, as on a system that is not Linux."""
    said = [found for found in (_machine(machine), _group(group)) if found is not None]
    return min(said, default=None)


def _machine(path: Path) -> int | None:
    for line in _read(path).splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _group(folder: Path) -> int | None:
    """The limit, less what is taken; what the group holds of files can be given back, and does not count."""
    limit, taken = _read(folder / "memory.max").strip(), _read(folder / "memory.current").strip()
    if not limit.isdigit() or not taken.isdigit():
        return None
    cached = 0
    for line in _read(folder / "memory.stat").splitlines():
        name, _, amount = line.partition(" ")
        if name == "inactive_file":
            cached = int(amount)
    return max(0, int(limit) - int(taken) + cached)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
