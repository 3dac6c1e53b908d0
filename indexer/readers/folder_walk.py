"""Finds the files of a folder and decides which to read.

Patterns have .gitignore syntax, relative to the folder: `*.log`, `drafts/`, `/top.md`, `docs/**/old`. The last pattern
that matches decides, and `!build/` re-includes what an earlier one excludes. Linked folders are followed, unless their
files are read under another path or they contain the folder itself. The only module that names pathspec.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

from winnow.indexer.account import FileCounts
from winnow.indexer.decoding.streams import shown_path
from winnow.indexer.readers.default_excludes import DEFAULT_EXCLUDES
from winnow.indexer.readers.formats import TEXT, Format, Readability, ending_of, format_of_name
from winnow.indexer.readers.untrusted.detection import guess_format
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

NO_ENDING: Final = "without an ending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Patterns of the files to read."""

    include: tuple[str, ...] = ()  # empty: all files
    exclude: tuple[str, ...] = ()  # in addition to `DEFAULT_EXCLUDES`


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file that has a reader."""

    path: Path
    relative: str  # path within the folder, with slashes; bytes that are not UTF-8 are surrogates
    format: Format = TEXT  # as its name suggests; its content decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """Result of a walk through a folder."""

    files: tuple[FoundFile, ...]  # ordered by path
    counts: FileCounts
    broken_links: tuple[str, ...]  # may point to a folder of documents on a disk that is missing now
    lacking: Mapping[str, int]  # files by title of their format, whose libraries are not installed
    notes: tuple[str, ...]


def walk_folder(root: Path, choice: Choice) -> Walked:
    """Walk the folder. Raises `CorpusUnreadable` for an unreadable folder, `InvalidRequest` for an invalid pattern."""
    return _Walk(root, choice).finish()


@dataclass(slots=True)
class _Walk:
    root: Path
    choice: Choice
    found: int = 0
    files: list[FoundFile] = field(default_factory=list)
    not_read: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    readability: Readability = field(default_factory=Readability)
    not_included: int = 0
    links_passed_over: int = 0
    broken_links: list[str] = field(default_factory=list)
    links: list[tuple[Path, str]] = field(default_factory=list)  # to folders, not followed yet
    seen: set[tuple[int, int]] = field(default_factory=set)  # folders, by device and inode
    excludes: tuple[str, ...] = ()
    excluding: GitIgnoreSpec = field(init=False)
    including: GitIgnoreSpec = field(init=False)

    def finish(self) -> Walked:
        self.excludes = (*DEFAULT_EXCLUDES, *self.choice.exclude)
        self.excluding = _patterns("--exclude", self.excludes)
        self.including = _patterns("--include", self.choice.include)
        self._folder(self.root, "")
        real_root = self.root.resolve()
        while self.links:
            path, relative = self.links.pop(0)
            if real_root.is_relative_to(path.resolve()):
                self.links_passed_over += 1
            else:
                self._folder(path, f"{relative}/")
        counts = FileCounts(
            found=self.found,
            read=len(self.files),
            not_read=_largest_first(self.not_read),
            left_out=_largest_first(self.left_out),
            not_included=self.not_included,
            links_passed_over=self.links_passed_over,
        )
        files = tuple(sorted(self.files, key=lambda each: each.relative))
        return Walked(
            files=files,
            counts=counts,
            broken_links=tuple(self.broken_links),
            lacking=_largest_first(self.readability.lacking),
            notes=self.readability.notes,
        )

    def _folder(self, path: Path, relative: str) -> None:
        """Visit everything below, except linked folders, which come after all others."""
        try:
            here = path.stat()
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            raise CorpusUnreadable(
                f"{shown_path(str(path))}: {error.strerror}"
                + (f"; exclude it with --exclude {relative!r}" if relative else "")
            ) from error
        if (here.st_dev, here.st_ino) in self.seen:
            self.links_passed_over += 1
            return
        self.seen.add((here.st_dev, here.st_ino))
        for entry in entries:
            below = f"{relative}{entry.name}"
            is_folder = _is_folder(entry)
            pattern = self._excluded_by(f"{below}/" if is_folder else below)
            if pattern is not None:
                files = _files_below(entry) if is_folder else 1
                self.found += files
                self.left_out[pattern] += files
            elif not is_folder:
                self._file(entry, below)
            elif entry.is_symlink():
                self.links.append((Path(entry.path), below))
            else:
                self._folder(Path(entry.path), f"{below}/")

    def _file(self, entry: os.DirEntry[str], relative: str) -> None:
        self.found += 1
        if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110  the path of an entry
            self.broken_links.append(shown_path(relative))
        chosen = format_of_name(entry.name)
        if self.choice.include and not self.including.match_file(relative):
            self.not_included += 1
            return
        if chosen is None:
            chosen = guess_format(entry.path, has_ending=bool(ending_of(entry.name)))
        if chosen is not None and self.readability.can_read(chosen):
            self.files.append(FoundFile(path=Path(entry.path), relative=relative, format=chosen))
        else:
            self.not_read[shown_path(ending_of(entry.name)) or NO_ENDING] += 1

    def _excluded_by(self, relative: str) -> str | None:
        """The pattern that excludes this path, or None."""
        result = self.excluding.check_file(relative)
        if not result.include or result.index is None:
            return None
        return shown_path(self.excludes[result.index])


def _largest_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it reports the error
        return False


def _files_below(entry: os.DirEntry[str]) -> int:
    """Number of files in an excluded folder. Links are not followed; unreadable folders count as empty."""
    if entry.is_symlink():
        return 0
    return sum(len(names) for _, _, names in os.walk(entry.path))


def _patterns(flag: str, patterns: Sequence[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise InvalidRequest(f"{flag}: {error}") from error
