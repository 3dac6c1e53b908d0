"""Parses files in processes of their own: replaces a process that breaks, and goes on."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from winnow.indexer.corpus import Refused
from winnow.indexer.sandbox.limits import (
    DOCUMENTS_PER_FILE_MAX,
    REFUSALS_PER_FILE_MAX,
    RESTARTS_MAX,
    TASKS_PER_PROCESS_MAX,
    ParseLimits,
)
from winnow.indexer.sandbox.outcomes import Ended, Member, Outcome, Task
from winnow.indexer.sandbox.process import Broken, ParserProcess
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document

_SCRATCH: Final = re.compile(r"winnow-parse-(\d+)-\w+")


class Sandbox:
    """Parses one file after the other. `stop` may be called from another thread."""

    def __init__(self, entry: str, limits: ParseLimits) -> None:
        self._entry = entry
        self._limits = limits
        self._process: ParserProcess | None = None
        self._is_stopped = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        _remove_left_over()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def outcomes(self, task: Task) -> Iterator[Outcome]:
        """Yield what the file holds, until `Ended`. Raises `CorpusUnreadable` after `stop`.

        A member of an archive that breaks the process is refused, and a fresh process continues behind it.
        """
        counts = _Counts()
        for _ in range(RESTARTS_MAX):
            member: Member | None = None
            process = self._ready()
            try:
                process.send(task)
                for outcome in process.outcomes(task):
                    if isinstance(outcome, Member):
                        member = outcome
                    if (excess := counts.excess(outcome)) is not None:
                        raise Broken(excess)  # noqa: TRY301  as if the process itself had broken a limit
                    yield outcome
            except Broken as broken:
                self._drop(process)
                self._require_running()
                if member is None or counts.is_exceeded:
                    yield Ended(reason=str(broken))
                    return
                yield Refused(reason=str(broken), id=member.name)
                task = replace(task, resume_after=member.number, broken=(*task.broken, member.number))
            except GeneratorExit:  # the caller needs no more; the process would go on with this file
                self._drop(process)
                raise
            else:
                return
        yield Ended(reason=f"{RESTARTS_MAX} of its members broke the parser; the rest was not read")

    def stop(self) -> None:
        """End the process that parses, at once."""
        with self._lock:
            self._is_stopped = True
            process, self._process = self._process, None
        if process is not None:
            process.close()

    def _ready(self) -> ParserProcess:
        with self._lock:
            process = self._process
            if process is not None and process.tasks >= TASKS_PER_PROCESS_MAX:
                process.close()
                process = None
            self._require_running()
            if process is None:
                process = ParserProcess(self._entry, self._limits)
            self._process = process
            return process

    def _drop(self, process: ParserProcess) -> None:
        with self._lock:
            if self._process is process:
                self._process = None
        process.close()

    def _require_running(self) -> None:
        if self._is_stopped:
            raise CorpusUnreadable("reading was stopped")


class _Counts:
    """Counts what one file yields, over all processes that parse it."""

    def __init__(self) -> None:
        self.documents = 0
        self.refusals = 0
        self.is_exceeded = False

    def excess(self, outcome: Outcome) -> str | None:
        self.documents += isinstance(outcome, Document)
        self.refusals += isinstance(outcome, Refused)
        if self.documents > DOCUMENTS_PER_FILE_MAX:
            self.is_exceeded = True
            return f"it holds more than {DOCUMENTS_PER_FILE_MAX} documents; the rest was not read"
        if self.refusals > REFUSALS_PER_FILE_MAX:
            self.is_exceeded = True
            return f"more than {REFUSALS_PER_FILE_MAX} of its parts were refused; the rest was not read"
        return None


def _remove_left_over() -> None:
    """Remove the temporary files of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("winnow-parse-*"):
        named = _SCRATCH.fullmatch(folder.name)
        with suppress(OSError):
            is_ours = named is not None and folder.lstat().st_uid == os.geteuid() and not folder.is_symlink()
            if named is not None and is_ours and not _is_alive(int(named[1])):
                shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
