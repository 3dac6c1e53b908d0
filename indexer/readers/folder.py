"""What documents lie in this folder of .txt and .md files? Each file is one; its path within the folder is its id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry, Place, Reject, entry_of
from winnow.indexer.decoding.streams import require_file, shown_path
from winnow.indexer.readers.folder_walk import Choice, FoundFile, Walked, walked
from winnow.indexer.readers.text_files import FileRead, read_text_file
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import is_text

_NAMES_TOLD_MAX: Final = 3  # files that a note names


@dataclass(slots=True)
class _Told:
    """What there is to say of files that were read."""

    detected: dict[str, list[str]] = field(default_factory=dict)  # encoding -> paths
    problems: list[str] = field(default_factory=list)

    def hear(self, name: str, read: FileRead) -> None:
        if read.encoding is not None and read.encoding.is_detected:
            self.detected.setdefault(read.encoding.name, []).append(name)
        if read.problem is not None:
            self.problems.append(f"{name} ({read.problem})")

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [
            f"Not UTF-8 and read as {encoding}, as detected: {_listed(names)}; --encoding NAME says otherwise."
            for encoding, names in sorted(self.detected.items())
        ]
        if self.problems:
            notes.append(f"Front matter that is not YAML stays in the text: {_listed(self.problems)}.")
        return tuple(notes)


@dataclass(frozen=True, kw_only=True)
class FolderCorpus:
    """Files in the order of their paths."""

    root: Path
    choice: Choice = field(default_factory=Choice)
    encoding: str | None = None
    told: _Told = field(default_factory=_Told, compare=False, repr=False)

    @property
    def name(self) -> str:
        return shown_path(self.root.name or str(self.root.resolve()))

    @property
    def size(self) -> int:
        return len(self._walked.files)

    @cached_property
    def _walked(self) -> Walked:
        return walked(self.root, self.choice)

    def entries(self) -> Iterator[Entry]:
        for position, file in enumerate(self._walked.files, start=1):
            yield self._entry(file, position)

    def account(self) -> Account:
        return Account(files=self._walked.counts, notes=self.told.notes, unread=self._walked.broken_links)

    def stop(self) -> None:
        """It waits for nothing."""

    def _entry(self, file: FoundFile, position: int) -> Entry:
        shown = shown_path(file.relative)
        place = Place(source=shown)
        if not is_text(file.relative):
            reason = "the name of the file is not UTF-8; rename it (`convmv` does it for many)"
            return Reject(place=place, reason=reason, position=position)
        read = read_text_file(file.path, file.relative, asked=self.encoding)
        self.told.hear(shown, read)
        return entry_of(read.made, place=place, position=position)


@dataclass(frozen=True, kw_only=True)
class FileCorpus:
    """One file of text; its name is its id."""

    path: Path
    encoding: str | None = None
    told: _Told = field(default_factory=_Told, compare=False, repr=False)

    @property
    def name(self) -> str:
        return shown_path(self.path.name)

    @property
    def size(self) -> int:
        return 1

    def entries(self) -> Iterator[Entry]:
        try:
            require_file(self.path)
        except OSError as error:
            raise CorpusUnreadable(f"{shown_path(str(self.path))}: {error.strerror}") from error
        read = read_text_file(self.path, self.name, asked=self.encoding)
        self.told.hear(self.name, read)
        yield entry_of(read.made, place=Place(source=self.name), position=1)

    def account(self) -> Account:
        return Account(notes=self.told.notes)

    def stop(self) -> None:
        """It waits for nothing."""


def _listed(names: list[str]) -> str:
    beyond = f" and {len(names) - _NAMES_TOLD_MAX} more" if len(names) > _NAMES_TOLD_MAX else ""
    return ", ".join(names[:_NAMES_TOLD_MAX]) + beyond
