"""Parses JSON and JSON Lines files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson

from winnow.indexer.corpus import Refused
from winnow.indexer.decoding.encodings import decode_text
from winnow.indexer.readers.data_files.shown_rows import one_line, records_of, shown
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.json_array import json_corpus
from winnow.indexer.readers.jsonl import JsonCorpus, JsonLinesCorpus
from winnow.indexer.readers.naming.detection import decide, is_complete, sample_records
from winnow.indexer.readers.naming.naming import SAMPLE_RECORDS
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.errors import CorpusUnreadable, LimitExceeded
from winnow.retrieval.json_bounds import JsonBounds, parse_json
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import JsonValue

_LINES_ENDINGS: Final = (".jsonl", ".ndjson")
_BOUNDS: Final = JsonBounds(values=2_000_000, keys=2_000_000)


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield a document for each record if records have an id and a text, else one that shows the values by path."""
    try:
        corpus = _corpus(source)
        records = [record.content for record in islice(corpus.records(), SAMPLE_RECORDS)]
    except CorpusUnreadable as error:
        raise Unparsable("it is damaged or was cut off") from error
    objects = [each for each in records if not isinstance(each, Refused)]
    if objects and is_complete(decide(sample_records(objects), Fields()), Fields()):
        yield from records_of(_corpus(source), source)
    else:
        yield from shown(_rows(source), source, is_numbered=False)


def _corpus(source: SourceFile) -> JsonCorpus:
    if source.name.lower().endswith(_LINES_ENDINGS):
        return JsonLinesCorpus(path=source.path, fields=Fields(), encoding=source.encoding)
    return json_corpus(source.path, fields=Fields(), encoding=source.encoding)


def _rows(source: SourceFile) -> Iterator[str]:
    """Yield `path: value` for each value; the objects of an array take a row each if they hold no others."""
    if source.path.stat().st_size > RECORD_BYTES_MAX:
        raise Unparsable(f"it holds no records with an id and a text, and is longer than {RECORD_BYTES_MAX} bytes")
    text, _, reason = decode_text(source.path.read_bytes(), asked=source.encoding)
    if text is None:
        raise Unparsable(reason)
    if source.name.lower().endswith(_LINES_ENDINGS):
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield from _values(_parsed(line, f"line {number}"), "")
    else:
        yield from _values(_parsed(text, "the file"), "")


def _parsed(text: str, where: str) -> JsonValue:
    try:
        value: JsonValue = parse_json(text.encode("utf-8", "surrogatepass"), _BOUNDS)
    except (orjson.JSONDecodeError, LimitExceeded) as error:
        raise Unparsable(f"{where} is not JSON that can be read: {error}") from error
    return value


def _values(value: Any, path: str) -> Iterator[str]:
    """Without recursion: a hostile file is nested deeply."""
    waiting: list[tuple[str, Any]] = [(path, value)]
    while waiting:
        at, found = waiting.pop()
        if isinstance(found, dict) and found and not _is_flat(found, at):
            waiting += [(f"{at}.{name}" if at else name, each) for name, each in reversed(found.items())]
        elif isinstance(found, list) and found and not all(map(_is_scalar, found)):
            waiting += [(f"{at}[{place}]", each) for place, each in reversed(list(enumerate(found)))]
        elif (row := _row(at, found)) is not None:
            yield row


def _row(at: str, value: Any) -> str | None:
    if isinstance(value, dict):
        said = "; ".join(f"{name}: {_said(each)}" for name, each in value.items() if each not in (None, ""))
    elif isinstance(value, list):
        said = ", ".join(_said(each) for each in value if each is not None)
    else:
        said = "" if value is None else _said(value)
    if not said:
        return None
    return f"{at}: {said}" if at else said


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else one_line(value)


def _is_scalar(value: JsonValue) -> bool:
    return not isinstance(value, dict | list)


def _is_flat(value: dict[str, JsonValue], at: str) -> bool:
    """Whether an object is an item of an array and holds single values: it reads best as one row."""
    return at.endswith("]") and all(map(_is_scalar, value.values()))
