"""Parses books (EPUB 2 and 3).

Chapters are read in the order of the spine. The section is the entry of the table of contents (navigation document or
NCX), with the headings of the chapter below it; the anchor is the file within the book, with the nearest id at or above
the text. The table of contents itself is left out. Nothing is decrypted: a protected book is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

import lxml.html
from lxml import etree

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.html_blocks import Block, read_blocks
from winnow.indexer.readers.documents.html_source import PAGE_BYTES_MAX, decode_page, parse_page
from winnow.indexer.readers.documents.outline import Outline
from winnow.indexer.readers.documents.package import (
    Package,
    all_text,
    attribute,
    child,
    descendants,
    iso_date,
    local_name,
    open_package,
    resolve,
    short_fields,
)
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.records import JsonValue, Location, PartKind

_WHAT: Final = "an EPUB book"
_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_FONT_OBFUSCATION: Final = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
_PAGES: Final = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})
_ID_CHARACTERS_MAX: Final = 500  # characters; a longer id is no place that a person can use
_DEPTH_MAX: Final = 16  # levels of the table of contents

Contents = dict[str, dict[str, tuple[str, ...]]]  # file -> fragment (empty: its start) -> section


@dataclass(slots=True, kw_only=True)
class _Book:
    title: str = ""
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)  # files in reading order
    contents: Contents = field(default_factory=dict)
    without_contents: str = ""  # why the table of contents could not be read


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield the document of a book; report chapters that cannot be read."""
    outline = Outline()
    with open_package(source.path, _WHAT) as package:
        book = _open_book(package)
        _refuse_protected(package, book.pages)
        if book.without_contents:
            yield Refused(reason=f"table of contents: {book.without_contents}", id=f"{source.name}#contents")
        above: tuple[str, ...] = ()
        for member in book.pages:
            try:
                content = _read_page(package, member)
            except Unparsable as error:
                yield Refused(reason=f"{member}: {error}", id=f"{source.name}#{member}")
            else:
                above = _add_page(outline, content, member, book.contents.get(member, {}), above)
    yield outline.document(source.name, title=book.title, metadata=book.metadata)


def _open_book(package: Package) -> _Book:
    if _CONTAINER not in package:
        raise Unparsable(f"the file is not {_WHAT}: {_CONTAINER} is missing")
    entries = [unquote(each.get("full-path") or "") for each in descendants(package.tree(_CONTAINER), "rootfile")]
    member = next((each for each in entries if each.endswith(".opf")), entries[0] if entries else "")
    root = package.tree(member, may_name_dtd=True)
    folder = posixpath.dirname(member)
    items = {each.get("id") or "": each for each in descendants(root, "item")}
    files = {identifier: _target(folder, each.get("href") or "")[0] for identifier, each in items.items()}
    spine = next(descendants(root, "spine"), None)
    order = [each.get("idref") or "" for each in descendants(root, "itemref")]
    navigation = [each for each, item in items.items() if "nav" in (item.get("properties") or "").split()]
    pages = [
        files[each]
        for each in order
        if each in items and each not in navigation and items[each].get("media-type") in _PAGES
    ]
    book = _Book(pages=list(dict.fromkeys(pages)))
    book.title, book.metadata = _read_metadata(root)
    ncx = files.get((spine.get("toc") if spine is not None else None) or "", "")
    try:
        _read_contents(package, book, files[navigation[0]] if navigation else "", ncx)
    except Unparsable as error:
        book.without_contents = str(error)
    return book


def _read_contents(package: Package, book: _Book, navigation: str, ncx: str) -> None:
    """Take the table of contents from the navigation document, else from the NCX."""
    if navigation in package:
        _read_navigation(_read_page(package, navigation), posixpath.dirname(navigation), book)
    if not book.contents and ncx in package:
        points = next(descendants(package.tree(ncx, may_name_dtd=True), "navMap"), None)
        if points is not None:
            _read_points(points, posixpath.dirname(ncx), (), book.contents)


def _read_metadata(root: etree._Element) -> tuple[str, dict[str, JsonValue]]:
    values: dict[str, list[str]] = {}
    metadata = child(root, "metadata")
    for each in metadata.iterdescendants() if metadata is not None else ():
        text = " ".join(all_text(each).split())
        if text:
            values.setdefault(local_name(each), []).append(text)
    first = {name: texts[0] for name, texts in values.items()}
    fields = short_fields(
        author=", ".join(values.get("creator", [])),
        date=iso_date(first.get("date", "")),
        language=first.get("language", ""),
        publisher=first.get("publisher", ""),
    )
    return first.get("title", ""), fields


def _read_navigation(page: lxml.html.HtmlElement, folder: str, book: _Book) -> None:
    """Take the table of contents from a navigation document."""
    navigations = list(page.iter("nav"))
    chosen = [each for each in navigations if "toc" in (each.get("epub:type") or "").split()] or navigations[:1]
    for navigation in chosen:
        for entries in navigation.iterchildren("ol"):
            _read_entries(entries, folder, (), book.contents)


def _read_entries(entries: etree._Element, folder: str, above: tuple[str, ...], contents: Contents) -> None:
    for entry in entries.iterchildren("li"):
        label = next(entry.iterchildren("a", "span"), None)
        title = " ".join(all_text(label).split()) if label is not None else ""
        path = (*above, title) if title else above
        if label is not None and label.get("href"):
            file, fragment = _target(folder, label.get("href") or "")
            contents.setdefault(file, {}).setdefault(fragment, path)
        for deeper in entry.iterchildren("ol"):
            if len(path) < _DEPTH_MAX:
                _read_entries(deeper, folder, path, contents)


def _read_points(points: etree._Element, folder: str, above: tuple[str, ...], contents: Contents) -> None:
    """Take the table of contents from an NCX."""
    for point in (each for each in points if local_name(each) == "navPoint"):
        label, content = child(point, "navLabel", "text"), child(point, "content")
        title = " ".join(all_text(label).split()) if label is not None else ""
        path = (*above, title) if title else above
        if content is not None:
            file, fragment = _target(folder, attribute(content, "src") or "")
            contents.setdefault(file, {}).setdefault(fragment, path)
        if len(path) < _DEPTH_MAX:
            _read_points(point, folder, path, contents)


def _refuse_protected(package: Package, pages: list[str]) -> None:
    """Raise `Unparsable` if chapters are encrypted; fonts often are, which does no harm."""
    if _ENCRYPTION not in package:
        return
    for entry in descendants(package.tree(_ENCRYPTION), "EncryptedData"):
        method = child(entry, "EncryptionMethod")
        algorithm = attribute(method, "Algorithm") if method is not None else None
        files = {resolve("", unquote(each.get("URI") or "")) for each in descendants(entry, "CipherReference")}
        if algorithm not in _FONT_OBFUSCATION and files & set(pages):
            raise Unparsable("the book is protected (DRM): its chapters are encrypted")


def _read_page(package: Package, member: str) -> lxml.html.HtmlElement:
    return parse_page(decode_page(package.read(member, bytes_max=PAGE_BYTES_MAX)))


def _add_page(
    outline: Outline,
    page: lxml.html.HtmlElement,
    member: str,
    contents: dict[str, tuple[str, ...]],
    above: tuple[str, ...],
) -> tuple[str, ...]:
    """Add a file's text; returns the section of the table of contents that it ends in."""
    blocks = read_blocks(page).blocks
    anchors, sections = _places(page, [block.element for block in blocks], contents)
    above = contents.get("", above)
    starts = [0, *sorted(sections)]
    for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True):
        above = sections.get(start, above)
        region = blocks[start:end]
        heading = next((block for block in region if block.level), None)
        is_repeated = heading is not None and above and _squash(heading.text) == _squash(above[-1])
        outline.go_on(above[:-1] if is_repeated else above)
        for place, block in enumerate(region, start=start):
            anchor = anchors[place]
            outline.location = Location(anchor=f"{member}#{anchor}" if anchor else member)
            _add_block(outline, block, is_close=place > start and blocks[place - 1].is_item)
    return above


def _add_block(outline: Outline, block: Block, *, is_close: bool) -> None:
    if block.level:
        outline.heading(block.level, block.text)
    elif block.kind is PartKind.PROSE:
        outline.paragraph(block.text, gap="\n" if is_close and block.is_item else "\n\n")
    else:
        outline.block(block.text, kind=block.kind, header=block.header)


def _places(
    page: lxml.html.HtmlElement, elements: list[lxml.html.HtmlElement], contents: dict[str, tuple[str, ...]]
) -> tuple[list[str], dict[int, tuple[str, ...]]]:
    """Return the nearest id at or above each block, and the sections that begin at a block.

    An id within a block, such as that of an empty link in a heading, is the block's.
    """
    blocks = {element: place for place, element in reversed(list(enumerate(elements)))}
    anchors = [""] * len(elements)
    sections: dict[int, tuple[str, ...]] = {}
    named: set[int] = set()  # blocks with an id of their own
    anchor, passed, within = "", -1, -1
    for event, element in etree.iterwalk(page, events=("start", "end")):
        if event == "end":
            within = -1 if blocks.get(element) == within else within
            continue
        if element in blocks:
            passed = within = blocks[element]
        identifier = element.get("id") or (element.get("name") if element.tag == "a" else None)
        if identifier and len(identifier) <= _ID_CHARACTERS_MAX:
            anchor = identifier
            if identifier in contents:
                sections.setdefault(within if within >= 0 else passed + 1, contents[identifier])
        if element in blocks or (within >= 0 and identifier and within not in named):
            anchors[within] = anchor
            named |= {within} if identifier else set()
    for place in range(1, len(anchors)):
        anchors[place] = anchors[place] or anchors[place - 1]
    return anchors, {place: section for place, section in sections.items() if place < len(elements)}


def _target(folder: str, reference: str) -> tuple[str, str]:
    """Return file and fragment of a reference."""
    path, _, fragment = reference.partition("#")
    return resolve(folder, unquote(path)), unquote(fragment)


def _squash(text: str) -> str:
    return re.sub(r"\W+", "", text).lower()
