"""Which documents go into one commit, and which are passed over?

Rule: a window is bounded by what goes into it, never by time or by what was skipped. A run that was killed has
committed its first windows and nothing else; the next run skips their documents and cuts the rest into the very same
windows, so that every vector is computed in the same company and comes out bit for bit the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from winnow.indexer.changes import Change, Changes
from winnow.indexer.corpus import Entry, Reject
from winnow.retrieval.records import Document

WINDOW_DOCUMENTS: Final = 256  # documents; what a kill can cost, and what is held in memory
WINDOW_CHARACTERS: Final = 500_000  # characters; the same for long documents
_SILENCE_MAX: Final = 2_000  # records; the most that are passed over without a sign of life


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBound:
    """A window is full when it reaches either; its last document may go over."""

    documents: int = WINDOW_DOCUMENTS
    characters: int = WINDOW_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stretch of a corpus."""

    window: tuple[Document, ...]  # to be committed at once; empty where the stretch was only passed over
    changes: Mapping[Change, int]  # the window's documents and the unchanged ones, counted
    rejects: tuple[Reject, ...]
    position: int  # how far the corpus was read


class _Stretch:
    """What has gathered since the last step."""

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
            changes.keep(entry.id)
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
        """What has gathered. A window that is not closed stays, and so keeps its bounds."""
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


def steps(entries: Iterable[Entry], changes: Changes, bound: WindowBound) -> Iterator[Step]:
    """The corpus as windows to commit, in order. Every entry is counted in exactly one step."""
    stretch = _Stretch()
    for entry in entries:
        stretch.add(entry, changes)
        if len(stretch.window) >= bound.documents or stretch.characters >= bound.characters:
            yield stretch.step(close_window=True)
        elif stretch.is_silent_long:
            yield stretch.step(close_window=False)
    yield stretch.step(close_window=True)
