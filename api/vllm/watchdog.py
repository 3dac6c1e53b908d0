"""Stops vLLM when winnow is gone: a process between the two that notices winnow's end however it comes.

`api/vllm/process.py` starts it as a script, in its own session, with one end of a pipe as its standard input. winnow
holds the other end; the kernel closes it when winnow ends, even by SIGKILL or a crash. That is their only
communication: a closed pipe means stop.

Why a pipe and not Linux's parent-death signal: that one stops the server but not its engine processes when the server
hangs, is bound to the thread that started it, and does not exist elsewhere.

Rule 1: only the standard library, and nothing of ours: it starts in milliseconds and can hardly fail.
Rule 2: it never outlives the server, and the server outlives it by at most its grace period.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

STDIN = 0
FIRST_WORDS = "vLLM is process"  # first words of the log


def main(grace_seconds: float, command: list[str]) -> int:
    """Run the command until it ends or the pipe is closed. Returns its exit code, as shells count them."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:  # noqa: S603  (winnow's own)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.terminate())
        left = threading.Event()
        threading.Thread(target=_stop_when_left, args=(server, grace_seconds, left), daemon=True).start()
        with contextlib.suppress(OSError):  # a full disk is no reason to stop watching
            print(f"{FIRST_WORDS} {server.pid}", flush=True)  # noqa: T201  (its standard output is the log)
        code = server.wait()
    if left.is_set():
        _clear()
    return code if code >= 0 else 128 - code


def _stop_when_left(server: subprocess.Popen[bytes], grace_seconds: float, left: threading.Event) -> None:
    while os.read(STDIN, 1):
        pass  # nothing writes to it; input would be no reason to stop
    left.set()
    server.terminate()
    time.sleep(grace_seconds)  # the main thread ends everything as soon as the server has ended
    _clear()


def _clear() -> None:
    """Kill the remaining processes of the server, and this process with them."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
