"""Reads an XML document: the text of its elements, under the headings or names of those around them.

Entities are not expanded, no DTD and no other file is loaded, and depth and sizes are libxml2's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from winnow.indexer.readers.documents.safe_xml import XML_SAFETY
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX
from winnow.retrieval.records import Location

XML_BYTES_MAX: Final = 64_000_000  # bytes; a tree takes about five times as much
PART_CHARACTERS_MAX: Final = 4_000  # characters of neighbours that are joined into one part
_HEADINGS: Final = frozenset({"title", "head", "heading", "name", "caption"})
_PROSE: Final = frozenset({"p", "para", "simpara", "text", "li", "item", "term", "td", "entry", "quote", "verse", "l"})
_LABELLED_CHARACTERS_MAX: Final = 200  # characters; a longer text is prose, and its element's name says little
_HEADING_CHARACTERS_MAX: Final = 200
_SECTION_LEVELS_MAX: Final = 16
_PATH_CHARACTERS_MAX: Final = 500
_UNTOLD: Final = frozenset({"class", "style", "space", "schemaLocation", "noNamespaceSchemaLocation"})


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield the file as one document."""
    with source.path.open("rb") as stream:
        content = stream.read(XML_BYTES_MAX + 1)
    if len(content) > XML_BYTES_MAX:
        raise Unparsable(
            f"the XML file is longer than {XML_BYTES_MAX} bytes; index its records one by one with --records-path"
        )
    reader = _Reader()
    root = parse_tree(content, encoding=source.encoding)
    reader.read(root)
    language = root.get("{http://www.w3.org/XML/1998/namespace}lang") or root.get("lang")
    metadata = {"language": language[:40]} if language else {}
    yield reader.built.document(source.name, title=_heading(root), metadata=metadata)


def parse_tree(content: bytes, *, encoding: str | None = None) -> etree._Element:
    """Parse a whole document. Raises `Unparsable`."""
    parser = etree.XMLParser(
        encoding=None if content.startswith(b"<?xml") else encoding,
        **XML_SAFETY,
    )
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        line = f" in line {error.lineno}" if error.lineno else ""
        raise Unparsable(f"not well-formed XML{line}: {error.msg}") from error
    except (LookupError, ValueError) as error:
        raise Unparsable(f"not XML: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """An element around a text."""

    section: tuple[str, ...] = ()
    path: str = ""  # names from the root on, with dots; `item[2]` is the second of its name

    def inside(self, heading: str, name: str) -> _Place:
        above = self.section[: _SECTION_LEVELS_MAX - 1]
        return _Place(section=(*above, heading), path=f"{self.path}.{name}"[-_PATH_CHARACTERS_MAX:])


class _Reader:
    """Walks a tree in reading order. Rule: libxml2 bounds the depth at 256, so it may recurse."""

    def __init__(self) -> None:
        self.built = StructuredText()
        self._texts: list[str] = []
        self._characters = 0
        self._place = _Place()

    def read(self, root: etree._Element) -> None:
        place = _Place(path=_name(root))
        if _is_text(root):
            self._add_text(root, place)
        else:
            self._add_element(root, place)
        self._end_part()

    def _add_element(self, element: etree._Element, place: _Place) -> None:
        """Add what is inside an element that has no text of its own."""
        self._add_attributes(element, place)
        seen: Counter[str] = Counter()
        for child in element:
            if _is_text(child):
                self._add_text(child, place)
                continue
            name = _name(child)
            seen[name] += 1
            numbered = f"{name}[{seen[name]}]" if seen[name] > 1 else name
            self._add_element(child, place.inside(_heading(child) or name, numbered))

    def _add_text(self, element: etree._Element, place: _Place) -> None:
        """Add an element with text, and whatever stands inside it."""
        self._add_attributes(element, place)
        text = _text(element)
        name = _name(element)
        is_prose = name.lower() in _PROSE | _HEADINGS or len(text) > _LABELLED_CHARACTERS_MAX or len(element) > 0
        if text:
            self._add(text if is_prose else f"{name}: {text}", place)

    def _add_attributes(self, element: etree._Element, place: _Place) -> None:
        for key, value in element.attrib.items():
            name = etree.QName(str(key)).localname
            if name not in _UNTOLD and (told := " ".join(str(value).split())):
                self._add(f"{_name(element)} {name}: {told}", place)

    def _add(self, text: str, place: _Place) -> None:
        if place != self._place or self._characters + len(text) > PART_CHARACTERS_MAX:
            self._end_part()
        self._place = place
        self._texts.append(text)
        self._characters += len(text)

    def _end_part(self) -> None:
        if self.built.characters > DOCUMENT_CHARACTERS_MAX:
            raise Unparsable(
                f"the file has more than {DOCUMENT_CHARACTERS_MAX} characters of text; "
                "index its records one by one with --records-path"
            )
        location = Location(symbol=self._place.path)
        self.built.add("\n".join(self._texts), section=self._place.section, location=location)
        self._texts, self._characters = [], 0


def _is_text(element: etree._Element) -> bool:
    """Whether it holds text of its own, between or without elements; or nothing at all."""
    if len(element) == 0:
        return True
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _text(element: etree._Element) -> str:
    """The text inside, on one line; of an entity, its name."""
    return " ".join("".join(_pieces(element)).split())


def _pieces(element: etree._Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        yield from _pieces(child)
        yield child.tail or ""


def _heading(element: etree._Element) -> str:
    """Text of a child that names the element."""
    for child in element:
        if _name(child).lower() in _HEADINGS and _is_text(child):
            return _text(child)[:_HEADING_CHARACTERS_MAX]
    return ""


def _name(element: etree._Element) -> str:
    tag: Any = element.tag  # of an entity, a function
    return etree.QName(tag).localname[:_HEADING_CHARACTERS_MAX] if isinstance(tag, str) else ""
