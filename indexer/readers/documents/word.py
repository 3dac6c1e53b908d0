"""Parses Word files (DOCX).

Read: the body in reading order, with sections from headings of any language, lists, tables, text boxes (after the
paragraph that anchors them), results of fields, tracked insertions, and footnotes and endnotes (at the end of their
section). Left out: tracked deletions, hidden text, comments, numbers of lists and headings (Word computes them),
headers and footers (they repeat on each page), and the table of contents (it repeats the headings). A place is a
section: Word files do not contain page numbers, only the breaks of the last rendering, which other programs do not
write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.outline import Outline
from winnow.indexer.readers.documents.package import (
    Package,
    attribute,
    child,
    core_properties,
    descendants,
    local_name,
    open_package,
)
from winnow.indexer.readers.parser import Parsed, SourceFile

_WHAT: Final = "a Word document (DOCX)"
_STYLES_DEPTH_MAX: Final = 20  # styles that build on one another; a circle ends here
_CELLS_SPANNED_MAX: Final = 64  # columns that one cell spans; Word allows 63 columns
_BODY_TEXT: Final = 9  # outline level (from 0) of text that is no heading
_WRAPPERS: Final = frozenset(
    {"sdt", "sdtContent", "ins", "moveTo", "smartTag", "customXml", "hyperlink", "fldSimple", "dir", "bdo", "r"}
)
_HEADING_NAME: Final = re.compile(
    r"(?:heading|überschrift|titre|título|titolo|kop|rubrik|overskrift|nagłówek|nadpis|заголовок|标题|標題|見出し"
    r"|제목)\s*([1-9])",
    re.IGNORECASE,
)
_CONTENTS_NAME: Final = re.compile(r"toc (?:[1-9]|heading)", re.IGNORECASE)
_NOTES: Final = {"footnoteReference": "footnote", "endnoteReference": "endnote"}
_CHARACTERS: Final = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    name: str = ""
    level: int | None = None  # of its heading, from 1
    is_hidden: bool = False
    is_list: bool = False


@dataclass(slots=True, kw_only=True)
class _Reader:
    styles: dict[str, _Style]
    notes: dict[tuple[str, str], etree._Element]  # by kind and id
    outline: Outline = field(default_factory=Outline)
    title: str = ""
    _noted: list[etree._Element] = field(default_factory=list)  # notes of this section

    def read(self, container: etree._Element) -> None:
        """Read paragraphs and tables in order."""
        for block in _blocks(container):
            if local_name(block) == "p":
                self._paragraph(block)
            else:
                self.outline.rows(self._rows(block))

    def end_section(self) -> None:
        noted, self._noted = self._noted, []
        for note in noted:
            self.outline.paragraph(self._cell(note))

    def _paragraph(self, paragraph: etree._Element) -> None:
        properties = child(paragraph, "pPr")
        style = self.styles.get(_value(child(properties, "pStyle")) or "", _Style())
        boxes: list[etree._Element] = []
        text = "".join(self._inline(paragraph, boxes)).strip()
        level = _outline_level(properties) or style.level
        if _CONTENTS_NAME.fullmatch(style.name):
            return
        if style.name.lower() == "title" and not self.title and text:
            self.title = " ".join(text.split())
        if level is not None and level <= _BODY_TEXT and text:
            self.end_section()
            self.outline.heading(level, text)
        elif style.is_list or child(properties, "numPr") is not None:
            indent = "  " * _list_level(properties)
            self.outline.paragraph(f"{indent}- {text}" if text else "", gap="\n")
        else:
            self.outline.paragraph(text)
        for box in boxes:
            self.read(box)

    def _inline(self, element: etree._Element, boxes: list[etree._Element]) -> Iterator[str]:
        """Yield the visible text of a paragraph; collect its text boxes, and its notes for the end of the section."""
        for each in element:
            name = local_name(each)
            if name == "t":
                yield each.text or ""
            elif name in _CHARACTERS:
                yield "" if attribute(each, "type") in {"page", "column"} else _CHARACTERS[name]
            elif name in _NOTES:
                note = self.notes.get((_NOTES[name], attribute(each, "id") or ""))
                self._noted += [note] if note is not None else []
            elif name in {"drawing", "pict", "object"}:
                boxes += list(_text_boxes(each))
            elif name == "AlternateContent":
                yield from self._inline(each[0], boxes) if len(each) else ()  # the first choice; others repeat it
            elif name in {"oMath", "oMathPara"}:
                yield "".join(text.text or "" for text in descendants(each, "t"))
            elif name == "ruby":
                base = child(each, "rubyBase")
                yield from self._inline(base, boxes) if base is not None else ()
            elif name in _WRAPPERS and not (name == "r" and self._is_hidden(each)):
                yield from self._inline(each, boxes)

    def _is_hidden(self, run: etree._Element) -> bool:
        properties = child(run, "rPr")
        vanish = child(properties, "vanish")
        if vanish is not None:
            return _is_on(vanish)
        return self.styles.get(_value(child(properties, "rStyle")) or "", _Style()).is_hidden

    def _rows(self, table: etree._Element) -> list[list[str]]:
        """Return a table's cells. A cell that spans columns stands once, one that spans rows in each of them."""
        rows: list[list[str]] = []
        for row in _children(table, "tr"):
            if child(row, "trPr", "del") is not None:
                continue
            cells: list[str] = []
            for cell in _children(row, "tc"):
                merge = child(cell, "tcPr", "vMerge")
                continues = merge is not None and _value(merge) != "restart" and rows and len(cells) < len(rows[-1])
                cells.append(rows[-1][len(cells)] if continues else self._cell(cell))
                span = _value(child(cell, "tcPr", "gridSpan")) or ""
                cells += [""] * (min(int(span), _CELLS_SPANNED_MAX) - 1 if span.isdecimal() else 0)
            rows.append(cells)
        return rows

    def _cell(self, container: etree._Element) -> str:
        """Return the text of a cell or note, with its nested tables, as one line."""
        pieces: list[str] = []
        for block in _blocks(container):
            if local_name(block) == "p":
                boxes: list[etree._Element] = []
                pieces += ["".join(self._inline(block, boxes)), *map(self._cell, boxes)]
            else:
                pieces += [cell for row in self._rows(block) for cell in row]
        return " ".join(" ".join(pieces).split())


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield the document of a Word file."""
    with open_package(source.path, _WHAT) as package:
        member, root = package.main("document", _WHAT)
        reader = _Reader(styles=_read_styles(package, member), notes=_read_notes(package, member))
        for body in _children(root, "body"):
            reader.read(body)
        reader.end_section()
        embedded = sum(1 for _ in descendants(root, "altChunk"))
        properties = core_properties(package)
    title = properties.title or reader.title
    if embedded:
        yield Refused(reason=f"{embedded} documents within the document were not read", id=f"{source.name}#embedded")
    yield reader.outline.document(source.name, title=title, metadata=properties.metadata)


def _blocks(container: etree._Element) -> Iterator[etree._Element]:
    """Yield paragraphs and tables, also those in content controls and tracked insertions, in order."""
    for each in container:
        name = local_name(each)
        if name in {"p", "tbl"}:
            yield each
        elif name == "AlternateContent":
            yield from _blocks(each[0] if len(each) else each)
        elif name in _WRAPPERS and _value(child(each, "sdtPr", "docPartObj", "docPartGallery")) != "Table of Contents":
            yield from _blocks(each)


def _children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield the children with this name, also those in content controls."""
    for each in element:
        if local_name(each) == name:
            yield each
        elif local_name(each) in _WRAPPERS:
            yield from _children(each, name)


def _text_boxes(drawing: etree._Element) -> Iterator[etree._Element]:
    """Yield the contents of a drawing's text boxes; boxes within boxes are read with the outer ones."""
    for content in descendants(drawing, "txbxContent"):
        above = (each for each in content.iterancestors() if local_name(each) in {"txbxContent", "Fallback"})
        outer = next(above, None)
        if outer is None or not any(each is drawing for each in outer.iterancestors()):
            yield content


def _read_styles(package: Package, member: str) -> dict[str, _Style]:
    elements: dict[str, etree._Element] = {}
    for part in package.related(member, "styles"):
        elements |= {attribute(each, "styleId") or "": each for each in _children(package.tree(part), "style")}
    return {style_id: _read_style(style_id, elements) for style_id in elements}


def _read_style(style_id: str, elements: dict[str, etree._Element]) -> _Style:
    """Return a style with what it inherits."""
    name = _value(child(elements[style_id], "name")) or ""
    level: int | None = None
    is_hidden = is_list = False
    current = elements.get(style_id)
    for _ in range(_STYLES_DEPTH_MAX):
        if current is None:
            break
        named = _HEADING_NAME.fullmatch(_value(child(current, "name")) or "")
        level = level or (int(named[1]) if named else _outline_level(child(current, "pPr")))
        is_hidden = is_hidden or _is_on(child(current, "rPr", "vanish"))
        is_list = is_list or child(current, "pPr", "numPr") is not None
        current = elements.get(_value(child(current, "basedOn")) or "")
    return _Style(name=name, level=level, is_hidden=is_hidden, is_list=is_list)


def _read_notes(package: Package, member: str) -> dict[tuple[str, str], etree._Element]:
    found: dict[tuple[str, str], etree._Element] = {}
    for kind in _NOTES.values():
        for part in package.related(member, f"{kind}s"):
            for note in _children(package.tree(part), kind):
                if attribute(note, "type") in {None, "normal"}:  # the others are separators
                    found[kind, attribute(note, "id") or ""] = note
    return found


def _outline_level(properties: etree._Element | None) -> int | None:
    """Return the level of a heading, from 1; 10 for text, None if nothing is set."""
    value = _value(child(properties, "outlineLvl")) or ""
    return int(value) + 1 if value.isdecimal() and int(value) <= _BODY_TEXT else None


def _list_level(properties: etree._Element | None) -> int:
    value = _value(child(properties, "numPr", "ilvl")) or ""
    return min(int(value), _BODY_TEXT) if value.isdecimal() else 0


def _value(element: etree._Element | None) -> str | None:
    return None if element is None else attribute(element, "val")


def _is_on(element: etree._Element | None) -> bool:
    return element is not None and (_value(element) or "true") not in {"0", "false", "off"}
