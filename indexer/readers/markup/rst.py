"""Reads reStructuredText by section.

The document's text has the lines of the file, so that places are exact: markup of roles is taken out of them, lines
that only draw a heading or a table become empty, and a row of a table stands on its first line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from winnow.indexer.decoding.encodings import decode_text
from winnow.indexer.readers.documents.outline import row_line
from winnow.indexer.readers.markup.rst_structure import CodeBlock, Heading, Table, find_structure
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.limits import RECORD_BYTES_MAX, TITLE_CHARACTERS_MAX
from winnow.retrieval.records import Document, JsonValue, Location, Part, PartKind

CODE_CHARACTERS_MIN: Final = 600  # characters of code that is a part of its own; less is read with the text around it
INTRODUCTION_CHARACTERS_MAX: Final = 300  # characters of text that stays with the table or code below it
_PARTS_MAX: Final = 40_000  # the rest of the text belongs to the last one
_HEADER_CHARACTERS_MAX: Final = 2_000
_HEADING_CHARACTERS_MAX: Final = 200
_SECTION_LEVELS_MAX: Final = 16

_ROLE: Final = re.compile(r"(?<![\w`]):[a-zA-Z][\w:+.-]{0,60}:`([!~]?)([^`]{1,400})`")
_TARGET: Final = re.compile(r"\s*<[^<>]*>\Z")
_LITERAL: Final = re.compile(r"``([^`\n]{1,400})``")
_RULE: Final = re.compile(r"\s*([!-/:-@\[-`{-~])\1+\s*")
_BORDER: Final = re.compile(r"\s*[-=+| ]*[-=+]{2}[-=+| ]*")
_LABEL: Final = re.compile(r"\s*\.\. _[^:`]+:\s*")
_HEADER_FIELD: Final = re.compile(r"^([A-Z][A-Za-z-]{1,40}):[ \t]*(\S.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.+Z-]+)?")
_KNOWN_FIELDS: Final = {"author": "author", "authors": "author", "version": "version", "language": "language"}


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield the file as one document."""
    with source.path.open("rb") as stream:
        content = stream.read(RECORD_BYTES_MAX + 1)
    if len(content) > RECORD_BYTES_MAX:
        raise Unparsable(f"the file is longer than {RECORD_BYTES_MAX} bytes")
    text, _, reason = decode_text(content, asked=source.encoding)
    if text is None:
        raise Unparsable(reason)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    structure = find_structure(text)
    fields = {**_header_fields(text), **structure.fields}
    first_heading = next((_words(block.text) for block in structure.blocks if isinstance(block, Heading)), "")
    title = _words(fields.get("title", "")) or first_heading
    builder = _Parts(text.split("\n"), title)
    for block in structure.blocks:
        builder.add(block)
    yield builder.document(source.name, metadata=_metadata(fields))


class _Parts:
    """Divides the lines of a file into parts, block after block."""

    def __init__(self, lines: list[str], title: str) -> None:
        self._lines = lines
        self._title = title
        self._kept: set[int] = set()  # lines of code and tables, which stay as they are
        self._headings: list[tuple[int, str]] = []
        self._start = 0  # first line of the open part
        self._content = 0  # first line below its headings
        self._has_code = False
        self._done: list[tuple[int, int, PartKind, tuple[str, ...], str]] = []  # first line, line behind, and so on

    def add(self, block: Heading | CodeBlock | Table) -> None:
        if block.line < self._content or len(self._done) >= _PARTS_MAX:
            return  # inside the table above
        match block:
            case Heading():
                self._add_heading(block)
            case CodeBlock():
                last = min(block.last, len(self._lines) - 1)
                self._kept.update(range(block.line, last + 1))
                if sum(map(len, self._lines[block.line : last + 1])) < CODE_CHARACTERS_MIN:
                    self._has_code = True
                else:
                    self._separate(block.line, last + 1, PartKind.CODE)
            case Table():
                self._add_table(block)

    def _add_heading(self, heading: Heading) -> None:
        drawn_above = heading.line > 0 and _RULE.fullmatch(self._lines[heading.line - 1])
        first = heading.line - 1 if drawn_above else heading.line
        if self._has_text(first):
            self._close(first)
        for line in (heading.line - 1, heading.line + 1):
            if 0 <= line < len(self._lines) and _RULE.fullmatch(self._lines[line]):
                self._lines[line] = ""
        while self._headings and self._headings[-1][0] >= heading.level:
            self._headings.pop()
        self._headings.append((heading.level, _words(heading.text)))
        self._content = heading.line + 2

    def _add_table(self, table: Table) -> None:
        end = _table_end(self._lines, table.line)
        rows = [(line, row_line(cells)) for line, cells in table.rows]
        header = next((row for _, row in rows if row), "")
        if _fits(rows, self._lines, table.line, end):
            texts = dict(rows)
            for line in range(rows[0][0], end):
                self._lines[line] = texts.get(line, "")
        for line in range(table.line, end):
            if _BORDER.fullmatch(self._lines[line]):
                self._lines[line] = ""
        self._kept.update(range(table.line, end))
        self._separate(table.line, end, PartKind.ROWS, header)

    def _separate(self, first: int, end: int, kind: PartKind, header: str = "") -> None:
        """Make a part of a table or of code, with a short text before it."""
        if sum(map(len, self._lines[self._content : first])) > INTRODUCTION_CHARACTERS_MAX:
            self._close(first)
        self._close(end, kind, header)

    def _has_text(self, before: int) -> bool:
        return any(line.strip() and not _LABEL.fullmatch(line) for line in self._lines[self._content : before])

    def _close(self, end: int, kind: PartKind | None = None, header: str = "") -> None:
        """End the open part after the blank lines at its end, and begin another below the same headings."""
        while end < len(self._lines) and not self._lines[end].strip():
            end += 1
        kind = kind or (PartKind.CODE if self._has_code else PartKind.PROSE)
        texts = [text for _, text in self._headings]
        section = tuple(texts[1:] if texts[:1] == [self._title] else texts)[-_SECTION_LEVELS_MAX:]
        self._done.append((self._start, end, kind, section, header[:_HEADER_CHARACTERS_MAX]))
        self._start = self._content = end
        self._has_code = False

    def document(self, name: str, *, metadata: Mapping[str, JsonValue]) -> Document:
        """End the last part and return the document."""
        if self._start < len(self._lines):
            self._close(len(self._lines))
        text = "\n".join(_clean(self._lines, self._kept))
        starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
        starts[-1] = len(text)
        parts: list[Part] = []
        for first, end, kind, section, header in self._done:
            if starts[first] < starts[end]:
                location = Location(line=first + 1)
                parts.append(
                    Part(
                        start=starts[first],
                        end=starts[end],
                        kind=kind,
                        section=section,
                        header=header,
                        location=location,
                    )
                )
        return Document(
            id=name, text=text, title=self._title[:TITLE_CHARACTERS_MAX], metadata=metadata, parts=tuple(parts)
        )


def _clean(lines: Sequence[str], kept: set[int]) -> Iterator[str]:
    """The lines without the markup of roles; a role may reach over line ends."""
    prose = "\n".join("" if number in kept or _LABEL.fullmatch(line) else line for number, line in enumerate(lines))
    cleaned = _LITERAL.sub(r"\1", _ROLE.sub(lambda found: _shown(found[2]), prose)).split("\n")
    return (line if number in kept else cleaned[number] for number, line in enumerate(lines))


def _shown(role: str) -> str:
    """Text of a role, without its target; every line end stays."""
    return role if "\n" in role else _TARGET.sub("", role) or role


def _words(heading: str) -> str:
    cleaned = _LITERAL.sub(r"\1", _ROLE.sub(lambda found: _shown(found[2]), heading))
    return " ".join(cleaned.replace("\\", "").split())[:_HEADING_CHARACTERS_MAX]


def _fits(rows: Sequence[tuple[int, str]], lines: Sequence[str], first: int, end: int) -> bool:
    """Whether each row is known to begin on a line of its own within the table, with its first word."""
    before = first - 1
    for line, row in rows:
        words = row.replace("|", " ").split()
        if not before < line < end or (words and words[0] not in lines[line]):
            return False
        before = line
    return len(rows) > 0


def _table_end(lines: Sequence[str], first: int) -> int:
    """The line behind a table: of a directive what is indented, of a grid up to its last border."""
    line = lines[first].lstrip()
    indent = len(lines[first]) - len(line)
    end = first + 1
    if line.startswith(".. "):
        while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
            end += 1
    elif line.startswith("+"):
        while end < len(lines) and lines[end].lstrip().startswith(("+", "|")):
            end += 1
    else:  # a simple table: its second or third border is above an empty line
        borders = 1
        while end < len(lines):
            if _BORDER.fullmatch(lines[end]) and "=" in lines[end]:
                borders += 1
                if borders == 3 or end + 1 == len(lines) or not lines[end + 1].strip():
                    return end + 1
            end += 1
    while end > first + 1 and not lines[end - 1].strip():
        end -= 1
    return end


def _header_fields(text: str) -> dict[str, str]:
    """Fields of a header like that of a mail, with which Python Enhancement Proposals begin."""
    header = text[:4_000].partition("\n\n")[0]
    found = {name.lower(): " ".join(value.split()) for name, value in _HEADER_FIELD.findall(header)}
    return found if "title" in found else {}


def _metadata(fields: Mapping[str, str]) -> dict[str, JsonValue]:
    known: dict[str, JsonValue] = {
        _KNOWN_FIELDS[name]: value[:_HEADING_CHARACTERS_MAX]
        for name, value in fields.items()
        if name in _KNOWN_FIELDS and value
    }
    if _DATE.fullmatch(fields.get("date", "")):
        known["date"] = fields["date"].replace(" ", "T")
    return known
