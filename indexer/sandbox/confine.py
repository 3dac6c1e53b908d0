"""What the process that parses gives up before it reads a file that may be hostile.

Linux, without any privilege: it dies with its parent, cannot gain rights, cannot open a socket, start a program,
signal or trace another process (a system call filter), and can write to its folder of temporary files only (Landlock).
Each holds where the kernel has it. Everywhere: an audit hook refuses the same from Python code, which a hostile file
that takes over a library written in C can avoid.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

_SET_DEATH_SIGNAL, _SET_NO_NEW_PRIVILEGES, _SET_SECCOMP = 1, 38, 22
_FILTER_MODE: Final = 2
_ALLOW, _REFUSE, _NOT_IMPLEMENTED = 0x7FFF0000, 0x00050001, 0x00050026  # EPERM, ENOSYS
_CLONE_THREAD: Final = 0x00010000
_INSTRUCTION: Final = struct.Struct("HBBI")
_LOAD, _EQUALS, _HAS_BITS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_X32_CALLS: Final = 0x40000000

# Numbers of the calls: socket, socketpair, connect, bind, sendto, execve, execveat, fork, vfork, ptrace, kill, tkill,
# setns, unshare, mount, bpf, process_vm_readv, process_vm_writev, io_uring_setup, perf_event_open, keyctl, pidfd_getfd,
# pidfd_send_signal, truncate, chmod, fchmodat, fchmodat2, chown, lchown, fchownat
_X86_64: Final = (41, 53, 42, 49, 44, 59, 322, 57, 58, 101, 62, 200, 308, 272, 165, 321, 310, 311, 425, 298, 250, 438,
                  424, 76, 90, 268, 452, 92, 94, 260)  # fmt: skip
_AARCH64: Final = (198, 199, 203, 200, 206, 221, 281, 117, 129, 130, 268, 97, 40, 280, 270, 271, 425, 241, 219, 438,
                   424, 45, 53, 452, 54)  # fmt: skip
_CALLS: Final = {  # machine: architecture, clone, tgkill, refused calls
    "x86_64": (0xC000003E, 56, 234, _X86_64),
    "aarch64": (0xC00000B7, 220, 131, _AARCH64),
}
_CLONE3: Final = 435
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_VERSION_FLAG, _BENEATH = 1, 1
_WRITES: Final = 0b1_1111_1111_0010  # write, remove, make: all rights of version 1 but execute and read
_TRUNCATE, _TRUNCATE_VERSION = 1 << 14, 3
_FORBIDDEN: Final = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.kill")
_Instruction: TypeAlias = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def confine(scratch: str) -> None:
    """Give up what parsing does not need. Writing stays possible beneath `scratch`."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _write_only_beneath(libc, scratch)
        _filter_calls(libc)
    sys.addaudithook(_refusing(scratch))


def die_with(parent: int) -> None:
    """Let the kernel end this process with its parent. Called first of all."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before
        os._exit(1)


def _refusing(scratch: str) -> Callable[[str, tuple[Any, ...]], None]:
    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN) or (event == "open" and _writes_outside(arguments, scratch)):
            raise PermissionError(errno.EPERM, f"a parser must not do this: {event}")

    return refuse


def _writes_outside(arguments: tuple[Any, ...], scratch: str) -> bool:
    path, _, flags = arguments
    if not isinstance(path, str) or not flags & (os.O_WRONLY | os.O_RDWR) or path == os.devnull:
        return False
    return not os.path.abspath(path).startswith(f"{scratch}/")  # noqa: PTH100  no link is followed


def _filter_calls(libc: ctypes.CDLL) -> bool:
    """Install the filter of system calls. Returns whether it holds."""
    known = _CALLS.get(platform.machine())
    if known is None:
        return False
    program = _program(*known)
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    wanted = Program(len(program), ctypes.addressof(buffer))
    return bool(libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(wanted), 0, 0) == 0)


def _program(architecture: int, clone: int, signal_thread: int, refused: Sequence[int]) -> list[_Instruction]:
    """The filter, as a program of the kernel's."""
    steps = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUALS, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, 0),  # the number of the call
        (_AT_LEAST, 0, 1, _X32_CALLS),
        (_RETURN, 0, 0, _REFUSE),
        (_EQUALS, 0, 1, _CLONE3),  # its flags cannot be seen; the C library then uses clone
        (_RETURN, 0, 0, _NOT_IMPLEMENTED),
    ]
    for number in refused:
        steps += [(_EQUALS, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    return [
        *steps,
        (_EQUALS, 0, 4, signal_thread),  # `abort` uses it
        (_LOAD, 0, 0, 16),
        (_EQUALS, 1, 0, os.getpid()),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
        (_EQUALS, 0, 3, clone),
        (_LOAD, 0, 0, 16),  # its flags, lower half
        (_HAS_BITS, 1, 0, _CLONE_THREAD),  # a thread is no process
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _write_only_beneath(libc: ctypes.CDLL, scratch: str) -> bool:
    """Restrict writing to a folder, for this thread and those that it starts. Returns whether it holds."""
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, _VERSION_FLAG)
    rights = _WRITES | (_TRUNCATE if version >= _TRUNCATE_VERSION else 0)
    handled = ctypes.c_uint64(rights)
    rules = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if rules < 0:
        return False
    folder = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
    beneath = ctypes.create_string_buffer(struct.pack("<Qi", rights, folder))
    added = libc.syscall(_LANDLOCK_ADD, rules, _BENEATH, beneath, 0)
    holds = added == 0 and libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(folder)
    os.close(rules)
    return bool(holds)
