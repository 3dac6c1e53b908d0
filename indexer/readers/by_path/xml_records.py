"""Reads the records of an XML file at a path, whatever the size of the file.

Attributes and child elements are fields. Entities are not expanded, and nothing else is loaded.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from winnow.indexer.corpus import Place
from winnow.indexer.decoding.encodings import find_codec
from winnow.indexer.decoding.streams import TextSource
from winnow.indexer.readers.by_path.json_records import with_dotted_names
from winnow.indexer.readers.documents.safe_xml import XML_SAFETY
from winnow.indexer.readers.jsonl import JsonCorpus
from winnow.indexer.readers.naming.naming import SourceRecord
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.records import JsonValue

_BLOCK_BYTES: Final = 1 << 16
_DECLARED: Final = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.-]{1,40})[\"']")


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlPathCorpus(JsonCorpus):
    """The elements at a path, each a document. A record's line is the one its element begins on."""

    steps: tuple[str, ...]
    is_from_root: bool = False
    shown_path: str = ""  # as it was typed

    def records(self) -> Iterator[SourceRecord]:
        count = 0
        try:
            source = TextSource(path=self.path, encoding=self.encoding or self._declared(), stopped=self.stopped)
            with source.opened(on_encoding=self.detected.append) as (raw, stream):
                reader = _Records(self.steps, is_from_root=self.is_from_root, bytes_max=self.record_bytes_max)
                while block := stream.read(_BLOCK_BYTES):
                    for line, content in reader.feed(block):
                        count += 1
                        place = Place(source=self.name, line=line)
                        record = SourceRecord(content=content, place=place, position=raw.tell(), size=len(block))
                        yield with_dotted_names(record, self.fields.chosen)
                reader.close()
        except etree.XMLSyntaxError as error:
            raise CorpusUnreadable(f"{self.path}: not well-formed XML in line {error.lineno}: {error.msg}") from error
        except CorpusUnreadable as error:
            raise CorpusUnreadable(f"{self.path}: {error.detail}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise CorpusUnreadable(f"{self.path}: {error}") from error
        if not count:
            seen = ", ".join(map(repr, reader.paths_seen))
            raise CorpusUnreadable(
                f"{self.path}: no element at --records-path {self.shown_path!r}. The file begins with {seen}"
            )

    def _declared(self) -> str | None:
        """The encoding that the file declares."""
        with TextSource(path=self.path, encoding="latin-1").opened(on_encoding=lambda _: None) as (_, stream):
            found = _DECLARED.match(stream.read(1_000))
        try:
            return find_codec(found[1].decode()) if found else None
        except InvalidRequest:
            return None


class _Records:
    """Parses block by block, and forgets what it has seen."""

    def __init__(self, steps: tuple[str, ...], *, is_from_root: bool, bytes_max: int) -> None:
        self.paths_seen: dict[str, None] = {}
        self._steps = steps
        self._is_from_root = is_from_root
        self._bytes_max = bytes_max
        self._names: list[str] = []  # of the open elements
        self._record_depth = 0  # of the record that is open; 0: none
        self._record_bytes = 0
        self._parser = etree.XMLPullParser(
            events=("start", "end"),
            encoding="utf-8",
            **XML_SAFETY,
        )

    def feed(self, block: bytes) -> Iterator[tuple[int | None, dict[str, JsonValue]]]:
        self._parser.feed(block)
        self._record_bytes += len(block)
        events: Iterator[tuple[str, Any]] = self._parser.read_events()
        for event, element in events:
            if event == "start":
                self._open(element)
                continue
            depth = len(self._names)
            if depth == self._record_depth:
                yield element.sourceline, _fields(element)
                self._record_depth = 0
            if not self._record_depth:
                _forget(element)
            self._names.pop()
        if self._record_depth and self._record_bytes > self._bytes_max + _BLOCK_BYTES:
            raise CorpusUnreadable(
                f"an element {self._names[self._record_depth - 1]!r} exceeds {self._bytes_max} bytes"
            )

    def close(self) -> None:
        self._parser.close()

    def _open(self, element: Any) -> None:
        self._names.append(etree.QName(element).localname)
        if len(self.paths_seen) < 10:
            self.paths_seen["/".join(self._names)] = None
        if not self._record_depth and self._is_at_path():
            self._record_depth, self._record_bytes = len(self._names), 0

    def _is_at_path(self) -> bool:
        end = tuple(self._names[-len(self._steps) :])
        return end == self._steps and (not self._is_from_root or len(self._names) == len(self._steps))


def _forget(element: Any) -> None:
    """Free an element that was read, and those before it."""
    element.clear(keep_tail=True)
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _fields(element: Any) -> dict[str, JsonValue]:
    """The fields of a record: its attributes and child elements; its own text is the field `text`."""
    fields: dict[str, JsonValue] = {etree.QName(key).localname: value for key, value in element.attrib.items()}
    for child in element:
        if isinstance(child.tag, str):
            _add(fields, etree.QName(child).localname, _value(child))
    if _own_text(element):
        fields.setdefault("text", "".join(_texts(element)).strip())
    return fields


def _own_text(element: Any) -> str:
    return "".join([element.text or "", *(child.tail or "" for child in element)]).strip()


def _value(element: Any) -> JsonValue:
    """A text, or the fields of an element with attributes or children. libxml2 bounds the depth at 256."""
    is_text = len(element) == 0 or bool(_own_text(element))  # such as a paragraph with a link
    return "".join(_texts(element)).strip() if is_text and not element.attrib else _fields(element)


def _texts(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        yield from _texts(child)
        yield child.tail or ""


def _add(fields: dict[str, JsonValue], name: str, value: JsonValue) -> None:
    """Add a field; one that comes twice becomes a list."""
    if name not in fields:
        fields[name] = value
        return
    before = fields[name]
    fields[name] = [*(before if isinstance(before, list) else [before]), value]
