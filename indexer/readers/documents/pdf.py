"""Reads a PDF file page by page: each page is a part, divided where an entry of the outline begins.

A page without text is refused by its number, and the others still become the document. A document that exceeds the
limit of one becomes several, `name#pages-1-500`. Memory holds a few pages and the text of one document.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Final

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.pdf_furniture import without_furniture
from winnow.indexer.readers.documents.pdf_layout import HYPHEN, Column, Fragment, join_paragraphs, order_lines
from winnow.indexer.readers.documents.pdf_page import (
    Bookmark,
    Page,
    clean,
    open_pdf,
    read_bookmarks,
    read_fields,
    read_page,
)
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX, TITLE_CHARACTERS_MAX
from winnow.retrieval.records import Document, Location, Metadata

_VALUE_CHARACTERS_MAX: Final = 1000
_PLAUSIBLE_TITLE: Final = re.compile(
    r"(?!.*\.(?:docx?|pdf|indd|tex|dvi|qxd|pptx?|xlsx?|odt|rtf|html?|txt|wps)$)"
    r"(?!(?:Microsoft (?:Word|PowerPoint|Excel)|PowerPoint Presentation|untitled|unknown|anonymous|\(anonymous\)|"
    r"unspecified|\(unspecified\)|none|title|slide \d+|document ?\d*|无标题.*|未命名.*|文档 ?\d*|幻灯片 ?\d+)\b)"
    r".*\w.*\w.*",
    re.IGNORECASE | re.DOTALL,
)
_DATE: Final = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(Z)|([+-])(\d\d)'?(\d\d)?)?")
_NAME_OCR: Final = "it is an image; name an OCR program with --ocr-command"
_TITLE_RATIO: Final = 1.2  # of the height of a title to that of the text


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Read a file as one document, or as several if it is longer than one may be."""
    with open_pdf(source.path) as document:
        reading = _Reading(name=source.name, fields=read_fields(document), outline=_Outline(read_bookmarks(document)))
        has_refused = False
        refused: list[Refused] = []  # until there is text: a file of images only has one reason
        for page in without_furniture(read_page(document, number) for number in range(1, len(document) + 1)):
            reason = page.refusal
            is_image = reason is None and page.is_picture and not page.fragments
            if is_image:
                reason = f"no text, page {page.number}: {_NAME_OCR}"
            if reason is not None:
                named, number = f"{source.name}#page-{page.number}", page.number if is_image else None
                refused.append(Refused(reason=reason, id=named, page=number))
            elif (ended := reading.add(page)) is not None:
                yield ended
            if reading.has_text or source.has_ocr:
                has_refused |= bool(refused)
                yield from refused
                refused.clear()
        if reading.has_text:
            yield reading.end()
        elif not has_refused:
            raise Unparsable(_no_text(len(document), refused))


def _no_text(pages: int, refused: list[Refused]) -> str:
    if not refused:
        return f"no text: {'the page is' if pages == 1 else f'all {pages} pages are'} blank"
    if all(_NAME_OCR in each.reason for each in refused):
        return f"no text: {len(refused)} of {pages} pages are images; name an OCR program with --ocr-command"
    return f"no text: {refused[0].reason}" if pages == 1 else f"no text on any of {pages} pages: {refused[0].reason}"


@dataclass(slots=True, kw_only=True)
class _Reading:
    """The document that is being read."""

    name: str
    fields: Mapping[str, str]
    outline: _Outline
    text: StructuredText = field(default_factory=StructuredText)
    title: str | None = None  # None: no page has been read
    first_page: int = 0
    last_page: int = 0
    has_text: bool = False
    is_divided: bool = False

    def add(self, page: Page) -> Document | None:
        """Add a page. Returns the document before it if both exceed the limit."""
        columns = order_lines(page.fragments)
        pieces = [(section, join_paragraphs(lines)) for section, lines in self.outline.divide(page.number, columns)]
        pieces = [(section, text) for section, text in pieces if text.strip()]
        if not pieces:
            return None
        if self.title is None:
            self.title = self._choose_title(columns)
        ended = None
        if self.text.characters + sum(len(text) + 2 for _, text in pieces) > DOCUMENT_CHARACTERS_MAX:
            self.is_divided = True
            ended = self.end()
            self.text = StructuredText()
        if not self.text.parts:
            self.first_page = page.number
        self.last_page = page.number
        self.has_text = True
        for section, text in pieces:
            path = tuple(each for each in section if each != self.title)
            self.text.add(text, section=path, location=Location(page=page.number))
        return ended

    def end(self) -> Document:
        """Return the document of the pages since the last one."""
        pages = f"#pages-{self.first_page}-{self.last_page}" if self.is_divided else ""
        return self.text.document(f"{self.name}{pages}", title=self.title or "", metadata=_metadata(self.fields))

    def _choose_title(self, columns: list[Column]) -> str:
        stated = self.fields.get("Title", "")[:_VALUE_CHARACTERS_MAX]
        if not _PLAUSIBLE_TITLE.fullmatch(stated) or "\ufffd" in stated:
            stated = _largest_line(columns) or self.outline.first_title
        return stated[:TITLE_CHARACTERS_MAX]


@dataclass(slots=True)
class _Outline:
    """The outline's entries and the section that is open."""

    bookmarks: list[Bookmark]
    path: list[Bookmark] = field(default_factory=list)
    _by_page: dict[int, list[Bookmark]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_page = defaultdict(list)
        for bookmark in self.bookmarks:
            self._by_page[bookmark.page].append(bookmark)

    @property
    def first_title(self) -> str:
        return self.bookmarks[0].title if self.bookmarks else ""

    def divide(self, page: int, columns: list[Column]) -> Iterator[tuple[tuple[str, ...], list[Column]]]:
        """Divide a page where entries of the outline begin, and yield each piece with its section.

        An entry whose title is not on the page begins with the page, or with the entry before it.
        """
        places = [(column, line) for column, each in enumerate(columns) for line in range(len(each.lines))]
        begin = headings_end = 0
        for bookmark in self._by_page.get(page, ()):
            found = _find_heading(bookmark.title, columns, places, headings_end)
            if found is not None:
                if found[0] > headings_end or headings_end == 0:
                    yield self.section, _between(columns, places, begin, found[0])
                    begin = found[0]
                headings_end = found[1]
            self.path = [*(each for each in self.path if each.level < bookmark.level), bookmark]
        yield self.section, _between(columns, places, begin, len(places))

    @property
    def section(self) -> tuple[str, ...]:
        return tuple(bookmark.title for bookmark in self.path)


def _find_heading(
    title: str, columns: list[Column], places: list[tuple[int, int]], start: int
) -> tuple[int, int] | None:
    """Find the line or lines that consist of this title: from where to where."""
    wanted = _squash(title)
    for first in range(start, len(places)):
        written = ""
        for last in range(first, len(places)):
            column, line = places[last]
            written += _squash(columns[column].lines[line].text)
            if wanted and written == wanted:
                return first, last + 1
            if not written or not wanted.startswith(written):
                break
    return None


def _between(columns: list[Column], places: list[tuple[int, int]], begin: int, end: int) -> list[Column]:
    """The lines from one place to another, by column."""
    lines: dict[int, list[Fragment]] = defaultdict(list)
    for column, line in places[begin:end]:
        lines[column].append(columns[column].lines[line])
    return [Column(tuple(each)) for each in lines.values()]


def _largest_line(columns: list[Column]) -> str:
    """The heading of a first page: its highest line, if that is clearly larger than the text."""
    lines = [line for column in columns for line in column.lines if len(line.text.strip()) > 1]
    if len(lines) < 2:
        return ""
    largest = max(lines, key=lambda line: line.height)
    usual = median(line.height for line in lines)
    return clean(largest.text) if largest.height >= _TITLE_RATIO * usual and len(largest.text) <= 200 else ""


def _metadata(fields: Mapping[str, str]) -> Metadata:
    named = {
        "author": fields.get("Author", ""),
        "date": normalize_date(fields.get("ModDate", "")) or normalize_date(fields.get("CreationDate", "")),
        "language": fields.get("Language", ""),
        "subject": fields.get("Subject", ""),
        "keywords": fields.get("Keywords", ""),
    }
    return {
        name: value[:_VALUE_CHARACTERS_MAX]
        for name, value in named.items()
        if value and value.lower() not in ("anonymous", "(anonymous)", "unspecified", "(unspecified)", "unknown")
    }


def normalize_date(value: str) -> str:
    """Return a PDF date as ISO 8601, in UTC if it has a time and an offset; empty if it is none."""
    found = _DATE.match(value)
    if found is None:
        return ""
    year, month, day, hour, minute, second, zulu, sign, hours, minutes = found.groups()
    offset = "+00:00" if zulu else f"{sign}{hours}:{minutes or '00'}" if sign else ""
    date = f"{year}-{month or '01'}-{day or '01'}"
    try:
        moment = datetime.fromisoformat(f"{date}T{hour or '00'}:{minute or '00'}:{second or '00'}{offset}")
    except ValueError:
        return ""
    if hour is None:
        return date
    return (moment.astimezone(UTC) if moment.tzinfo else moment).isoformat()


def _squash(text: str) -> str:
    return re.sub(r"\W+", "", text.replace(HYPHEN, "")).lower()
