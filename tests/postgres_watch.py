"""Ends a PostgreSQL server of the tests, and removes its folder, once whoever started it is gone.

    python tests/postgres_watch.py FOLDER

Its standard input ends when the process at the other end does, however that came to its end. The server itself would
not notice: it is a daemon.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

SECONDS_MAX: Final = 30.0  # PostgreSQL kills its own processes five seconds after it was told to quit


def end(folder: Path) -> None:
    """Of a server that has ended already only the folder is left."""
    lock = folder / "data" / "postmaster.pid"
    try:
        os.kill(int(lock.read_text().split()[0]), signal.SIGQUIT)  # at once: nobody needs what is in it
    except (FileNotFoundError, ProcessLookupError, IndexError):  # it has ended, or has not begun to write its number
        pass
    else:
        until = time.monotonic() + SECONDS_MAX
        while lock.exists() and time.monotonic() < until:
            time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)  # what is still being written there has nobody who waits for it


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end(Path(sys.argv[1]))
