"""Processes that a test starts end with the process of the test, even where that is killed, as pytest-xdist does.

    subprocess.Popen(ends_with_parent(["winnow", "serve"]))

As a script this file is the first program of such a process: it asks the kernel for a SIGTERM when the parent ends, and
becomes the command. (A `preexec_fn` would fork a process that has threads.) Linux only; elsewhere they end where the
test ends them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def ends_with_parent(command: Sequence[str]) -> list[str]:
    """The same command, as the parent is to start it."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: Sequence[str]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:  # it may have ended before the kernel was asked
        os.execvp(command[0], command)  # noqa: S606  what the test names


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
