"""Reads pages without text by the operator's OCR command.

The command is the operator's own program and runs outside the sandbox, in a process group of its own, without a shell.
It gets the PDF file and the page's number, and prints the page's text as UTF-8.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document, Location

SECONDS_MAX: Final = 120.0  # for one page
OUTPUT_BYTES_MAX: Final = 1_000_000  # of one page
_BLOCK_BYTES: Final = 65_536
_TOLD_CHARACTERS: Final = 200  # of what the command printed as its error
_NOT_TEXT: Final = dict.fromkeys(each for each in range(32) if chr(each) not in "\n\t")


class OcrFailed(Exception):
    """The command printed no text. The message is the reason, for the file's owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OcrCommand:
    """Program and arguments; `{file}` and `{page}` in them are replaced."""

    arguments: tuple[str, ...]
    seconds: float = SECONDS_MAX

    def of(self, path: Path, page: int) -> list[str]:
        return [each.replace("{file}", str(path)).replace("{page}", str(page)) for each in self.arguments]


class OcrRuns:
    """Runs the command for one page after the other. `stop` may be called from another thread."""

    def __init__(self, command: OcrCommand) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._lock = threading.Lock()

    def read_page(self, path: Path, page: int, document_id: str) -> Document:
        """Return a page as a document of its own. Raises `OcrFailed`; `CorpusUnreadable` after `stop`."""
        with self._running(path, page) as process:
            try:
                output, errors = self._output(process)
            finally:
                _kill_group(process)
        if self._is_stopped:
            raise CorpusUnreadable("reading was stopped")
        if process.returncode != 0:
            told = " ".join(errors.decode("utf-8", "replace").split())[:_TOLD_CHARACTERS]
            raise OcrFailed(f"the OCR command ended with exit code {process.returncode}{f' ({told})' if told else ''}")
        text = StructuredText()
        text.add(output.decode("utf-8", "replace").translate(_NOT_TEXT), location=Location(page=page))
        if not text.parts:
            raise OcrFailed("the OCR command found none")
        return text.document(document_id)

    def stop(self) -> None:
        """End the command that is running, at once."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                _kill_group(self._process)

    @contextmanager
    def _running(self, path: Path, page: int) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self._is_stopped:
                raise CorpusUnreadable("reading was stopped")
            try:
                self._process = process = subprocess.Popen(  # noqa: S603  the operator's own command
                    self._command.of(path, page),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise OcrFailed(f"the OCR command cannot be started: {error.strerror}") from error
        with process:
            yield process
        with self._lock:
            self._process = None

    def _output(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """What the command prints, within the limits."""
        assert process.stdout is not None, "a pipe is asked for. This is a bug."
        assert process.stderr is not None, "a pipe is asked for. This is a bug."
        received = {process.stdout: bytearray(), process.stderr: bytearray()}
        deadline = time.monotonic() + self._command.seconds
        with selectors.DefaultSelector() as selector:
            for stream in received:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(deadline - time.monotonic(), 0.0))
                if not ready:
                    raise OcrFailed(f"the OCR command took more than {self._command.seconds:.0f} s")
                for key, _ in ready:
                    block = os.read(key.fd, _BLOCK_BYTES)
                    if not block:
                        selector.unregister(key.fileobj)
                    stream = process.stdout if key.fd == process.stdout.fileno() else process.stderr
                    received[stream] += block
                    if len(received[stream]) > OUTPUT_BYTES_MAX:
                        raise OcrFailed(f"the OCR command printed more than {OUTPUT_BYTES_MAX} bytes")
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired as error:
            raise OcrFailed(f"the OCR command took more than {self._command.seconds:.0f} s") from error
        return bytes(received[process.stdout]), bytes(received[process.stderr])


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
