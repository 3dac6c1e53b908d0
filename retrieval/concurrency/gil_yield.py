"""How does a long computation in a thread leave Python to the others? It rests now and then.

A thread that waits for Python's lock gets it only when the one that has it is made to let go, each time anew; a
request that is being answered waits dozens of times.
"""

from __future__ import annotations

import time
from typing import Final

STEPS: Final = 50  # less than a millisecond of parsing
REST_SECONDS: Final = 0.001


def rest(step: int) -> None:
    """After every `STEPS` steps, for a moment. Not for the event loop."""
    if step % STEPS == 0:
        time.sleep(REST_SECONDS)
