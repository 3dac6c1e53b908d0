"""What a parser of one file format takes and gives.

Parsers read untrusted files, so they run in a process of their own (indexer/sandbox/). They open nothing but the file
that they are given, resolve no external entity, and fetch nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from winnow.indexer.corpus import Refused
from winnow.retrieval.records import Document

Parsed: TypeAlias = Document | Refused


class Unparsable(Exception):
    """The file cannot be read as its format. The message is the reason that its owner sees."""


class ParsePart(Protocol):
    """Reads a file that stands within another one, such as an attachment: its content, and the id of its document.

    Yields a `Refused` for what cannot be read; yields nothing for a format without a reader.
    """

    def __call__(self, content: bytes, name: str) -> Iterator[Parsed]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file to parse."""

    path: Path  # readable by the parser; a member of an archive is a temporary file
    name: str  # id of its document: path within the corpus, with slashes
    encoding: str | None = None  # asked for by the caller, from `find_codec`; None: detect it
    has_ocr: bool = False  # an OCR command will read pages without text: refuse each by its number
    parse_part: ParsePart | None = field(default=None, compare=False)  # None: files within it are not read


class Parser(Protocol):
    """Reads one file.

    Yields one document with the id `name`, or several with ids `name#KEY` (a mail of a mailbox, a record of a table).
    Yields a `Refused` for a part that has no text (`id` says which), and continues. Raises `Unparsable` if nothing
    after that point can be read. Memory stays bounded: a large file is read piece by piece where its format allows.
    """

    def __call__(self, source: SourceFile) -> Iterator[Parsed]: ...
