"""Parsers that misbehave, one for each name of a file. The sandbox's process imports this module."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from winnow.indexer.corpus import Refused
from winnow.indexer.sandbox.outcomes import Ended, Member, Opened, Outcome, Task
from winnow.retrieval.records import Document


def parse(task: Task) -> Iterator[Outcome]:
    yield Opened(format="text")
    yield from _BY_NAME.get(task.name, _well)(task)


def _well(task: Task) -> Iterator[Outcome]:
    yield Document(id=task.name, text="well")


def _loop(task: Task) -> Iterator[Outcome]:
    yield Document(id=f"{task.name}#1", text="before")
    while True:
        pass


def _sleep(task: Task) -> Iterator[Outcome]:
    time.sleep(1_000)
    yield from _well(task)


def _grow(task: Task) -> Iterator[Outcome]:
    held = [bytearray(10_000_000) for _ in range(100_000)]
    yield Document(id=task.name, text=str(len(held)))


def _crash(_: Task) -> Iterator[Outcome]:
    ctypes.string_at(0)
    yield Ended()


def _abort(_: Task) -> Iterator[Outcome]:
    os.abort()
    yield Ended()


def _exit(_: Task) -> Iterator[Outcome]:
    os._exit(7)
    yield Ended()


def _raise(_: Task) -> Iterator[Outcome]:
    raise KeyError("trailer")
    yield Ended()


def _print(task: Task) -> Iterator[Outcome]:
    print("a library that talks")
    os.write(1, b"and one that does not ask Python")
    yield from _well(task)


def _garbage(task: Task) -> Iterator[Outcome]:
    for descriptor in range(3, 10):
        try:
            os.write(descriptor, b"\x05\0\0\0hello")
        except OSError:
            continue
    yield from _well(task)


def _steal(_: Task) -> Iterator[Outcome]:
    yield Document(id="another.pdf", text="instead of its own")


def _huge(task: Task) -> Iterator[Outcome]:
    yield Document(id=task.name, text="x" * 4_000_001)


def _odd(task: Task) -> Iterator[Outcome]:
    yield Document(id=task.name, text="half \ud83d of a pair, \0", metadata={"n": 1 << 80})


def _flood(task: Task) -> Iterator[Outcome]:
    for number in range(1 << 40):
        yield Refused(id=f"{task.name}#{number}", reason="blank")


def _archive(task: Task) -> Iterator[Outcome]:
    for number in (1, 2, 3, 4):
        if number <= task.resume_after or number in task.broken:
            continue
        yield Member(number=number, name=f"{task.name}/{number}")
        if number in {2, 3}:
            os._exit(7)
        yield Document(id=f"{task.name}/{number}", text=str(number))


def _escape(task: Task) -> Iterator[Outcome]:
    """Try what a parser must not do; the reason of each refusal tells how it ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    target = str(Path(task.path) / "planted").encode()
    attempts: dict[str, Callable[[], object]] = {
        "socket": socket.socket,
        "program": lambda: subprocess.run(["true"], check=True),
        "write": lambda: Path(os.fsdecode(target)).write_text("x", encoding="utf-8"),
        "c socket": lambda: libc.socket(2, 1, 0) >= 0 or _fail(),
        "c fork": lambda: libc.fork() >= 0 or _fail(),
        "c write": lambda: libc.open(target, os.O_CREAT | os.O_WRONLY, 0o600) >= 0 or _fail(),
        "c unlink": lambda: libc.unlink(os.fsencode(Path(task.path) / "kept")) == 0 or _fail(),
        "c truncate": lambda: libc.truncate(os.fsencode(Path(task.path) / "kept"), 0) == 0 or _fail(),
        "c kill": lambda: libc.kill(os.getppid(), 0) == 0 or _fail(),
        "thread": lambda: threading.Thread(target=int).start(),
        "temporary": lambda: Path("own").write_text("x", encoding="utf-8"),
        "environment": lambda: b"canary" not in Path("/proc/self/environ").read_bytes(),
    }
    for name, attempt in attempts.items():
        try:
            result = str(attempt())
        except OSError:
            result = "refused"
        yield Refused(id=f"{task.name}#{name}", reason=result)


def _fail() -> None:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_BY_NAME: dict[str, Callable[[Task], Iterator[Outcome]]] = {
    "loop": _loop, "sleep": _sleep, "grow": _grow, "crash": _crash, "abort": _abort, "exit": _exit, "raise": _raise,
    "print": _print, "garbage": _garbage, "steal": _steal, "huge": _huge, "odd": _odd, "flood": _flood,
    "archive": _archive, "escape": _escape,
}  # fmt: skip
