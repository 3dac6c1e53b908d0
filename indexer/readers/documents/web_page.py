"""Reads an HTML page: its main content as sections, tables as rows, code as code.

Headings form the section of a part; the heading's own line opens the part's text. The anchor is the id of the nearest
element with an id at or above the heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import lxml.html

from winnow.indexer.readers.documents.html_blocks import Block, read_blocks
from winnow.indexer.readers.documents.html_choice import choose_blocks
from winnow.indexer.readers.documents.html_metadata import read_metadata
from winnow.indexer.readers.documents.html_source import PAGE_BYTES_MAX, decode_page, parse_page
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.limits import TITLE_CHARACTERS_MAX
from winnow.retrieval.records import Document, Location, PartKind

_SHORT_CODE_LINES: Final = 3  # code up to this size stays in the paragraph around it
_SHORT_CODE_CHARACTERS: Final = 240


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Read a page as one document."""
    size = source.path.stat().st_size
    if size > PAGE_BYTES_MAX:
        raise Unparsable(f"the page has {size} bytes; the limit is {PAGE_BYTES_MAX}. Split it into several pages")
    yield read_page(decode_page(source.path.read_bytes(), asked=source.encoding), source.name)


def read_page(text: str, document_id: str, *, has_title: bool = True) -> Document:
    """Read the text of a page. Raises `Unparsable`.

    Without `has_title` its only heading is a section, not the title: the page is part of something with a title.
    """
    tree = parse_page(text)
    metadata = read_metadata(tree)
    blocks = choose_blocks(read_blocks(tree), tree)
    headings = [block for block in blocks if block.level]
    title = _choose_title(metadata.title, headings)
    has_one_top = len(headings) == 1 or all(each.level > headings[0].level for each in headings[1:])
    sections = _Sections(title=(metadata.title or (title if has_one_top else "")) if has_title else "")
    for block in blocks:
        sections.add(block)
    sections.end_part()
    document = sections.text.document(document_id, title=title, metadata=metadata.fields)
    return replace(document, url=metadata.url)


@dataclass(frozen=True, slots=True)
class _Heading:
    block: Block
    anchor: str | None


@dataclass(slots=True)
class _Sections:
    """Groups blocks into parts: a part ends at each heading, and where prose, table and code meet."""

    title: str
    text: StructuredText = field(default_factory=StructuredText)
    path: list[_Heading] = field(default_factory=list)  # open headings, outermost first
    waiting: list[Block] = field(default_factory=list)  # blocks of the part that is being read

    def add(self, block: Block) -> None:
        if block.level:
            if not all(each.level for each in self.waiting):  # headings without text lead the next part
                self.end_part()
            self.path = [each for each in self.path if each.block.level < block.level]
            self.path.append(_Heading(block, _heading_anchor(block.element, self.path)))
            self.waiting.append(block)
            return
        if self.waiting and not all(each.level for each in self.waiting) and _kind(self.waiting[-1]) != _kind(block):
            self.end_part()
        if _kind(block) is PartKind.ROWS and self.waiting and not self.waiting[-1].level:
            self.end_part()  # two tables
        self.waiting.append(block)

    def end_part(self) -> None:
        """Write the part that is being read."""
        if not self.waiting:
            return
        last = self.waiting[-1]
        anchor = self.path[-1].anchor if self.path else _anchor_above(self.waiting[0].element)
        self.text.add(
            _join(self.waiting),
            kind=_kind(last),
            section=tuple(each.block.text for each in self.path if not _is_title(each.block.text, self.title)),
            header=last.header,
            location=Location(anchor=anchor),
        )
        self.waiting.clear()


def _kind(block: Block) -> PartKind:
    """The kind of part that a block belongs to: one or two lines of code stay with the prose around them."""
    is_short = block.text.count("\n") < _SHORT_CODE_LINES and len(block.text) <= _SHORT_CODE_CHARACTERS
    return PartKind.PROSE if block.kind is PartKind.CODE and is_short else block.kind


def _join(blocks: list[Block]) -> str:
    pieces = [blocks[0].text]
    for before, block in pairwise(blocks):
        is_close = (before.is_item and block.is_item) or block.kind is PartKind.ROWS
        pieces.append("\n" if is_close else "\n\n")
        pieces.append(block.text)
    return "".join(pieces)


def _choose_title(stated: str, headings: list[Block]) -> str:
    """The first heading if the page's title only adds the site's name to it, else the title."""
    if headings and (not stated or _squash(stated).startswith(_squash(headings[0].text) or " ")):
        return headings[0].text[:TITLE_CHARACTERS_MAX]
    return stated


def _is_title(heading: str, title: str) -> bool:
    return bool(title) and _squash(heading) in (_squash(title), *map(_squash, re.split(r"\s+[|·—–:»-]+\s+", title)))


def _squash(text: str) -> str:
    return re.sub(r"\W+", "", text).lower()


def _heading_anchor(heading: lxml.html.HtmlElement, path: list[_Heading]) -> str | None:
    """The id of the heading, or of what is nearest above it: an element around it, or the heading of its section."""
    before = heading.getprevious()
    named_before = [before] if before is not None and before.tag == "a" and not before.text_content().strip() else []
    for each in (heading, *heading.iterdescendants("a", "span"), *named_before):
        if found := _id(each):
            return found
    outer = path[-1] if path else None
    for element in heading.iterancestors():
        if found := _id(element):
            is_nearer = outer is None or outer.anchor is None or element not in outer.block.element.iterancestors()
            return found if is_nearer or outer is None else outer.anchor
    return outer.anchor if outer else None


def _anchor_above(element: lxml.html.HtmlElement) -> str | None:
    return next((found for each in (element, *element.iterancestors()) if (found := _id(each))), None)


def _id(element: lxml.html.HtmlElement) -> str | None:
    found = element.get("id") or (element.get("name") if element.tag == "a" else None)
    return found.strip() or None if found else None
