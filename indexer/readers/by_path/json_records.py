"""Reads the records of a JSON file at a path, whatever the size of the file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.by_path.json_scanner import JsonScanner
from winnow.indexer.readers.by_path.records_path import JsonStep
from winnow.indexer.readers.jsonl import JsonCorpus
from winnow.indexer.readers.naming.naming import SourceRecord
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import JsonValue

_NAMES_TOLD_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonPathCorpus(JsonCorpus):
    """The objects at a path. A record's line is the one it begins on."""

    steps: tuple[JsonStep, ...]
    shown_path: str = ""  # as it was typed
    names_seen: list[str] = field(default_factory=list, compare=False, repr=False)  # at the top of the file

    def records(self) -> Iterator[SourceRecord]:
        try:
            with self.source.opened(on_encoding=self.detected.append) as (raw, stream):
                scanner = JsonScanner(stream, bytes_max=self.record_bytes_max)
                count = 0
                for line, content in self._values(scanner, self.steps):
                    count += 1
                    record = self.make_record(content, line=line, position=raw.tell(), unit="record")
                    yield with_dotted_names(record, self.fields.chosen)
                scanner.require_end()
        except CorpusUnreadable as error:
            raise CorpusUnreadable(f"{self.path}: {error.detail}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise CorpusUnreadable(f"{self.path}: {error}") from error
        if not count:
            raise CorpusUnreadable(f"{self.path}: no record at --records-path {self.shown_path!r}{self._names()}")

    def _values(self, scanner: JsonScanner, steps: Sequence[JsonStep]) -> Iterator[tuple[int, bytes | None]]:
        """Yield line and content of each record. Recursion ends with the path."""
        first = scanner.peek()
        if not steps:
            if first == b"[":
                for _ in scanner.items():
                    scanner.peek()
                    yield scanner.line, scanner.read()
            else:
                yield scanner.line, scanner.read()
            return
        step, *rest = steps
        if first == b"{":
            for name in scanner.members():
                if len(steps) == len(self.steps) and len(self.names_seen) < _NAMES_TOLD_MAX:
                    self.names_seen.append(name)
                if step is None or name == step:
                    yield from self._values(scanner, rest)
                else:
                    scanner.skip()
        elif first == b"[" and step is None:
            for _ in scanner.items():
                yield from self._records_below(scanner, rest)
        else:
            scanner.skip()

    def _records_below(self, scanner: JsonScanner, rest: Sequence[JsonStep]) -> Iterator[tuple[int, bytes | None]]:
        if rest:
            yield from self._values(scanner, rest)
        else:
            scanner.peek()
            yield scanner.line, scanner.read()

    def _names(self) -> str:
        names = ", ".join(map(repr, dict.fromkeys(self.names_seen)))
        return f". The fields at the top are {names}" if names else ". The file does not begin with an object"


def with_dotted_names(record: SourceRecord, names: frozenset[str]) -> SourceRecord:
    """Give the record the fields that the caller named by a path within it: `author.name`."""
    dotted = [name for name in names if "." in name]
    if not dotted or isinstance(record.content, Refused):
        return record
    found = {name: _value_at(record.content, name.split(".")) for name in dotted if name not in record.content}
    return replace(record, content={**record.content, **{name: value for name, value in found.items() if value}})


def _value_at(record: Mapping[str, JsonValue], names: Sequence[str]) -> JsonValue:
    value: JsonValue = dict(record)
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
