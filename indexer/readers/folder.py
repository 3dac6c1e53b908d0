"""Reads folders of files. A file is a document, with its path within the folder as id, or holds several.

Plain text and Markdown are read in this process; files of all other formats are parsed in another (untrusted).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry, Place, Reject, make_entry
from winnow.indexer.decoding.streams import require_file, shown_path
from winnow.indexer.readers.folder_walk import Choice, FoundFile, Walked, walk_folder
from winnow.indexer.readers.formats import TEXT, format_of_name
from winnow.indexer.readers.text_files import FileRead, read_text_file
from winnow.indexer.readers.untrusted.ocr import OcrCommand
from winnow.indexer.readers.untrusted.parsed_files import ParsedFiles
from winnow.indexer.sandbox.limits import ParseLimits
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import is_text

_NAMES_TOLD_MAX: Final = 3  # files named in a note


@dataclass(slots=True)
class _FileNotes:
    """Notes on the files that were read."""

    detected: dict[str, list[str]] = field(default_factory=dict)  # encoding -> paths
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, read: FileRead) -> None:
        if read.encoding is not None and read.encoding.is_detected:
            self.detected.setdefault(read.encoding.name, []).append(name)
        if read.problem is not None:
            self.problems.append(f"{name} ({read.problem})")

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [
            f"Not UTF-8; read as {encoding} (detected): {_join_names(names)}. Use --encoding NAME if that is wrong."
            for encoding, names in sorted(self.detected.items())
        ]
        if self.problems:
            notes.append(f"Front matter that is not valid YAML was kept in the text: {_join_names(self.problems)}.")
        return tuple(notes)


@dataclass(frozen=True, kw_only=True)
class FolderCorpus:
    """All files of a folder that a reader exists for, ordered by path."""

    root: Path
    choice: Choice = field(default_factory=Choice)
    encoding: str | None = None
    limits: ParseLimits = field(default_factory=ParseLimits)
    ocr: OcrCommand | None = None
    file_notes: _FileNotes = field(default_factory=_FileNotes, compare=False, repr=False)

    @cached_property
    def _parsed(self) -> ParsedFiles:
        return ParsedFiles(self.limits, self.ocr)

    @property
    def name(self) -> str:
        return shown_path(self.root.name or str(self.root.resolve()))

    @property
    def size(self) -> int:
        return self._walked.counts.read

    @cached_property
    def _walked(self) -> Walked:
        return walk_folder(self.root, self.choice)

    def entries(self) -> Iterator[Entry]:
        with self._parsed.reading():
            for position, file in enumerate(self._walked.files(), start=1):
                yield from self._entries(file, position)

    def account(self) -> Account:
        walked, parsed = self._walked, self._parsed
        counts = replace(walked.counts, formats=dict(parsed.formats.most_common()))
        lacking = tuple(f"{count} {title} files" for title, count in walked.lacking.items())
        notes = (*self.file_notes.notes, *parsed.notes, *walked.notes)
        return Account(files=counts, notes=notes, unread=(*walked.broken_links, *lacking))

    def stop(self) -> None:
        """End the process that parses; `entries` then raises `CorpusUnreadable`."""
        self._parsed.stop()

    def _entries(self, file: FoundFile, position: int) -> Iterator[Entry]:
        shown = shown_path(file.relative)
        place = Place(source=shown)
        if not is_text(file.relative):
            reason = "the file name is not UTF-8; rename the file (`convmv` renames many at once)"
            yield Reject(place=place, reason=reason, position=position)
            return
        if file.format is not TEXT:
            yield from self._parsed.entries(file.path, file.relative, encoding=self.encoding, position=position)
            return
        self._parsed.formats[TEXT.title] += 1
        read = read_text_file(file.path, file.relative, asked=self.encoding)
        self.file_notes.add(shown, read)
        yield make_entry(read.made, place=place, position=position)


@dataclass(frozen=True, kw_only=True)
class FileCorpus:
    """One file; its name is its id."""

    path: Path
    encoding: str | None = None
    limits: ParseLimits = field(default_factory=ParseLimits)
    ocr: OcrCommand | None = None
    file_notes: _FileNotes = field(default_factory=_FileNotes, compare=False, repr=False)

    @property
    def name(self) -> str:
        return shown_path(self.path.name)

    @cached_property
    def _parsed(self) -> ParsedFiles:
        return ParsedFiles(self.limits, self.ocr)

    @property
    def size(self) -> int:
        return 1

    def entries(self) -> Iterator[Entry]:
        try:
            require_file(self.path)
        except OSError as error:
            raise CorpusUnreadable(f"{shown_path(str(self.path))}: {error.strerror}") from error
        if format_of_name(self.path.name) is not TEXT:
            with self._parsed.reading():
                yield from self._parsed.entries(self.path, self.name, encoding=self.encoding, position=1)
            return
        read = read_text_file(self.path, self.name, asked=self.encoding)
        self.file_notes.add(self.name, read)
        yield make_entry(read.made, place=Place(source=self.name), position=1)

    def account(self) -> Account:
        return Account(notes=(*self.file_notes.notes, *self._parsed.notes))

    def stop(self) -> None:
        """End the process that parses; `entries` then raises `CorpusUnreadable`."""
        self._parsed.stop()


def _join_names(names: list[str]) -> str:
    beyond = f" and {len(names) - _NAMES_TOLD_MAX} more" if len(names) > _NAMES_TOLD_MAX else ""
    return ", ".join(names[:_NAMES_TOLD_MAX]) + beyond
