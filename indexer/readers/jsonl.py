"""Reads JSON lines, from a file (plain, .gz, .zst) or standard input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry, Place, Refused
from winnow.indexer.decoding.encodings import Encoding, detection_notes, undecodable
from winnow.indexer.decoding.json_values import parse_record
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.naming.naming import SourceRecord
from winnow.indexer.readers.text_corpus import TextCorpus
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonCorpus(TextCorpus):
    """A corpus of JSON objects, each a document."""

    record_bytes_max: int = RECORD_BYTES_MAX
    detected: list[Encoding] = field(default_factory=list, compare=False, repr=False)  # one per reading

    @abstractmethod
    def records(self) -> Iterator[SourceRecord]:
        """Yield every record as it stands in the file."""

    def entries(self) -> Iterator[Entry]:
        return self.naming.entries(self.records(), self.fields)

    def account(self) -> Account:
        detected = self.detected[-1] if self.detected else None
        return Account(notes=(*detection_notes(self.name, detected), *self.naming.notes(self.name)))

    def make_record(self, content: bytes | None, *, line: int, position: int, unit: str) -> SourceRecord:
        """Parse one record; `content` is None if the `unit` (line or record) is too long."""
        parsed: Mapping[str, JsonValue] | Refused = (
            Refused(reason=f"the {unit} is longer than {self.record_bytes_max} bytes")
            if content is None
            else _parse_object(content, encoding=self.detected[-1])
        )
        place = Place(source=self.name, line=line)
        return SourceRecord(content=parsed, place=place, position=position, size=len(content or b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLinesCorpus(JsonCorpus):
    """One JSON object per line; blank lines are skipped."""

    def records(self) -> Iterator[SourceRecord]:
        for line in read_lines(self.source, bytes_max=self.record_bytes_max, on_encoding=self.detected.append):
            if line.content is not None and not line.content.strip():
                continue
            yield self.make_record(line.content, line=line.number, position=line.position, unit="line")


def _parse_object(content: bytes, *, encoding: Encoding) -> Mapping[str, JsonValue] | Refused:
    """Parse one JSON object. `encoding` is the file's, for messages about damaged text."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return Refused(reason=undecodable(encoding, f"{error.reason} at byte {error.start} of the line"))
    record = parse_record(content)
    if isinstance(record, Refused):
        return record
    return record if isinstance(record, dict) else Refused(reason="not a JSON object")
