"""Turns Arrow batches into records, by field names that the schema decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.indexer.corpus import Place
from winnow.indexer.decoding.arrow_values import convert_rows
from winnow.indexer.readers.fields import FieldMap, Fields, require_columns, require_unrepeated
from winnow.indexer.readers.naming.detection import Decision, Seen, decide
from winnow.indexer.readers.naming.naming import SourceRecord


def decide_schema(schema: pa.Schema, asked: Fields, *, origin: Path) -> Decision:
    """Choose the fields. Raises `CorpusUnreadable` if the columns for id and text are missing, or names repeat."""
    require_unrepeated(schema.names, origin=origin)
    decision = decide({field.name: _seen(field.type) for field in schema}, asked)
    needs_id = asked.id_from is None or asked.id is not None
    require_columns(schema.names, decision.fields, origin=origin, needs_id=needs_id)
    return decision


def make_records(
    batch: pa.RecordBatch, fields: FieldMap, *, source: str, above: int, position: int | None = None
) -> Iterator[SourceRecord]:
    """Yield a record for each row. Its line is its row number, `above` the one before it; dropped columns stay unread.

    Without `position` a record's position is its line.
    """
    names = batch.schema.names
    wanted = [name for name in names if name in fields.named or fields.metadata.keeps(name) or name == "metadata"]
    rows = convert_rows(batch.select(wanted) if len(wanted) < len(names) else batch)
    for line, (row, unfit) in enumerate(rows, start=above + 1):
        yield SourceRecord(
            content=row,
            place=Place(source=source, line=line),
            position=line if position is None else position,
            unfit=unfit.reason if unfit is not None else "",
        )


def _seen(kind: Any) -> Seen:
    """Take columns for usable by their types: strings as text, strings and integers as ids."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    is_text = any(is_of(kind) for is_of in (types.is_string, types.is_large_string, types.is_string_view))
    is_bytes = any(is_of(kind) for is_of in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary))
    as_text = int(is_text or is_bytes)
    return Seen(present=1, as_text=as_text, as_id=as_text or int(types.is_integer(kind)))
