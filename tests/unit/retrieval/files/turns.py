"""One writer waits for a lock that another one takes again as soon as it has released it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

HOLD_SECONDS = 0.15  # thrice the longest pause between two tries
TURNS_MAX = 3  # of the other one while one waits: it may hold the lock, and begin again before the wait is known

Hold = Callable[[float], AbstractContextManager[None]]  # takes the seconds of the wait


def turns_of_the_other(hold: Hold, other: Hold | None = None) -> int:
    """How often a writer that asks again at once gets the lock while another one waits for it."""
    turns, stopping, holds = 0, threading.Event(), threading.Event()

    def hog() -> None:
        nonlocal turns
        while not stopping.is_set():
            with (other or hold)(30.0):
                turns += 1
                holds.set()
                time.sleep(HOLD_SECONDS)

    thread = threading.Thread(target=hog)
    thread.start()
    try:
        assert holds.wait(30)
        before = turns
        with hold(30.0):
            return turns - before
    finally:
        stopping.set()
        thread.join()
