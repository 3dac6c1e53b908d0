"""Turns a flow of headings, paragraphs and tables into parts under their sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Final

from winnow.indexer.readers.parser import Unparsable
from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX, TITLE_CHARACTERS_MAX
from winnow.retrieval.records import NOWHERE, Document, Location, Metadata, PartKind

CELL_GAP: Final = " | "  # between the cells of a row
HEADING_CHARACTERS_MAX: Final = 200  # characters; a longer paragraph with the style of a heading is text


def row_line(cells: Iterable[str]) -> str:
    """Return a row as one line: white space within a cell becomes one blank, empty cells at the end are dropped."""
    texts = [" ".join(cell.split()) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return CELL_GAP.join(texts).strip(" ")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heading:
    path: tuple[str, ...]  # with its own text last
    location: Location


@dataclass(slots=True)
class Outline:
    """Collects a document's flow.

    A heading begins a section, and stays in the text as the first paragraph of its part; above a table or code only the
    section keeps it. Headings with nothing below them form a part under the section that they have in common.
    """

    built: StructuredText = field(default_factory=StructuredText)
    location: Location = NOWHERE  # of what comes next
    locates_text: bool = False  # a part's location is that of its text, not of the headings above it
    first_heading: str = ""
    _base: tuple[str, ...] = ()  # sections above all headings of the flow
    _path: list[tuple[int, str]] = field(default_factory=list)  # level and text of the headings above
    _waiting: list[_Heading] = field(default_factory=list)  # headings with nothing below them yet
    _paragraphs: list[str] = field(default_factory=list)
    _start: Location = NOWHERE  # of the section's heading, else of the first paragraph
    _parts_before: int = 0  # parts of earlier flows

    @property
    def section(self) -> tuple[str, ...]:
        return (*self._base, *(text for _, text in self._path))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added since the flow began."""
        return not (self._paragraphs or self._waiting) and len(self.built.parts) == self._parts_before

    def begin(self, base: tuple[str, ...], location: Location = NOWHERE) -> None:
        """Start a flow of its own, such as a slide, below these sections."""
        self._end_section()
        self.go_on(base, location)

    def go_on(self, base: tuple[str, ...], location: Location = NOWHERE) -> None:
        """Continue the flow below these sections; the headings directly above may be among them."""
        self._end_paragraphs()
        self._path.clear()
        self._base, self.location = base, location
        self._parts_before = len(self.built.parts)

    def heading(self, level: int, text: str) -> None:
        text = " ".join(text.split())
        if not text or len(text) > HEADING_CHARACTERS_MAX:
            self.paragraph(text)
            return
        self._end_paragraphs()
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, text))
        self.first_heading = self.first_heading or text
        self._waiting.append(_Heading(path=self.section, location=self.location))

    def paragraph(self, text: str, *, gap: str = "\n\n") -> None:
        """Add a paragraph; `gap` separates it from the one before."""
        text = text.strip("\n").rstrip()
        if not text.strip():
            return
        above = self._take_headings()
        if not self._paragraphs:
            self._start = above[-1].location if above and not self.locates_text else self.location
        for each in (*(heading.path[-1] for heading in above), text):
            self._paragraphs += [gap if each is text else "\n\n", each] if self._paragraphs else [each]

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table; its first row names the columns. A table of one row or one column becomes paragraphs."""
        lines = [line for line in map(row_line, rows) if line]
        if len(lines) < 2 or max(map(len, rows)) < 2:
            for line in lines:
                self.paragraph(line)
            return
        self.block("\n".join(lines), kind=PartKind.ROWS, header=lines[0])

    def block(self, text: str, *, kind: PartKind, header: str = "") -> None:
        """Add a part of its own: rows, of which the header may be the first, or code."""
        if not text.strip():
            return
        self._take_headings()
        self._end_paragraphs()
        self.built.add(text, kind=kind, section=self.section, header=header, location=self.location)

    def separate(self) -> None:
        """End the part of the paragraphs so far. Headings wait for what comes below them."""
        self._end_paragraphs()

    def document(self, document_id: str, *, title: str = "", metadata: Metadata | None = None) -> Document:
        """Return the document. Without a title, its first heading is the title. No section repeats the title."""
        self._end_section()
        title = (title or self.first_heading)[:TITLE_CHARACTERS_MAX]
        made = self.built.document(document_id, title=title, metadata=metadata)
        parts = tuple(
            replace(part, section=part.section[1:]) if part.section[:1] == (title,) else part for part in made.parts
        )
        return replace(made, parts=parts)

    def _take_headings(self) -> list[_Heading]:
        """Return the headings directly above what comes next; those before them have nothing below."""
        section = self.section
        start = len(self._waiting)
        while start and self._waiting[start - 1].path == section[: len(self._waiting[start - 1].path)]:
            start -= 1
        above = self._waiting[start:]
        self._add_empty(self._waiting[:start])
        self._waiting = []
        return above

    def _add_empty(self, headings: Sequence[_Heading]) -> None:
        if headings:
            levels = takewhile(
                lambda level: len(set(level)) == 1, zip(*(each.path[:-1] for each in headings), strict=False)
            )
            section = tuple(level[0] for level in levels)
            texts = (heading.path[-1] for heading in headings)
            self.built.add("\n\n".join(texts), section=section, location=headings[0].location)

    def _end_paragraphs(self) -> None:
        if self.built.characters > DOCUMENT_CHARACTERS_MAX:
            raise Unparsable(f"the file has more than {DOCUMENT_CHARACTERS_MAX:,} characters of text. Split it")
        self.built.add("".join(self._paragraphs), section=self.section, location=self._start)
        self._paragraphs = []

    def _end_section(self) -> None:
        self._end_paragraphs()
        self._add_empty(self._waiting)
        self._waiting = []
