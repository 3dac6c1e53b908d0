"""Reads TREC collections: `<DOC>` elements one after the other, plain, .gz or .zst.

    <DOC>
    <DOCNO> AP880212-0001 </DOCNO>
    <HEAD>The title</HEAD>
    <TEXT>The text, with <P>tags</P> and &amp; entities.</TEXT>
    </DOC>

The files are not XML: nothing is resolved but character references. Tags inside the text are dropped. Short elements
besides the text become metadata under their name in lower case. A document without `<TEXT>` is all that has no tag.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry, Place, Refused, make_entry
from winnow.indexer.decoding.encodings import Encoding, detection_notes, undecodable
from winnow.indexer.decoding.streams import TextSource
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.text_corpus import TextCorpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import Document, JsonValue

_SNIFFED_BYTES: Final = 4096
_COMPRESSED: Final = b"\x1f\x9d"  # by `compress`: .Z, .z, .0z
_BEGINNING: Final = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<DOC>\s*<DOCNO>", re.IGNORECASE)
_EDGE: Final = re.compile(rb"</?DOC>", re.IGNORECASE)
_DOCNO: Final = re.compile(r"<DOCNO>([^<]*)</DOCNO>", re.IGNORECASE)
_TEXT: Final = re.compile(r"<TEXT>(.*?)(?:</TEXT>|\Z)", re.IGNORECASE | re.DOTALL)
_LEAF: Final = re.compile(r"<([A-Za-z][A-Za-z0-9_]*)(?:\s[^<>]*)?>([^<]*)</\1>", re.IGNORECASE)
_TAG: Final = re.compile(r"</?[A-Za-z][A-Za-z0-9_]*(?:\s[^<>]*)?/?>")
_TITLES: Final = ("title", "headline", "head", "hl", "ttl", "ti")
_NO_METADATA: Final = frozenset({"docno", "docid", "p"})
_METADATA_CHARACTERS_MAX: Final = 200  # a longer element is text, not a property


def is_trec(path: Path) -> bool:
    """Whether the file begins like a TREC collection. Raises `CorpusUnreadable` for one that `compress` packed."""
    source = TextSource(path=path)
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(len(_COMPRESSED)) == _COMPRESSED
        with source.opened(on_encoding=lambda _encoding: None) as (_, stream):
            start = b"" if is_packed else stream.read(_SNIFFED_BYTES)
    except (OSError, EOFError):
        return False
    if is_packed:
        raise CorpusUnreadable(f"{path} was packed by `compress`; unpack it with `gzip -d`, or repack it as .gz")
    return _BEGINNING.match(start) is not None


@dataclass(slots=True)
class _Block:
    """The document that is being read."""

    line: int
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece) + 1
        if self.size <= RECORD_BYTES_MAX or not self.pieces:
            self.pieces.append(piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrecCorpus(TextCorpus):
    """One file of a TREC collection. A document's line is the one that its `<DOC>` is on."""

    detected: list[Encoding] = field(default_factory=list, compare=False, repr=False)

    def entries(self) -> Iterator[Entry]:
        block: _Block | None = None
        for line in read_lines(self.source, on_encoding=self.detected.append):
            content = line.content
            if content is None:
                content = b" " * RECORD_BYTES_MAX  # the document is too long in any case
            place = 0
            for edge in _EDGE.finditer(content):
                if edge[0][1:2] != b"/":
                    if block is not None:
                        yield self._entry(block, line.position, is_whole=False)
                    block = _Block(line=line.number)
                elif block is not None:
                    block.add(content[place : edge.start()])
                    yield self._entry(block, line.position, is_whole=True)
                    block = None
                place = edge.end()
            if block is not None:
                block.add(content[place:])
        if block is not None:
            raise CorpusUnreadable(f"{self.path} ends within the document of line {block.line}; it may be incomplete")

    def require_columns(self) -> None:
        """Nothing to check: a TREC file is recognised by its content."""

    def account(self) -> Account:
        return Account(notes=detection_notes(self.name, self.detected[-1] if self.detected else None))

    def _entry(self, block: _Block, position: int, *, is_whole: bool) -> Entry:
        place = Place(source=self.name, line=block.line)
        return make_entry(self._document(block, is_whole=is_whole), place=place, position=position)

    def _document(self, block: _Block, *, is_whole: bool) -> Document | Refused:
        content = b"\n".join(block.pieces)
        named = _DOCNO.search(content[:_SNIFFED_BYTES].decode(errors="replace"))
        document_id = html.unescape(named[1]).strip() if named is not None else None
        if not is_whole:
            return Refused(reason="the document has no </DOC>", id=document_id)
        if block.size > RECORD_BYTES_MAX:
            return Refused(reason=f"the document is longer than {RECORD_BYTES_MAX} bytes", id=document_id)
        if not document_id:
            return Refused(reason="no id (element DOCNO)")
        try:
            return _parse(content.decode(), document_id)
        except UnicodeDecodeError as error:
            detail = f"{error.reason} at byte {error.start} of the document"
            return Refused(reason=undecodable(self.detected[-1], detail), id=document_id)


def _parse(content: str, document_id: str) -> Document:
    texts = [_plain(found[1]) for found in _TEXT.finditer(content)]
    around = _TEXT.sub("", content)
    leaves = {name.lower(): " ".join(html.unescape(value).split()) for name, value in _LEAF.findall(around)}
    title = next((leaves[name] for name in _TITLES if leaves.get(name)), "")
    metadata: dict[str, JsonValue] = {
        name: value
        for name, value in leaves.items()
        if value and len(value) <= _METADATA_CHARACTERS_MAX and name not in _NO_METADATA and name not in _TITLES
    }
    text = "\n\n".join(text for text in texts if text) if texts else _plain(_DOCNO.sub("", around))
    return Document(id=document_id, text=text, title=title, metadata=metadata)


def _plain(content: str) -> str:
    return html.unescape(_TAG.sub("", content)).strip("\n").rstrip()
