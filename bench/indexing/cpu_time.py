"""Counts the CPU time of processes and of all that come from them, also of those that end meanwhile."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAUSE_SECONDS: Final = 0.1  # between two looks; what a process computes after the last one before its end is missed


@dataclass(slots=True)
class CpuTime:
    """CPU ticks and command line of each process."""

    ticks: dict[int, int] = field(default_factory=dict)
    commands: dict[int, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(self.ticks.values()) / TICKS

    def by_kind(self, kinds: dict[str, str]) -> dict[str, float]:
        """Seconds by the first of these parts that a command line has; the rest under an empty name."""
        found: dict[str, float] = {}
        for process, ticks in self.ticks.items():
            command = self.commands.get(process, "")
            name = next((name for part, name in kinds.items() if part in command), "")
            found[name] = found.get(name, 0.0) + ticks / TICKS
        return found


@contextlib.contextmanager
def counted(roots: set[int]) -> Iterator[CpuTime]:
    """Yield the CPU time of these processes and their descendants; complete when the block has ended."""
    time = CpuTime()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(PAUSE_SECONDS):
            found = dict(_processes())
            family = set(roots) | set(time.ticks)
            for pid, (parent, _) in sorted(found.items()):
                if parent in family:
                    family.add(pid)
            time.ticks.update({pid: found[pid][1] for pid in family if pid in found})
            for pid in family:
                with contextlib.suppress(OSError):  # it has ended
                    if command := Path(f"/proc/{pid}/cmdline").read_text("utf-8", errors="replace"):
                        time.commands[pid] = command.replace("\0", " ")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield time
    finally:
        ended.set()
        thread.join()


def _processes() -> Iterator[tuple[int, tuple[int, int]]]:
    """Parent and ticks of every process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text("utf-8", errors="replace").rpartition(") ")[2].split()
            yield int(path.parent.name), (int(fields[1]), int(fields[11]) + int(fields[12]))
