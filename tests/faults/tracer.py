"""At which system call does a process fail? Stops it at every call that changes a file below a folder.

    python -m tests.faults.tracer     reads jobs, one JSON object a line, and answers each with one

A job names a root, an operation, which of the changing calls is to be disturbed (None: none), and how: it is not made
and returns an error instead, or the process is killed in its place. The answer lists all calls in the order in which
the kernel got them, and what the driver said.

strace can do both, but counts the calls of every thread on their own, and Lance hands its calls to whichever of a
dozen threads is free: "the fifth write" would be another call in every run. It also could not tell a write to a file
from one that wakes a thread. Here calls are counted over all threads, and only those that reach the folder. How what
this sees compares with what strace sees is a test of its own.

Only x86-64 of Linux: an error is put in the place of a result through two of its registers.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

SECONDS_MAX: Final = 60  # of one job; one that takes longer hangs

SEIZE, INTERRUPT, LISTEN, DETACH, SYSCALL, POKEUSER, _SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 17, 24, 6, 0x420E
OPTIONS: Final = 0x1 | 0x8 | 0x100000  # mark syscall stops, follow threads, kill with the tracer
_WALL: Final = 0x40000000
EVENT_STOP: Final = 128
ENTRY, _EXIT = 1, 2
CALL_NUMBER_AT, RESULT_AT = 15 * 8, 10 * 8  # orig_rax and rax in x86-64's struct user
_AT_FDCWD: Final = -100
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_STDOUT: Final = 1

# By number: name and which arguments name what changes. "p0": a path; "d0p1": a path below a descriptor; "f0": a file.
_CALLS: Final[dict[int, tuple[str, str]]] = {
    1: ("write", "f0"),
    18: ("pwrite64", "f0"),
    20: ("writev", "f0"),
    296: ("pwritev", "f0"),
    2: ("open", "p0"),
    85: ("creat", "p0"),
    257: ("openat", "d0p1"),
    74: ("fsync", "f0"),
    75: ("fdatasync", "f0"),
    77: ("ftruncate", "f0"),
    76: ("truncate", "p0"),
    285: ("fallocate", "f0"),
    326: ("copy_file_range", "f2"),
    40: ("sendfile", "f0"),
    82: ("rename", "p0p1"),
    264: ("renameat", "d0p1d2p3"),
    316: ("renameat2", "d0p1d2p3"),
    86: ("link", "p0p1"),
    265: ("linkat", "d0p1d2p3"),
    88: ("symlink", "p1"),
    266: ("symlinkat", "d1p2"),
    87: ("unlink", "p0"),
    263: ("unlinkat", "d0p1"),
    84: ("rmdir", "p0"),
    83: ("mkdir", "p0"),
    258: ("mkdirat", "d0p1"),
}
_FLAGS_AT: Final = {2: 1, 257: 2}  # of the calls that open; one that only reads changes nothing

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def refused() -> str | None:
    """Why nothing can be traced here; None where it can be."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the tracer knows the registers of x86-64 Linux, not those of {platform.machine()} {sys.platform}"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            ptrace(SEIZE, process.pid, 0, 0)
        except OSError as error:
            return f"this process may not trace another: {error.strerror}"
        finally:
            process.kill()
    return None


@dataclass(slots=True, kw_only=True)
class Call:
    """One call that changes something below the root."""

    name: str
    paths: list[str]  # relative to the root; of a rename or a link first the old name, then the new one
    data: str = ""  # what is written, in hexadecimal digits
    flags: int = 0  # of a file that is opened
    result: int | None = None  # None: the process did not live to see it


@dataclass(slots=True, kw_only=True)
class _Job:
    root: str
    operation: str
    at: int | None = None  # which of the calls, counted from 0
    fault: str = ""  # "KILL", or the name of an error
    calls: list[Call] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    hit: int | None = None


class Tracer:
    """A driver, and everything it does."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""
        self._pending: dict[int, tuple[Call | None, int]] = {}  # by thread: the call it is in, and its number

    def run(self, job: _Job) -> None:
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps({"root": job.root, "operation": job.operation}).encode() + b"\n")
        process.stdin.flush()
        signal.alarm(SECONDS_MAX)
        try:
            self._until_it_ends(job, process.pid)
        except TimeoutError:
            job.events.append({"event": "hung", "detail": ""})
            self._end(process.pid)
        signal.alarm(0)

    def close(self) -> None:
        if self._process is not None:
            self._end(self._process.pid)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [sys.executable, "-m", "tests.faults.driver"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), True)
            self._said = self._process.stdout.readline()  # "ready": all is imported, and none of that is traced
            os.set_blocking(self._process.stdout.fileno(), False)
            self._said = b""
            self._pending = {}
            seize(self._process.pid)
        return self._process

    def _end(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        while self._process is not None:
            self._await(pid)

    def _await(self, pid: int) -> tuple[int, int]:
        tid, status = os.waitpid(-1, _WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            self._pending.pop(tid, None)
            if tid == pid:
                assert self._process is not None
                self._process.returncode = status  # it was waited for here
                self._process = None
        return tid, status

    def _until_it_ends(self, job: _Job, pid: int) -> None:
        output = self._process.stdout if self._process else None
        assert output is not None
        while True:
            tid, status = self._await(pid)
            if self._process is None:
                job.events.extend(self._events(job, output.read() or b""))
                job.events.append({"event": "died", "detail": str(os.waitstatus_to_exitcode(status))})
                return
            if not os.WIFSTOPPED(status):
                continue
            has_spoken = self._stopped(job, tid, status)
            if has_spoken:
                job.events.extend(self._events(job, output.read() or b""))
                if job.events and job.events[-1]["event"] == "end":
                    return

    def _events(self, job: _Job, said: bytes) -> Iterator[dict[str, Any]]:
        *lines, self._said = (self._said + said).split(b"\n")
        for line in lines:
            yield {**json.loads(line), "calls": len(job.calls)}

    def _stopped(self, job: _Job, tid: int, status: int) -> bool:
        """Lets the thread go on, its call perhaps disturbed. True where it has just written to its standard output."""
        stop, event = os.WSTOPSIG(status), status >> 16
        has_spoken = False
        try:
            if stop == signal.SIGTRAP | 0x80:
                has_spoken = self._at_call(job, tid)
                ptrace(SYSCALL, tid, 0, 0)
            elif event == EVENT_STOP and stop != signal.SIGTRAP:
                ptrace(LISTEN, tid, 0, 0)
            else:
                ptrace(SYSCALL, tid, 0, 0 if event else stop)
        except ProcessLookupError:  # it was killed meanwhile
            pass
        return has_spoken

    def _at_call(self, job: _Job, tid: int) -> bool:
        operation, number, arguments = syscall_info(tid)
        if operation == ENTRY:
            self._pending[tid] = (self._enter(job, tid, number, arguments), number)
            return False
        call, was = self._pending.pop(tid, (None, -1))
        if call is not None:
            if call.result is not None:  # decided on entry
                ptrace(POKEUSER, tid, RESULT_AT, call.result)
            else:
                call.result = number
        return call is None and was == 1

    def _enter(self, job: _Job, tid: int, number: int, arguments: tuple[int, ...]) -> Call | None:
        call = changing_call(job.root, tid, number, arguments)
        if call is None:
            return None
        place = len(job.calls)
        job.calls.append(call)
        if place == job.at and job.hit is None:
            job.hit = place
            if job.fault == "KILL":
                os.kill(tid, signal.SIGKILL)
            else:
                call.result = -getattr(errno, job.fault)
                ptrace(POKEUSER, tid, CALL_NUMBER_AT, -1)
        return call


def seize(pid: int) -> None:
    """Trace all threads; one that is started meanwhile is found in the next round, or was followed from its parent."""
    seized: set[int] = set()
    while new := {int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()} - seized:
        for tid in new:
            try:
                ptrace(SEIZE, tid, 0, OPTIONS)
                ptrace(INTERRUPT, tid, 0, 0)
            except OSError as error:
                if error.errno not in {errno.EPERM, errno.ESRCH}:  # traced already, or gone
                    raise
        seized |= new


def changing_call(root: str, tid: int, number: int, arguments: tuple[int, ...]) -> Call | None:
    """The call, if it changes something below the root."""
    if number not in _CALLS or (number == 1 and arguments[0] == _STDOUT):
        return None
    flags = arguments[_FLAGS_AT[number]] if number in _FLAGS_AT else 0
    if number in _FLAGS_AT and not flags & _WRITE_FLAGS:
        return None
    name, places = _CALLS[number]
    paths = [path for path in _paths(tid, places, arguments) if path is not None and path.startswith(f"{root}/")]
    if not paths:
        return None
    data = b""
    if name in {"write", "pwrite64"}:
        data = _memory(tid, arguments[1], arguments[2])
    elif name == "copy_file_range":
        data = _copied(tid, arguments[0], arguments[4])
    return Call(name=name, paths=[os.path.relpath(path, root) for path in paths], data=data.hex(), flags=flags)


def _copied(tid: int, descriptor: int, size: int) -> bytes:
    """What is copied from where the file is read on: nobody here names a place of its own."""
    told = dict(line.split(":\t") for line in Path(f"/proc/{tid}/fdinfo/{descriptor}").read_text().splitlines()[:1])
    with Path(f"/proc/{tid}/fd/{descriptor}").open("rb") as source:
        source.seek(int(told["pos"]))
        return source.read(size)


def _paths(tid: int, places: str, arguments: tuple[int, ...]) -> Iterator[str | None]:
    below: str | None = None
    for kind, at in zip(places[::2], map(int, places[1::2]), strict=True):
        argument = arguments[at]
        if kind == "d":
            descriptor = ctypes.c_int(argument & 0xFFFFFFFF).value
            below = _link(f"/proc/{tid}/cwd" if descriptor == _AT_FDCWD else f"/proc/{tid}/fd/{descriptor}")
        elif kind == "f":
            yield _link(f"/proc/{tid}/fd/{argument}")
        else:
            path = _memory(tid, argument, 4096, is_text=True).decode("utf-8", "surrogateescape")
            yield os.path.normpath(Path(below or _link(f"/proc/{tid}/cwd") or "/") / path)


def _link(path: str) -> str | None:
    try:
        return str(Path(path).readlink())
    except OSError:
        return None


def _memory(tid: int, address: int, size: int, *, is_text: bool = False) -> bytes:
    with Path(f"/proc/{tid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        if not is_text:
            return memory.read(size)
        within_page = 4096 - address % 4096  # what lies behind it may not be there
        text = memory.read(within_page)
        while b"\0" not in text and len(text) < size:
            text += memory.read(4096)
    return text.split(b"\0")[0]


def syscall_info(tid: int) -> tuple[int, int, tuple[int, ...]]:
    """On entry the number of the call and its arguments; on exit its result."""
    buffer = ctypes.create_string_buffer(88)
    ptrace(_SYSCALL_INFO, tid, 88, ctypes.addressof(buffer))
    operation = buffer.raw[0]
    if operation == _EXIT:
        return operation, struct.unpack_from("<q", buffer.raw, 24)[0], ()
    number, *arguments = struct.unpack_from("<7Q", buffer.raw, 24)
    return operation, number, tuple(arguments)


def instruction_pointer(tid: int) -> int:
    """Return the address behind the instruction that made the call. The thread is stopped at a call."""
    buffer = ctypes.create_string_buffer(88)
    ptrace(_SYSCALL_INFO, tid, 88, ctypes.addressof(buffer))
    return int(struct.unpack_from("<Q", buffer.raw, 8)[0])


def ptrace(request: int, tid: int, address: int, data: int) -> None:
    if _libc.ptrace(request, tid, address & 0xFFFFFFFFFFFFFFFF, data & 0xFFFFFFFFFFFFFFFF) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _give_up(*_: Any) -> None:
    raise TimeoutError


def main() -> None:
    signal.signal(signal.SIGALRM, _give_up)
    tracer = Tracer()
    for line in sys.stdin:
        job = _Job(**json.loads(line))
        job.root = str(Path(job.root).resolve())
        tracer.run(job)
        print(json.dumps(asdict(job)), flush=True)
    tracer.close()


if __name__ == "__main__":
    main()
