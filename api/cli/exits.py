"""What does an exit code of `winnow` say?"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """0 is done."""

    FAILED = 1  # it could not be done, every record was rejected, or a check found something
    USAGE = 2  # the command or its input is at fault; the same call fails again
    REJECTS = 3  # done, but some records did not go in, or there were none
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it
