"""What documents lie in this folder of .txt and .md files? Each file is one; its path within the folder is its id."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from indexer.account import Account
from indexer.corpus import Entry, Place, Refused, entry_of
from retrieval.errors import CorpusUnreadable
from retrieval.limits import RECORD_BYTES_MAX, TITLE_CHARACTERS_MAX
from retrieval.records import Document

MARKDOWN_SUFFIXES: Final = frozenset({".md", ".markdown"})
TEXT_SUFFIXES: Final = frozenset({".txt", *MARKDOWN_SUFFIXES})

_FRONT_MATTER: Final = "---"
_FENCE: Final = re.compile(r"^ {0,3}(```+|~~~+)")
_HASH_HEADING: Final = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*)")
_UNDERLINE: Final = re.compile(r"^ {0,3}(=+|-+)$")  # lines are matched without the blanks at their end


@dataclass(frozen=True, kw_only=True)
class FolderCorpus:
    """Files in the order of their paths; hidden files and folders are passed over."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def size(self) -> int:
        return len(self._paths)

    @property
    def _paths(self) -> tuple[Path, ...]:
        return self._walked[0]

    @cached_property
    def _walked(self) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Files to read, and links to folders."""
        found: list[Path] = []
        links: list[Path] = []
        for folder, subfolders, names in os.walk(self.root, onerror=_unreadable):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            links.extend(path for name in subfolders if (path := Path(folder, name)).is_symlink())
            found.extend(Path(folder, name) for name in names if is_text_file(name))
        return tuple(sorted(found, key=self._id)), tuple(sorted(links))

    def entries(self) -> Iterator[Entry]:
        for position, path in enumerate(self._paths, start=1):
            document_id = self._id(path)
            yield entry_of(_made_of(path, document_id), place=Place(source=document_id), position=position)

    def account(self) -> Account:
        """A link to a folder is not followed: its files may be documents all the same."""
        return Account(unread=tuple(self._id(path) for path in self._walked[1]))

    def stop(self) -> None:
        """It waits for nothing."""

    def _id(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def is_text_file(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in TEXT_SUFFIXES


def markdown_title(markdown: str) -> str:
    """The title in its front matter, else its first heading in either notation, else nothing."""
    lines = [line.rstrip() for line in markdown.splitlines()]
    if lines and lines[0] == _FRONT_MATTER and _FRONT_MATTER in lines[1:]:
        end = lines.index(_FRONT_MATTER, 1)
        title = next((line.removeprefix("title:") for line in lines[1:end] if line.startswith("title:")), "")
        return title.strip(" \t\"'") or _first_heading(lines[end + 1 :])
    return _first_heading(lines)


def _first_heading(lines: Sequence[str]) -> str:
    """Outside of code, where `# this` is a comment."""
    previous, fence = "", ""
    for line in lines:
        opened = _FENCE.match(line)
        if opened and not fence:
            fence = opened[1]
        elif opened and opened[1].startswith(fence):
            fence = ""
        elif not fence and (heading := _HASH_HEADING.match(line)):
            return _without_closing_hashes(heading[1])
        elif not fence and previous and _UNDERLINE.match(line):
            return previous.strip()
        previous = "" if fence or opened else line
    return ""


def _without_closing_hashes(heading: str) -> str:
    """`Title ##` is "Title", while `Learn C#` keeps its hash."""
    bare = heading.rstrip("#")
    return (bare if bare.endswith((" ", "\t")) else heading).strip()


def _made_of(path: Path, document_id: str) -> Document | Refused:
    try:
        with path.open("rb") as stream:
            content = stream.read(RECORD_BYTES_MAX + 1)
        if len(content) > RECORD_BYTES_MAX:
            return Refused(reason=f"the file is longer than {RECORD_BYTES_MAX} bytes", id=document_id)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Refused(reason=f"not UTF-8: {error.reason} at byte {error.start}", id=document_id)
    except OSError as error:
        return Refused(reason=f"cannot be read: {error.strerror}", id=document_id)
    title = markdown_title(text)[:TITLE_CHARACTERS_MAX] if path.suffix.lower() in MARKDOWN_SUFFIXES else ""
    return Document(id=document_id, text=text, title=title)


def _unreadable(error: OSError) -> None:
    raise CorpusUnreadable(f"{error.filename}: {error.strerror}") from error
