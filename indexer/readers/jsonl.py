"""Reads JSON lines, from a file (plain, .gz, .zst) or standard input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry, Place, Refused, make_entry
from winnow.indexer.decoding.encodings import Encoding, detection_notes, undecodable
from winnow.indexer.decoding.json_values import parse_record
from winnow.indexer.readers.fields import Fields, make_document
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.text_corpus import TextCorpus
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonCorpus(TextCorpus):
    """A corpus of JSON objects, each a document."""

    record_bytes_max: int = RECORD_BYTES_MAX
    detected: list[Encoding] = field(default_factory=list, compare=False, repr=False)  # one per reading

    def account(self) -> Account:
        return Account(notes=detection_notes(self.name, self.detected[-1] if self.detected else None))

    def to_document(self, content: bytes | None, *, unit: str) -> Document | Refused:
        """Build the document; `content` is None if the `unit` (line or record) is too long."""
        if content is None:
            return Refused(reason=f"the {unit} is longer than {self.record_bytes_max} bytes")
        return _parse_document(content, self.fields, encoding=self.detected[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLinesCorpus(JsonCorpus):
    """One JSON object per line; blank lines are skipped."""

    def entries(self) -> Iterator[Entry]:
        for line in read_lines(self.source, bytes_max=self.record_bytes_max, on_encoding=self.detected.append):
            if line.content is not None and not line.content.strip():
                continue
            place = Place(source=self.name, line=line.number)
            yield make_entry(self.to_document(line.content, unit="line"), place=place, position=line.position)


def _parse_document(content: bytes, fields: Fields, *, encoding: Encoding) -> Document | Refused:
    """Build the document of one JSON object. `encoding` is the file's, for messages about damaged text."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return Refused(reason=undecodable(encoding, f"{error.reason} at byte {error.start} of the line"))
    record = parse_record(content)
    if isinstance(record, Refused):
        return record
    return make_document(record, fields) if isinstance(record, dict) else Refused(reason="not a JSON object")
