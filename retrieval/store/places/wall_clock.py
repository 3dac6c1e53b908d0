"""A wall clock around calls that may never return: Lance waits without end for an object store that is silent.

Each call runs in a thread of its own, which is left behind when its time is over. It ends by Lance's own timeouts, or
never; so the number of such threads has a bound, beyond which calls fail at once.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

Result = TypeVar("Result")

CALLS_MAX: Final = 256  # at a time; far more than the threads that answer requests


class Late(Exception):
    """The call did not return in time, or too many have not."""


class WallClock:
    """Runs calls with a limit of time. Thread-safe."""

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        self._free = threading.Semaphore(calls_max)

    def run(self, call: Callable[[], Result], *, seconds: float) -> Result:
        """Return what `call` returns, or raise what it raises. Raises `Late`; the call may then still have effects."""
        if not self._free.acquire(blocking=False):
            raise Late("too many earlier calls are still waiting")
        future: Future[Result] = Future()
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._work, call, future), name="object store", daemon=True).start()
        try:
            return future.result(seconds)
        except TimeoutError:
            if future.done():  # its own error
                raise
            raise Late(f"no answer within {seconds:.0f} s") from None

    def _work(self, call: Callable[[], Result], future: Future[Result]) -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  whatever it is, it is raised again where it is waited for
            future.set_exception(error)
        finally:
            self._free.release()


CLOCK: Final = WallClock()
