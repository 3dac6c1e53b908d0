"""Limits of the process that parses, and how it takes them upon itself."""

from __future__ import annotations

import math
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECONDS_DEFAULT: Final = 60
MEMORY_DEFAULT: Final = 512  # MB
DESCRIPTORS_MAX: Final = 64
TEMPORARY_BYTES_MAX: Final = 4_000_000_000  # of one member of an archive, unpacked
TASKS_PER_PROCESS_MAX: Final = 500  # afterwards a fresh process continues: libraries leak
RESTARTS_MAX: Final = 20  # members of one archive that may break a process
DOCUMENTS_PER_FILE_MAX: Final = 5_000_000
REFUSALS_PER_FILE_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseLimits:
    """What one file may use."""

    seconds: int = SECONDS_DEFAULT  # of CPU time, for each document that the file holds
    memory_mb: int = MEMORY_DEFAULT

    @property
    def waiting_seconds(self) -> float:
        """Seconds without an answer; a process that waits uses no CPU time."""
        return 5.0 * self.seconds + 60

    @property
    def memory_bytes(self) -> int:
        return self.memory_mb * 1_000_000

    @property
    def too_slow(self) -> str:
        return f"parsing used more than {self.seconds} s of CPU time; --parse-seconds allows more"

    @property
    def too_long(self) -> str:
        return f"parsing took more than {self.waiting_seconds:.0f} s; --parse-seconds allows more"

    @property
    def too_large(self) -> str:
        return f"parsing used more than {self.memory_mb} MB of memory; --parse-memory allows more"


def limit_process(limits: ParseLimits) -> None:
    """Called once, before anything is parsed."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, DESCRIPTORS_MAX)
    _lower(resource.RLIMIT_FSIZE, TEMPORARY_BYTES_MAX)
    if sys.platform == "linux":  # macOS ignores it
        _lower(resource.RLIMIT_DATA, limits.memory_bytes + _data_bytes())


def renew_seconds(limits: ParseLimits) -> None:
    """Grant the next document its CPU time; SIGXCPU ends the process beyond it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = used + limits.seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _data_bytes() -> int:
    """Bytes of writable memory that the process has mapped."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    return pages * resource.getpagesize()
