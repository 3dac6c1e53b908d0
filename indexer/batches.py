"""Groups documents into windows, one commit each, and skips unchanged ones.

Rule: a window is bounded by its contents, never by time or by what was skipped. A run that was killed has committed its
first windows and nothing else. The next run skips their documents and cuts the rest into the same windows, so every
vector is computed in the same batch and comes out identical to the bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from winnow.indexer.changes import Change, Changes
from winnow.indexer.corpus import Entry, Reject
from winnow.retrieval.records import Document

WINDOW_DOCUMENTS: Final = 256  # documents; the most that a kill can lose and that memory holds
WINDOW_CHARACTERS: Final = 500_000  # characters; the same for long documents
_SILENCE_MAX: Final = 2_000  # records; the most that are skipped without a progress report


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBound:
    """Size limits of a window: it is full at either one, and its last document may exceed it."""

    documents: int = WINDOW_DOCUMENTS
    characters: int = WINDOW_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stretch of the corpus."""

    window: tuple[Document, ...]  # committed at once; empty if the stretch was only skipped
    changes: Mapping[Change, int]  # the window's documents and the unchanged ones, counted
    rejects: tuple[Reject, ...]
    position: int  # how far the corpus has been read


class _Stretch:
    """Collects what was read since the last step."""

    def __init__(self) -> None:
        self.window: list[Document] = []
        self.characters = 0
        self._window_changes: Counter[Change] = Counter()
        self._unchanged = 0
        self._rejects: list[Reject] = []
        self._position = 0
        self._silence = 0

    def add(self, entry: Entry, changes: Changes) -> None:
        self._position = entry.position
        self._silence += 1
        if isinstance(entry, Reject):
            self._rejects.append(entry)
            changes.keep(entry.id, holds_more=entry.holds_more)
            return
        change = changes.of(entry.document)
        if change is Change.UNCHANGED:
            self._unchanged += 1
            return
        self._window_changes[change] += 1
        self.window.append(entry.document)
        self.characters += len(entry.document.title) + len(entry.document.text)

    @property
    def is_silent_long(self) -> bool:
        return self._silence >= _SILENCE_MAX

    def step(self, *, close_window: bool) -> Step:
        """Return what was collected. Unless closed, the window stays open and so keeps its bounds."""
        counted = Counter({Change.UNCHANGED: self._unchanged})
        window: tuple[Document, ...] = ()
        if close_window:
            counted += self._window_changes
            window = tuple(self.window)
            self.window, self.characters = [], 0
            self._window_changes = Counter()
        rejects, self._rejects = tuple(self._rejects), []
        self._unchanged, self._silence = 0, 0
        return Step(window=window, changes=counted, rejects=rejects, position=self._position)


def make_steps(entries: Iterable[Entry], changes: Changes, bound: WindowBound) -> Iterator[Step]:
    """Yield the corpus as windows to commit, in order. Every entry is counted in exactly one step."""
    stretch = _Stretch()
    for entry in entries:
        stretch.add(entry, changes)
        if len(stretch.window) >= bound.documents or stretch.characters >= bound.characters:
            yield stretch.step(close_window=True)
        elif stretch.is_silent_long:
            yield stretch.step(close_window=False)
    yield stretch.step(close_window=True)
