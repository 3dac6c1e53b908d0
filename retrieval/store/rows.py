"""Converts between chunks and rows of a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from winnow.retrieval.errors import InvalidRequest, ModelMismatch, StoreCorrupt
from winnow.retrieval.filters.attributes import (
    ARROW_TYPES,
    Attribute,
    attribute_arrays,
    attribute_of,
    attributes_of,
    select_attributes,
)
from winnow.retrieval.lexical.words import WORD_RULES, WORD_RULES_BEFORE, analyse
from winnow.retrieval.records import Chunk, Document, EmbeddedDocument, Part, Piece, header_above, is_text, passage_head
from winnow.retrieval.store.vector_column import VECTOR_COLUMN, vector_array, vector_field
from winnow.retrieval.structure import place_spans, placed_of, structure_json, texts_of
from winnow.retrieval.vector_format import VectorFormat

STRUCTURE_COLUMN: Final = "structure"  # JSON of a chunk's part (retrieval/structure.py); null without one
_STRUCTURE_FIELD: Final = pa.field(STRUCTURE_COLUMN, pa.large_string(), metadata={"lance-encoding:compression": "zstd"})

CHUNK_COLUMNS: Final = [
    "number", "document_id", "ordinal", "start", "end", "title", "text", "url", "metadata", STRUCTURE_COLUMN
]  # fmt: skip
PIECE_COLUMNS: Final = ["number", "document_id", "start", "end", "text", STRUCTURE_COLUMN]

_CHUNK_BYTES: Final = 500  # of a chunk beside what it refers to
_PARSED_FACTOR: Final = 8  # bytes in memory for a character of JSON, about
_FORMAT_KEY: Final = b"winnow.format"
_FORMAT: Final = b"3"  # of the columns below; a table of another format is refused
_WITH_FLOAT16: Final = b"4"  # the same with vectors in float16, which an earlier winnow could not write
_WITHOUT_WORDS: Final = b"2"  # the format before: without the column of words
_WITHOUT_ATTRIBUTES: Final = b"1"  # the format before that: also without attribute columns
_WRITTEN_BY_US: Final = json.JSONDecoder()  # whose `raw_decode` looks for no white space around, half of its time
_FORMATS: Final = frozenset({_FORMAT, _WITH_FLOAT16, _WITHOUT_WORDS, _WITHOUT_ATTRIBUTES})

WORDS_COLUMN: Final = (
    "words"  # output of `analyse` for title, headings, header and text; lexical search reads only this
)
_WORDS_FIELD: Final = pa.field(
    WORDS_COLUMN,
    pa.large_string(),
    metadata={"lance-encoding:compression": "zstd"},  # a third less; no search reads it
)


def schema_of(dimension: int, vectors: VectorFormat = VectorFormat.FLOAT32) -> pa.Schema:
    """Return the schema. Texts are large_strings: a long document's metadata, repeated per chunk, may exceed 2 GB."""
    return pa.schema(
        [
            pa.field("number", pa.int64(), nullable=False),
            pa.field("document_id", pa.large_string(), nullable=False),
            pa.field("ordinal", pa.int32(), nullable=False),
            pa.field("start", pa.int64(), nullable=False),
            pa.field("end", pa.int64(), nullable=False),
            pa.field("title", pa.large_string(), nullable=False),
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("url", pa.large_string()),
            pa.field("metadata", pa.large_string(), nullable=False),  # JSON
            pa.field("content_hash", pa.large_string()),  # of the document; only in its first chunk
            vector_field(dimension, vectors),
            _WORDS_FIELD,
        ],
        metadata={_FORMAT_KEY: _FORMAT if vectors is VectorFormat.FLOAT32 else _WITH_FLOAT16},
    )


def fields_of(attributes: Iterable[Attribute]) -> list[pa.Field]:
    """Return the columns of attributes, which follow the others once a document has such an attribute."""
    return [pa.field(attribute.column, ARROW_TYPES[attribute.kind]) for attribute in attributes]


def known_attributes(schema: pa.Schema) -> frozenset[Attribute]:
    """Return the attributes that have a column."""
    return frozenset(attribute for attribute in map(attribute_of, schema.names) if attribute is not None)


def has_attributes(schema: pa.Schema) -> bool:
    """Whether attributes are in their columns; otherwise only the metadata has them."""
    return bool(schema.metadata[_FORMAT_KEY] != _WITHOUT_ATTRIBUTES)


def word_rules(schema: pa.Schema) -> int:
    """Return the word rules of this store (retrieval/lexical/words.py)."""
    return WORD_RULES if schema.metadata[_FORMAT_KEY] in {_FORMAT, _WITH_FLOAT16} else WORD_RULES_BEFORE


def words_schema() -> pa.Schema:
    """Return the column that a store of the format before lacks."""
    return pa.schema([_WORDS_FIELD])


def words_table(rows: pa.Table) -> pa.Table:
    """Return the words of these rows, from title, structure and text, in the same order."""
    titles, texts = rows["title"].to_pylist(), rows["text"].to_pylist()
    structures, starts = [None] * len(texts), [0] * len(texts)
    if STRUCTURE_COLUMN in rows.column_names:
        structures, starts = rows[STRUCTURE_COLUMN].to_pylist(), rows["start"].to_pylist()
    words = [
        _words(analyse(title), placed_of(stored).part, start, text)
        for title, stored, start, text in zip(titles, structures, starts, texts, strict=True)
    ]
    return pa.table([pa.array(words, pa.large_string())], words_schema())


def present_columns(wanted: Sequence[str], schema: pa.Schema) -> list[str]:
    """Return the wanted columns that this table has: it has one for structure once a document has parts."""
    return [name for name in wanted if name != STRUCTURE_COLUMN or name in schema.names]


def words_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that `words_table` reads."""
    return present_columns(["title", "text", "start", STRUCTURE_COLUMN], schema)


def missing_columns(schema: pa.Schema, needed: pa.Schema) -> pa.Schema | None:
    """Return the columns of `needed` that `schema` lacks, or None."""
    missing = [field for field in needed if field.name not in schema.names]
    return pa.schema(missing) if missing else None


def metadata_with_attributes(metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the schema metadata once the attribute columns are complete."""
    return {**metadata, _FORMAT_KEY: _WITHOUT_WORDS}


def metadata_with_words(metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the schema metadata once all words are in their column and in the full-text index."""
    return {**metadata, _FORMAT_KEY: _FORMAT}


def attribute_table(metadata: Sequence[str], known: Collection[Attribute] = ()) -> pa.Table:
    """Return the attributes of rows with this stored metadata."""
    parsed = {each: attributes_of(json.loads(each)) for each in dict.fromkeys(metadata)}  # chunks repeat their document
    rows = [parsed[each] for each in metadata]
    attributes = select_attributes(known, rows)
    return pa.table(attribute_arrays(rows, attributes), schema=pa.schema(fields_of(attributes)))


def require_schema(found: pa.Schema, dimension: int, origin: str) -> None:
    """Raise `StoreCorrupt` for a table that is not ours, `ModelMismatch` for vectors of another dimension."""
    if (found.metadata or {}).get(_FORMAT_KEY) not in _FORMATS or VECTOR_COLUMN not in found.names:
        raise StoreCorrupt(f"{origin} is not a corpus that this version of winnow can read")
    stored = found.field(VECTOR_COLUMN).type.list_size
    if stored != dimension:
        raise ModelMismatch(f"{origin} holds vectors of {stored} dimensions, but the model makes {dimension}")


def table_of(
    documents: Sequence[EmbeddedDocument],
    *,
    first_number: int,
    dimension: int,
    vectors: VectorFormat = VectorFormat.FLOAT32,
    known: Collection[Attribute] = (),
    has_words: bool = True,
) -> pa.Table:
    """Return one row per chunk, numbered in the given order, with columns for the attributes that occur.

    `known` are the attributes that already have a column; `has_words` tells whether there is a column of words.
    """
    schema = schema_of(dimension, vectors)
    if not has_words:
        schema = schema.remove(schema.get_field_index(WORDS_COLUMN))
    if any(embedded.document.parts for embedded in documents):
        schema = schema.append(_STRUCTURE_FIELD)
    columns: dict[str, list[Any]] = {name: [] for name in schema.names if name not in {"number", VECTOR_COLUMN}}
    for embedded in documents:
        document = embedded.document
        metadata = json.dumps(document.metadata)
        title_words = analyse(document.title) if has_words else ""
        placed = place_spans(document.text, document.parts, embedded.spans)
        for ordinal, (span, place) in enumerate(zip(embedded.spans, placed, strict=True)):
            columns["document_id"].append(document.id)
            columns["ordinal"].append(ordinal)
            columns["start"].append(span.start)
            columns["end"].append(span.end)
            columns["title"].append(document.title)
            columns["text"].append(document.text[span.start : span.end])
            columns["url"].append(document.url)
            columns["metadata"].append(metadata)
            columns["content_hash"].append(document.content_hash if ordinal == 0 else None)
            if has_words:
                columns[WORDS_COLUMN].append(_words(title_words, place.part, span.start, columns["text"][-1]))
            if STRUCTURE_COLUMN in columns:
                columns[STRUCTURE_COLUMN].append(structure_json(place))
    rows = np.concatenate([embedded.vectors for embedded in documents])
    assert rows.shape[1] == dimension, "vectors of the collection's dimension. This is a bug."
    arrays = {
        **columns,
        "number": np.arange(first_number, first_number + len(rows), dtype=np.int64),
        VECTOR_COLUMN: vector_array(rows, vectors),
    }
    table = pa.table({name: pa.array(arrays[name], schema.field(name).type) for name in schema.names}, schema=schema)
    attributes = attribute_table(columns["metadata"], known)
    for field in attributes.schema:
        table = table.append_column(field, attributes[field.name])
    return table


def chunk_of(row: dict[str, Any]) -> Chunk:
    """Convert a row with the `CHUNK_COLUMNS` to a chunk."""
    placed = placed_of(row.pop(STRUCTURE_COLUMN, None))
    metadata, _ = _WRITTEN_BY_US.raw_decode(row.pop("metadata"))
    return Chunk(**row, metadata=metadata, part=placed.part, location=placed.location)


def shared_chunk_of(row: dict[str, Any]) -> tuple[Chunk, int]:
    """Convert likewise to a chunk that several requests may hold; also return about how many bytes it takes."""
    parsed_bytes = _PARSED_FACTOR * (len(row["metadata"]) + len(row.get(STRUCTURE_COLUMN) or ""))
    chunk = chunk_of(row)
    texts = sum(map(sys.getsizeof, (chunk.document_id, chunk.title, chunk.text, chunk.url)))
    shared = replace(chunk, metadata=MappingProxyType(dict(chunk.metadata)))
    return shared, _CHUNK_BYTES + texts + parsed_bytes


def piece_of(row: dict[str, Any]) -> Piece:
    """Convert a row with the `PIECE_COLUMNS` to a piece."""
    placed = placed_of(row.pop(STRUCTURE_COLUMN, None))
    return Piece(**row, part=placed.part, location=placed.location)


def document_of(chunks: Sequence[Chunk]) -> Document:
    """Reassemble a document from all its chunks, in order."""
    first = chunks[0]
    return Document(
        id=first.document_id,
        title=first.title,
        text="".join(chunk.text for chunk in chunks),
        url=first.url,
        metadata=first.metadata,
        parts=tuple(dict.fromkeys(chunk.part for chunk in chunks if chunk.part is not None)),
    )


def _words(title_words: str, part: Part | None, start: int, text: str) -> str:
    """Return the words of a chunk that starts here."""
    if part is None:
        return f"{title_words} {analyse(text)}"
    above = analyse(passage_head("", part.section, header_above(part, start)))
    return f"{title_words} {above} {analyse(text)}" if above else f"{title_words} {analyse(text)}"


def require_text(document: Document) -> None:
    """Raise `InvalidRequest` if a text of the document is not valid Unicode."""
    structure = (text for part in document.parts for text in texts_of(part))
    if not all(map(is_text, (document.id, document.title, document.text, document.url or "", *structure))):
        raise InvalidRequest(f"document {document.id!r} contains half of a surrogate pair, which is not valid text")
