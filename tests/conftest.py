"""How the tests are started must not change what they see."""

from __future__ import annotations

import signal

pytest_plugins = ["tests.postgres", "tests.schedule"]


def pytest_configure() -> None:
    """A shell that starts something in the background lets it ignore Ctrl-C, and so all that it starts in turn.

    Processes that a test interrupts would never hear of it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
