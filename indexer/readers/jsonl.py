"""What documents lie in this file of JSON lines (plain, .gz, .zst, or the standard input)?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from winnow.indexer.account import Account, detected_note
from winnow.indexer.corpus import Entry, Place, Refused, entry_of
from winnow.indexer.decoding.encodings import Encoding, undecodable
from winnow.indexer.decoding.json_values import parsed
from winnow.indexer.readers.fields import Fields, document_of
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.text_corpus import TextCorpus
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonCorpus(TextCorpus):
    """Objects of JSON, each a document."""

    record_bytes_max: int = RECORD_BYTES_MAX
    heard: list[Encoding] = field(default_factory=list, compare=False, repr=False)  # of each reading

    def account(self) -> Account:
        return Account(notes=detected_note(self.name, self.heard[-1] if self.heard else None))

    def made_of(self, content: bytes | None, *, unit: str) -> Document | Refused:
        """None is a `unit` (line or record) that is too long."""
        if content is None:
            return Refused(reason=f"the {unit} is longer than {self.record_bytes_max} bytes")
        return _made_of_json(content, self.fields, encoding=self.heard[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLinesCorpus(JsonCorpus):
    """One JSON object per line; blank lines are passed over."""

    def entries(self) -> Iterator[Entry]:
        for line in read_lines(self.source, bytes_max=self.record_bytes_max, told=self.heard.append):
            if line.content is not None and not line.content.strip():
                continue
            place = Place(source=self.name, line=line.number)
            yield entry_of(self.made_of(line.content, unit="line"), place=place, position=line.position)


def _made_of_json(content: bytes, fields: Fields, *, encoding: Encoding) -> Document | Refused:
    """The document of one JSON object. `encoding` is that of the file, for what is to be said of damaged text."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return Refused(reason=undecodable(encoding, f"{error.reason} at byte {error.start} of the line"))
    record = parsed(content)
    if isinstance(record, Refused):
        return record
    return document_of(record, fields) if isinstance(record, dict) else Refused(reason="not a JSON object")
