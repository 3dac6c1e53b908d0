"""One process that parses, seen from its parent: started, asked, watched, ended."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import winnow
from winnow.indexer.sandbox.frames import FRAME_BYTES_MAX, HEADER, Malformed, decode_outcome, encode_task
from winnow.indexer.sandbox.limits import ParseLimits
from winnow.indexer.sandbox.outcomes import Ended, Outcome, Task
from winnow.indexer.sandbox.worker import OUT_OF_MEMORY_CODE, READY
from winnow.retrieval.errors import CorpusUnreadable

START_SECONDS_MAX: Final = 60.0
_WATCH_SECONDS: Final = 0.05  # between two looks at the memory of a process that is not answering
_BLOCK_BYTES: Final = 1 << 16
# -P and -s leave the working folder and the user's packages out of the search for modules; the package itself is named
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from winnow.indexer.sandbox.confine import die_with; die_with(int(sys.argv[2])); "
    "from winnow.indexer.sandbox.worker import main; main(sys.argv[3:])"
)


class Broken(Exception):
    """The process ended, or was ended, before its file. The message is the reason for the file's owner."""


class ParserProcess:
    """A process and its folder of temporary files, which goes with it."""

    def __init__(self, entry: str, limits: ParseLimits) -> None:
        """Start the process. Raises `CorpusUnreadable` if it cannot be started."""
        self.tasks = 0
        self._limits = limits
        self._scratch = Path(tempfile.mkdtemp(prefix=f"winnow-parse-{os.getpid()}-")).resolve()
        self._received = bytearray()
        self._kill_reason: str | None = None
        self._reading = threading.Lock()  # its streams are not closed under a thread that reads them
        try:
            self._process = _spawn(entry, limits, self._scratch)
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def send(self, task: Task) -> None:
        """Start on a task. The outcomes of the last one must have been read to their end."""
        self.tasks += 1
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # reading the first outcome tells why
            self._process.stdin.write(encode_task(task))
            self._process.stdin.flush()

    def outcomes(self, task: Task) -> Iterator[Outcome]:
        """Yield the outcomes of the task until `Ended`. Raises `Broken`; the process must then be closed."""
        while True:
            (length,) = HEADER.unpack(self._take(HEADER.size))
            if length > FRAME_BYTES_MAX:
                raise Broken("its parser answered in an unexpected form")
            try:
                outcome = decode_outcome(self._take(length), owner=task.name)
            except Malformed:
                raise Broken("its parser answered in an unexpected form") from None
            yield outcome
            if isinstance(outcome, Ended):
                return

    def kill(self, reason: str = "reading was stopped") -> None:
        """End the process at once. Another thread that reads its outcomes gets `Broken`."""
        self._kill_reason = self._kill_reason or reason
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """End the process and remove its temporary files."""
        process = getattr(self, "_process", None)
        if process is not None:
            self.kill()
            process.wait()
            with self._reading:
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        with suppress(BrokenPipeError):
                            stream.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _await_ready(self) -> None:
        try:
            start = bytes(self._take(len(READY), seconds=START_SECONDS_MAX))
        except Broken as error:
            raise CorpusUnreadable(f"cannot start the process that parses documents: {error}") from error
        if start != READY:
            raise CorpusUnreadable("cannot start the process that parses documents: it answered in an unexpected form")

    def _take(self, size: int, *, seconds: float | None = None) -> bytes:
        """Read bytes of its answer. Raises `Broken` if it breaks a limit or ends."""
        with self._reading:
            if self._process.stdout is None or self._process.stdout.closed:
                raise Broken(self._why_ended())
            return self._take_from(self._process.stdout.fileno(), size, seconds)

    def _take_from(self, descriptor: int, size: int, seconds: float | None) -> bytes:
        allowed = self._limits.waiting_seconds if seconds is None else seconds
        deadline = time.monotonic() + allowed
        while len(self._received) < size:
            if not _is_readable(descriptor, _WATCH_SECONDS):
                self._watch(deadline)
                continue
            block = os.read(descriptor, max(_BLOCK_BYTES, size - len(self._received)))
            if not block:
                raise Broken(self._why_ended())
            self._received += block
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _watch(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            self.kill(self._limits.too_long)
        elif _resident_bytes(self._process.pid) > self._limits.memory_bytes:
            self.kill(self._limits.too_large)

    def _why_ended(self) -> str:
        code = self._process.wait()
        if self._kill_reason is not None:
            return self._kill_reason
        if code == OUT_OF_MEMORY_CODE:
            return self._limits.too_large
        if code == -signal.SIGXCPU:
            return self._limits.too_slow
        if code == -signal.SIGKILL:
            return "its parser was killed, perhaps because the machine ran out of memory"
        if code < 0:
            return f"its parser crashed ({signal.Signals(-code).name}); the file is damaged or hostile"
        return f"its parser ended unexpectedly (exit code {code})"


def _spawn(entry: str, limits: ParseLimits, scratch: Path) -> subprocess.Popen[bytes]:
    """Start the process from a thread that lives as long as the process.

    The kernel ends a process with the thread that started it (`die_with`), and threads of a pool come and go.
    """
    root = str(Path(winnow.__file__).resolve().parents[1])
    arguments = [entry, str(limits.seconds), str(limits.memory_mb), str(scratch)]
    command = [sys.executable, "-P", "-s", "-B", "-X", "utf8", "-c", _BOOT, root, str(os.getpid()), *arguments]
    environment = {
        "TMPDIR": str(scratch),
        "HOME": str(scratch),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",  # a set in another order must not change a document, and so index it again
    }
    started: list[subprocess.Popen[bytes] | OSError] = []
    is_started = threading.Event()

    def run() -> None:
        try:
            process = subprocess.Popen(  # noqa: S603  our own interpreter
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=scratch,
                start_new_session=True,
            )
        except OSError as error:
            started.append(error)
            is_started.set()
            return
        started.append(process)
        is_started.set()
        process.wait()

    threading.Thread(target=run, name="winnow-parser", daemon=True).start()
    is_started.wait()
    (outcome,) = started
    if isinstance(outcome, OSError):
        raise CorpusUnreadable(f"cannot start the process that parses documents: {outcome.strerror}") from outcome
    return outcome


def _is_readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(seconds * 1000))


def _resident_bytes(process_id: int) -> int:
    """Memory that the process uses now; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
