"""Progress of a run: position, speed and estimated end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from winnow.indexer.batches import Step
from winnow.indexer.changes import Change
from winnow.indexer.job import State
from winnow.indexer.report import IndexReport, largest_loss
from winnow.indexer.writer import UpsertReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """State of a run at one moment.

    Rates and estimate exclude what an earlier run had done already: skipping is not embedding.
    """

    state: State
    position: int  # how much of `size` has been read
    size: int | None  # None if unknown (standard input)
    read: int  # records, refused ones included
    written: int  # documents added or changed
    unchanged: int
    rejected: int
    chunks: int
    tokens: int
    writing_seconds: float
    writing_from: int  # position of the first thing to write

    @property
    def documents_per_second(self) -> float:
        return self.written / self.writing_seconds if self.writing_seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.writing_seconds if self.writing_seconds else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the corpus is read; None while there is no basis for an estimate."""
        done = self.position - self.writing_from
        if self.size is None or done <= 0 or not self.writing_seconds:
            return None
        return self.writing_seconds * max(0, self.size - self.position) / done


class Progress(Protocol):
    """Observer of a run. Called from the event loop: it must return quickly."""

    def started(self, name: str, size: int | None) -> None: ...

    def advanced(self, figures: Figures) -> None:
        """Called after every window and every change of state."""
        ...

    def finished(self, report: IndexReport) -> None:
        """Called if the run succeeded; one that fails or is stopped raises instead."""
        ...


class NoProgress:
    """A `Progress` that ignores everything."""

    def started(self, name: str, size: int | None) -> None:
        pass

    def advanced(self, figures: Figures) -> None:
        pass

    def finished(self, report: IndexReport) -> None:
        pass


@dataclass(slots=True, kw_only=True)
class Tally:
    """Running counts of a run."""

    began: float = field(default_factory=time.monotonic)  # seconds
    writing_began: float | None = None  # seconds
    writing_ended: float | None = None  # seconds
    writing_from: int = 0
    position: int = 0
    changes: Counter[Change] = field(default_factory=Counter)
    rejected: int = 0
    chunks: int = 0
    tokens: int = 0
    truncated: int = 0
    cosine_loss: float | None = None

    def before_step(self) -> None:
        """Called before each read. Writing begins at the last call before the first step that writes."""
        if not self.written:
            self.writing_began, self.writing_from = time.monotonic(), self.position

    def add(self, step: Step, upsert: UpsertReport | None) -> None:
        """Count a finished step; `upsert` is None if it wrote nothing."""
        self.position = step.position
        self.changes.update(step.changes)
        self.rejected += len(step.rejects)
        if upsert is not None:
            self.chunks += upsert.chunks
            self.tokens += upsert.tokens
            self.truncated += upsert.truncated
            self.cosine_loss = largest_loss(self.cosine_loss, upsert.cosine_loss)
            self.writing_ended = time.monotonic()

    @property
    def written(self) -> int:
        return self.changes[Change.ADDED] + self.changes[Change.CHANGED]

    @property
    def read(self) -> int:
        return self.written + self.changes[Change.UNCHANGED] + self.rejected

    def figures(self, *, state: State, size: int | None) -> Figures:
        writing_seconds = 0.0
        if self.writing_began is not None and self.writing_ended is not None:
            writing_seconds = self.writing_ended - self.writing_began
        return Figures(
            state=state,
            position=self.position,
            size=size,
            read=self.read,
            written=self.written,
            unchanged=self.changes[Change.UNCHANGED],
            rejected=self.rejected,
            chunks=self.chunks,
            tokens=self.tokens,
            writing_seconds=writing_seconds,
            writing_from=self.writing_from,
        )
