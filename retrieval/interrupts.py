"""How a program ends that is interrupted.

Python raises `KeyboardInterrupt` between any two steps of the main thread. In the middle of imports that leaves half of
a module, on which the threads that import as well then fail. Where exceptions are ignored, as in the callback of a weak
reference, it is lost, and the program goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_INTERRUPTING: Final = (signal.SIG_DFL, signal.default_int_handler)
_SHELLS_ADD: Final = 128  # to the signal's number, for the exit code of what it ended
_REPEATED_AFTER_SECONDS: Final = 0.05  # by then the callback has returned


@contextmanager
def ending_at_once() -> Iterator[None]:
    """End the process on SIGINT and SIGTERM, without clean-up, for a block that loads or reads.

    SIGINT ends it with 130, as commands end that are interrupted later. SIGTERM ends it as if nothing handled it, which
    is no failure to systemd; process 1 of a container, to which that does nothing, with 143. A signal that is ignored,
    as after `nohup`, stays ignored. Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    changed = {number: handler for number, handler in before.items() if handler in _INTERRUPTING}
    for number in changed:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)


def repeat_lost_interrupts() -> None:
    """Send SIGINT again where its exception was ignored."""
    sys.unraisablehook = _repeat_if_interrupted


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(_SHELLS_ADD + number)  # SystemExit could be lost just as well


def _repeat_if_interrupted(ignored: UnraisableHookArgs) -> None:
    if not issubclass(ignored.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return
    threading.Timer(_REPEATED_AFTER_SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()
