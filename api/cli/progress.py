"""Progress of a run: a bar in a terminal, an occasional line in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import amount, duration
from winnow.indexer.job import State
from winnow.indexer.progress import Figures
from winnow.indexer.report import IndexReport

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, TaskID

LOG_EVERY_SECONDS: Final = 10.0  # often enough to see progress, rare enough for a log file

_DOING: Final = {
    State.QUEUED: "waiting",
    State.COMPARING: "comparing with stored documents",
    State.WRITING: "reading, chunking, embedding",
    State.REMOVING: "removing deleted documents",
    State.PUBLISHING: "building the index",
    State.DONE: "done",
    State.FAILED: "failed",
    State.STOPPED: "stopped",
}


class _Progress:
    """Shows a bar in a terminal while a `with` block runs."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._logged_at = time.monotonic()
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        console = self._terminal.err
        if console.is_terminal:
            from rich.progress import Progress

            self._bar = Progress(*self._columns(), console=console, transient=True, refresh_per_second=4)
            self._add_tasks(self._bar)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _columns(self) -> tuple[ProgressColumn, ...]:
        raise NotImplementedError

    def _add_tasks(self, bar: Bar) -> None:
        """Add the tasks that are known at the start; none by default."""

    def _is_due(self) -> bool:
        """Whether it is time for another line in the log. Restarts the interval if so."""
        now = time.monotonic()
        is_due = now - self._logged_at >= LOG_EVERY_SECONDS
        if is_due:
            self._logged_at = now
        return is_due


class IndexProgress(_Progress):
    """Watches a run. Implements `indexer.progress.Progress`; use it in a `with` block."""

    def __init__(self, terminal: Terminal, describe_workers: Callable[[], str] | None = None) -> None:
        """`describe_workers` returns the state of the workers, if others embed."""
        super().__init__(terminal)
        self._describe_workers = describe_workers
        self._name = ""
        self._task: TaskID | None = None

    def started(self, name: str, size: int | None) -> None:
        self._name = name
        if self._bar is not None:
            self._task = self._bar.add_task(name, total=size, figures="")

    def advanced(self, figures: Figures) -> None:
        text = _describe(figures)
        if self._describe_workers is not None:
            text = f"{text} · {self._describe_workers()}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=figures.position, figures=text)
        elif self._is_due():
            self._terminal.say(f"{self._name}: {text}")

    def finished(self, report: IndexReport) -> None:
        """Nothing: the command shows the report."""

    def _columns(self) -> tuple[ProgressColumn, ...]:
        from rich.progress import BarColumn, TextColumn

        text = TextColumn("{task.fields[figures]}")
        return _description(), BarColumn(bar_width=28), text


class CountProgress(_Progress):
    """Watches a loop of known length. Use it in a `with` block."""

    def __init__(self, terminal: Terminal, name: str, *, total: int) -> None:
        super().__init__(terminal)
        self._name = name
        self._total = total
        self._done = 0
        self._began = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], count)
        elif self._is_due():
            left = (time.monotonic() - self._began) / self._done * (self._total - self._done)
            self._terminal.say(f"{self._name}: {self._done} of {self._total} · {duration(left)} left")

    def _columns(self) -> tuple[ProgressColumn, ...]:
        from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

        done = MofNCompleteColumn()
        return _description(), BarColumn(bar_width=28), done, TimeRemainingColumn()

    def _add_tasks(self, bar: Bar) -> None:
        bar.add_task(self._name, total=self._total)


class RowProgress(CountProgress):
    """Watches rows that are copied. Implements `retrieval.catalog.sql.copy.Watcher`; use it in a `with` block."""

    def __init__(self, terminal: Terminal, name: str) -> None:
        super().__init__(terminal, name, total=0)

    def started(self, rows: int) -> None:
        self._total = rows
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=rows)

    def advanced(self, rows: int) -> None:
        self.advance(rows)


class CopyProgress(_Progress):
    """Watches a copy. Implements `retrieval.backup.transfer.Watcher`; use it in a `with` block."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal)
        self._doing = ""
        self._size: int | None = None
        self._done = 0

    def started(self, doing: str, size: int | None) -> None:
        self._doing, self._size, self._done = doing, size, 0
        if self._bar is not None:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._bar.add_task(doing, total=size)
        else:
            self._terminal.say(doing)

    def advanced(self, size: int) -> None:
        self._done += size
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], size)
        elif self._size and self._is_due():
            self._terminal.say(f"{self._doing}: {self._done / 1e6:,.0f} of {self._size / 1e6:,.0f} MB")

    def _columns(self) -> tuple[ProgressColumn, ...]:
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn

        done = DownloadColumn()
        return _description(), BarColumn(bar_width=28), done, TimeRemainingColumn()


def _description() -> ProgressColumn:
    """The column for the description; rich must not read markup in a path."""
    from rich.progress import TextColumn

    return TextColumn("{task.description}", style="bold", markup=False)


def _describe(figures: Figures) -> str:
    parts = [_DOING[figures.state], f"{amount(figures.read)} records"]
    if figures.state is State.WRITING and figures.written:
        parts = [
            f"{amount(figures.written)} documents",
            f"{figures.documents_per_second:.1f}/s",
            f"{amount(figures.tokens_per_second)} tokens/s",
        ]
        if figures.eta_seconds is not None:
            parts.append(f"{duration(figures.eta_seconds)} left")
    if figures.unchanged:
        parts.append(f"{amount(figures.unchanged)} unchanged")
    if figures.rejected:
        parts.append(f"{amount(figures.rejected)} rejected")
    return " · ".join(parts)
