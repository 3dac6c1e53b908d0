"""Finds the files of a folder and decides which to read.

Patterns have .gitignore syntax, relative to the folder: `*.log`, `drafts/`, `/top.md`, `docs/**/old`. The last pattern
that matches decides, and `!build/` re-includes what an earlier one excludes. Linked folders are followed, unless their
files are read under another path or they contain the folder itself.

A folder is walked twice, with the names of one folder at a time in memory: once to count its files and to decide which
links are followed, and once to read the files, in the order of their paths. The only module that names pathspec.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
_ENDINGS_MAX: Final = 1_000  # endings that are counted one by one
_OTHER_ENDINGS: Final = "others"


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

    files: Callable[[], Iterator[FoundFile]]  # walks again, and yields them ordered by path
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
    read: int = 0
    not_read: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    readability: Readability = field(default_factory=Readability)
    not_included: int = 0
    links_passed_over: int = 0
    broken_links: list[str] = field(default_factory=list)
    links: list[tuple[Path, str]] = field(default_factory=list)  # to folders, not followed yet
    followed: set[str] = field(default_factory=set)  # links to folders, by path
    repeated: set[str] = field(default_factory=set)  # folders that were read under another path before
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
            elif self._folder(path, f"{relative}/"):
                self.followed.add(relative)
        counts = FileCounts(
            found=self.found,
            read=self.read,
            not_read=_largest_first(self.not_read),
            left_out=_largest_first(self.left_out),
            not_included=self.not_included,
            links_passed_over=self.links_passed_over,
        )
        return Walked(
            files=lambda: self._files(self.root, ""),
            counts=counts,
            broken_links=tuple(self.broken_links),
            lacking=_largest_first(self.readability.lacking),
            notes=self.readability.notes,
        )

    def _folder(self, path: Path, relative: str) -> bool:
        """Count everything below, except linked folders, which come after all others. False: it was counted before."""
        try:
            here = path.stat()
        except OSError as error:
            raise _unreadable(path, relative, error) from error
        if (here.st_dev, here.st_ino) in self.seen:
            self.links_passed_over += 1
            return False
        self.seen.add((here.st_dev, here.st_ino))
        linked: list[str] = []
        names, links = _listed(path, relative)
        for name in names:
            bare = name.removesuffix("/")
            below, is_folder, is_link = f"{relative}{name}", name.endswith("/"), bare in links
            pattern = self._excluded_by(below)
            if pattern is not None:
                files = 0 if is_folder and is_link else _files_below(path / bare) if is_folder else 1
                self.found += files
                self.left_out[pattern] += files
            elif not is_folder:
                self._file(path / name, below, is_link=is_link)
            elif is_link:
                linked.append(bare)
            elif not self._folder(path / bare, below):
                self.repeated.add(below)
        self.links.extend((path / name, f"{relative}{name}") for name in sorted(linked))
        return True

    def _file(self, path: Path, relative: str, *, is_link: bool) -> None:
        self.found += 1
        if is_link and not path.exists():
            self.broken_links.append(shown_path(relative))
        if self.choice.include and not self.including.match_file(relative):
            self.not_included += 1
            return
        chosen = _format(path)
        if chosen is not None and self.readability.can_read(chosen):
            self.read += 1
            return
        ending = shown_path(ending_of(path.name)) or NO_ENDING
        self.not_read[ending if ending in self.not_read or len(self.not_read) < _ENDINGS_MAX else _OTHER_ENDINGS] += 1

    def _files(self, path: Path, relative: str) -> Iterator[FoundFile]:
        """Yield the files to read, by path. `folder/` sorts as its files do, so that no list of all is needed."""
        readability = Readability()
        names, links = _listed(path, relative)
        for name in names:
            below = f"{relative}{name}"
            if self._excluded_by(below) is not None:
                continue
            if name.endswith("/"):
                bare = name.removesuffix("/")
                if below not in self.repeated and (bare not in links or f"{relative}{bare}" in self.followed):
                    yield from self._files(path / bare, below)
            elif not self.choice.include or self.including.match_file(below):
                chosen = _format(path / name)
                if chosen is not None and readability.can_read(chosen):
                    yield FoundFile(path=path / name, relative=below, format=chosen)

    def _excluded_by(self, relative: str) -> str | None:
        """The pattern that excludes this path, or None."""
        result = self.excluding.check_file(relative)
        if not result.include or result.index is None:
            return None
        return shown_path(self.excludes[result.index])


def _largest_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _listed(path: Path, relative: str) -> tuple[list[str], set[str]]:
    """Names in a folder, sorted, those of folders with a slash at the end; and which of them are links."""
    names: list[str] = []
    links: set[str] = set()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                names.append(f"{entry.name}/" if _is_folder(entry) else entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
    except OSError as error:
        raise _unreadable(path, relative, error) from error
    names.sort()
    return names, links


def _unreadable(path: Path, relative: str, error: OSError) -> CorpusUnreadable:
    hint = f"; exclude it with --exclude {relative!r}" if relative else ""
    return CorpusUnreadable(f"{shown_path(str(path))}: {error.strerror}{hint}")


def _format(path: Path) -> Format | None:
    """The format of a file by its name, else by its content."""
    return format_of_name(path.name) or guess_format(str(path), has_ending=bool(ending_of(path.name)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it reports the error
        return False


def _files_below(path: Path) -> int:
    """Number of files in an excluded folder. Links are not followed; unreadable folders count as empty."""
    return sum(len(names) for _, _, names in os.walk(path))


def _patterns(flag: str, patterns: Sequence[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise InvalidRequest(f"{flag}: {error}") from error
