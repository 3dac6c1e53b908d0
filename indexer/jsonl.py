"""What documents lie in this file of JSON lines (plain, .gz, .zst, or the standard input)?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from indexer.corpus import Entry, Place, Refused, entry_of
from indexer.fields import Fields, document_of
from indexer.json_values import parsed
from indexer.lines import STANDARD_INPUT, read_lines, size_of
from retrieval.limits import RECORD_BYTES_MAX
from retrieval.records import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLinesCorpus:
    """One JSON object per line; blank lines are passed over."""

    path: Path
    fields: Fields
    record_bytes_max: int = RECORD_BYTES_MAX

    @property
    def name(self) -> str:
        return "standard input" if self.path == STANDARD_INPUT else self.path.name

    @property
    def size(self) -> int | None:
        return size_of(self.path)

    def entries(self) -> Iterator[Entry]:
        for line in read_lines(self.path, bytes_max=self.record_bytes_max):
            if line.content is not None and not line.content.strip():
                continue
            place = Place(source=self.name, line=line.number)
            yield entry_of(self._made_of(line.content), place=place, position=line.position)

    def _made_of(self, content: bytes | None) -> Document | Refused:
        if content is None:
            return Refused(reason=f"the line is longer than {self.record_bytes_max} bytes")
        try:
            content.decode()
        except UnicodeDecodeError as error:
            return Refused(reason=f"not UTF-8: {error.reason} at byte {error.start} of the line")
        record = parsed(content)
        if isinstance(record, Refused):
            return record
        if not isinstance(record, dict):
            return Refused(reason="not a JSON object")
        return document_of(record, self.fields)
