"""Turns records into documents by field names that are decided once per corpus, from its first records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from winnow.indexer.corpus import Entry, Place, Refused, make_entry
from winnow.indexer.id_source import IdSource
from winnow.indexer.readers.fields import FieldMap, Fields, make_document
from winnow.indexer.readers.naming.detection import Decision, decide, sample_columns, sample_records
from winnow.retrieval.records import Document, JsonValue

SAMPLE_RECORDS: Final = 100  # records that decide the names
SAMPLE_BYTES: Final = 1 << 20  # and no more of them than this, but one
_BROKEN_MAX: Final = 10_000  # records that cannot be read and are held until one can
_ID_DIGITS: Final = 32  # hexadecimal digits of an id that is a hash


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """A record as its format has it."""

    content: Mapping[str, JsonValue] | Refused
    place: Place
    position: int
    size: int = 0  # bytes, about
    unfit: str = ""  # why a value of it cannot be stored


class Naming:
    """The names of one corpus."""

    def __init__(self) -> None:
        self.decision: Decision | None = None

    def decide_columns(self, columns: Sequence[str], asked: Fields) -> FieldMap:
        """Choose the names from the columns of a table."""
        self.decision = decide(sample_columns(columns), asked)
        return self.decision.fields

    def notes(self, source: str) -> tuple[str, ...]:
        return (self.decision.note(source),) if self.decision is not None and self.decision.taken else ()

    def entries(self, records: Iterable[SourceRecord], asked: Fields) -> Iterator[Entry]:
        """Yield the documents of these records. Names that were decided before stay."""
        records = iter(records)
        if self.decision is None:
            sample = list(_beginning(records))
            contents = [record.content for record in sample if not isinstance(record.content, Refused)]
            if contents:
                self.decision = decide(sample_records(contents), asked)
            records = chain(sample, records)
        fields = self.decision.fields if self.decision is not None else decide({}, asked).fields
        for record in records:
            yield make_entry(_document(record, fields, asked), place=record.place, position=record.position)


def _beginning(records: Iterator[SourceRecord]) -> Iterator[SourceRecord]:
    readable, broken, size = 0, 0, 0
    while readable < SAMPLE_RECORDS and broken < _BROKEN_MAX and size <= SAMPLE_BYTES:
        record = next(records, None)
        if record is None:
            return
        if isinstance(record.content, Refused):
            broken += 1
        else:
            readable += 1
            size += record.size
        yield record


def _document(record: SourceRecord, fields: FieldMap, asked: Fields) -> Document | Refused:
    content = record.content
    if isinstance(content, Refused):
        return content
    if asked.id_from is not None and content.get(fields.id) in (None, ""):
        content = {**content, fields.id: _made_id(record.place, content, fields, asked.id_from)}
    made = make_document(content, fields)
    return Refused(reason=record.unfit, id=made.id) if record.unfit else made


def _made_id(place: Place, content: Mapping[str, JsonValue], fields: FieldMap, source: IdSource) -> str:
    if source is IdSource.LINE:
        return str(place)
    digest = hashlib.sha256()
    for name in (fields.title, *fields.text):
        value = content.get(name)
        written = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""
        digest.update(len(written).to_bytes(8, "big") + written)
    return digest.hexdigest()[:_ID_DIGITS]
