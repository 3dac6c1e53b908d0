"""Lets a long computation in a thread release Python's lock from time to time.

A thread that waits for the lock gets it only when the holder is forced to let go, once per wait; a request in progress
waits dozens of times.
"""

from __future__ import annotations

import time
from typing import Final

STEPS: Final = 50  # less than a millisecond of parsing
REST_SECONDS: Final = 0.001


def rest(step: int) -> None:
    """Sleep for a moment after every `STEPS` steps. Not for the event loop."""
    if step % STEPS == 0:
        time.sleep(REST_SECONDS)
