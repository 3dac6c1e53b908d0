"""Memory available to this process: what is free on the machine or in its control groups, whichever is less."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ARENAS: Final = 2  # as many as the threads that compute at once, on two cores
_ARENA_MAX: Final = -8  # M_ARENA_MAX of mallopt
_MACHINE: Final = Path("/proc/meminfo")
_PROCESS: Final = Path("/proc/self/statm")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")


def available_bytes(*, machine: Path = _MACHINE, membership: Path = _MEMBERSHIP, groups: Path = _GROUPS) -> int | None:
    """Available bytes; None if unknown, as on systems other than Linux."""
    said = [_machine(machine), *map(_group, _own_groups(membership, groups))]
    return min((found for found in said if found is not None), default=None)


def resident_bytes(process: Path = _PROCESS) -> int | None:
    """Memory of this process that is in RAM, with the files that it has mapped; None on systems other than Linux."""
    fields = _read(process).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatorBytes:
    """Memory of the C library's allocator, of all its arenas."""

    used: int
    free: int  # kept, to be used again; parts of it may have been given back to the system


def allocator_bytes() -> AllocatorBytes | None:
    """What the allocator holds; None without glibc 2.33 or newer. Waits for each arena's lock."""
    look = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if look is None:
        return None
    look.restype = _Mallinfo
    found = look()
    return AllocatorBytes(used=found.uordblks + found.hblkhd, free=found.fordblks)


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def limit_arenas() -> None:
    """Let the C library keep few pools of free memory, of which each thread may otherwise fill one. glibc only.

    To be called before threads start. A service has about 40 threads, most of them Lance's.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_ARENA_MAX, ARENAS)


def give_memory_back() -> None:
    """Return memory that was freed but is kept by the C library. Takes milliseconds; works with glibc only."""
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
    """Yield the control groups of this process and their parents, whose limits apply as well.

    A container may see its own group as the root, whatever its path claims to be.
    """
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = groups / "memory" if controllers else groups  # in version 1 each controller has its own tree
        folder = root / path.lstrip("/")
        yield root
        while folder != root and folder.is_relative_to(root):
            yield folder
            folder = folder.parent


def _group(folder: Path) -> int | None:
    """The limit minus usage; the page cache can be reclaimed and does not count."""
    for limit_file, taken_file in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),  # version 1
    ):
        limit, taken = _read(folder / limit_file).strip(), _read(folder / taken_file).strip()
        if limit.isdigit() and taken.isdigit():
            return max(0, int(limit) - int(taken) + _read_cache_bytes(folder))
    return None


def _read_cache_bytes(folder: Path) -> int:
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
