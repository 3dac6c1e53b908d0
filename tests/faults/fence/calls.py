"""Holds one system call of a process, among those by which a folder changes at once, until the process continues.

This is to a folder what a request held on the wire is to a bucket: the process has decided to make the call, and it is
made later. `ptrace` skips the call, moves the thread back to the instruction that made it, and stops the process; once
it continues, it makes the call.

Only x86-64 of Linux, like tests/faults/tracer.py.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from tests.faults.tracer import (
    CALL_NUMBER_AT,
    DETACH,
    ENTRY,
    EVENT_STOP,
    LISTEN,
    POKEUSER,
    RESULT_AT,
    SYSCALL,
    Call,
    changing_call,
    instruction_pointer,
    ptrace,
    seize,
    syscall_info,
)

HELD_CALLS: Final = frozenset({"rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "rmdir"})
NEW_FILE: Final = re.compile(r".*/\.tmp\w{6}")  # its name until it is complete; no version names such a file yet
IN_A_ROW_MAX: Final = 2  # calls of one name in one folder that count, such as those that remove many files
NEW_FOLDER: Final = re.compile(r"(?:[^/]+/)?(exchange\.\w+/new|restoring\.[\w.]+)/.*")  # in which a collection is built
_WALL: Final = 0x40000000
_POINTER_AT: Final = 16 * 8  # rip in x86-64's struct user
_INSTRUCTION_BYTES: Final = 2  # of `syscall`


@dataclass(slots=True, kw_only=True)
class Hold:
    """One call to be held, of a traced process."""

    pid: int
    root: str  # only calls below it count
    at: int  # which of them, counted from 1
    seen: int = 0
    held: str = ""
    _kind: str = ""
    _in_a_row: int = 0
    _skipped: dict[int, int] = field(default_factory=dict)  # by thread: the number of the call that was skipped

    def run(self) -> str:
        """Trace until the call is held, and detach from the stopped process; "" if the process ends before."""
        while True:
            try:
                tid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:  # every thread is detached or gone
                return self.held
            if not os.WIFSTOPPED(status):
                continue
            with suppress(ProcessLookupError):  # it was killed meanwhile
                self._stopped(tid, os.WSTOPSIG(status), status >> 16)

    def _counts(self, call: Call) -> bool:
        kind = f"{call.name} {Path(call.paths[0]).parent}"
        self._kind, self._in_a_row = kind, self._in_a_row + 1 if kind == self._kind else 1
        return self._in_a_row <= IN_A_ROW_MAX

    def _stopped(self, tid: int, stop: int, event: int) -> None:
        if stop == signal.SIGTRAP | 0x80:
            self._at_call(tid)
        elif event == EVENT_STOP and stop != signal.SIGTRAP:
            ptrace(DETACH if self.held else LISTEN, tid, 0, 0)  # as it is: stopped
        else:
            ptrace(SYSCALL, tid, 0, 0 if event else stop)

    def _at_call(self, tid: int) -> None:
        operation, number, arguments = syscall_info(tid)
        if operation == ENTRY and not self.held:
            call = changing_call(self.root, tid, number, arguments)
            if (
                call is not None
                and call.name in HELD_CALLS
                and not _is_of_no_collection(call.paths)
                and self._counts(call)
            ):
                self.seen += 1
                if self.seen == self.at:
                    self.held = f"{call.name} {' '.join(call.paths)}"
                    self._skipped[tid] = number
                    ptrace(POKEUSER, tid, CALL_NUMBER_AT, -1)
        elif operation != ENTRY and (skipped := self._skipped.pop(tid, None)) is not None:
            ptrace(POKEUSER, tid, RESULT_AT, skipped)
            ptrace(POKEUSER, tid, _POINTER_AT, instruction_pointer(tid) - _INSTRUCTION_BYTES)
            os.kill(self.pid, signal.SIGSTOP)
        ptrace(SYSCALL, tid, 0, 0)


def _is_of_no_collection(paths: Sequence[str]) -> bool:
    """Whether the call only makes files that nothing names yet."""
    return NEW_FILE.fullmatch(paths[0]) is not None or all(NEW_FOLDER.fullmatch(path) for path in paths)


def hold_call(pid: int, root: Path, at: int, said: Connection) -> None:
    """Run in a process of its own: say "traced", and later which call is held, or ""."""
    hold = Hold(pid=pid, root=str(root.resolve()), at=at)
    seize(pid)
    said.send("traced")
    said.send(hold.run())
