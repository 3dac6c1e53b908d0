"""retrieval/interrupts.py: a program that is interrupted ends, and with the exit code of shells."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from winnow.retrieval.interrupts import ending_at_once

AT_ONCE = """
import os, signal
from winnow.retrieval.interrupts import ending_at_once
with ending_at_once():
    try:
        os.kill(os.getpid(), signal.{name})
    finally:
        print("cleaned up")
"""
IGNORED = """
import os, signal
from winnow.retrieval.interrupts import ending_at_once
signal.signal(signal.SIGINT, signal.SIG_IGN)
with ending_at_once():
    os.kill(os.getpid(), signal.SIGINT)
print("went on")
"""
LOST = """
import os, signal, time, weakref
from winnow.retrieval.interrupts import repeat_lost_interrupts
class Held: pass
def callback(_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000): pass
{repeated}
held = Held()
watch = weakref.ref(held, callback)
del held
time.sleep({seconds})
print("went on")
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", -signal.SIGTERM)])
def test_a_block_ends_at_once(name: str, code: int) -> None:
    done = run(AT_ONCE.format(name=name))
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_what_the_parent_ignores_stays_ignored() -> None:
    done = run(IGNORED)
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with ending_at_once():
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) != before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_change_nothing() -> None:
    """Python refuses handlers there."""
    seen: list[object] = []

    def enter() -> None:
        with ending_at_once():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_an_interrupt_that_was_lost_comes_again() -> None:
    """In the callback of a weak reference Python ignores it: the program goes on, unless it is sent again."""
    lost = run(LOST.format(repeated="", seconds=0.1))
    assert (lost.returncode, lost.stdout) == (0, "went on\n")
    repeated = run(LOST.format(repeated="repeat_lost_interrupts()", seconds=60))
    assert (repeated.returncode, repeated.stdout) == (-signal.SIGINT, "")
