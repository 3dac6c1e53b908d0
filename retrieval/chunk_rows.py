"""How does a chunk look as a row of a table, and a row as a chunk?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from retrieval.errors import InvalidRequest, ModelMismatch, StoreCorrupt
from retrieval.records import Chunk, Document, EmbeddedDocument

CHUNK_COLUMNS: Final = ["number", "document_id", "ordinal", "start", "end", "title", "text", "url", "metadata"]
PIECE_COLUMNS: Final = ["number", "document_id", "start", "end", "text"]

_FORMAT_KEY: Final = b"winnow.format"
_FORMAT: Final = b"1"  # of the columns below; a table of another format is refused, not guessed at


def schema_of(dimension: int) -> pa.Schema:
    """Texts are large_strings: the metadata of a long document, repeated in every chunk, may pass 2 GB in one call."""
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
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
        ],
        metadata={_FORMAT_KEY: _FORMAT},
    )


def require_schema(found: pa.Schema, dimension: int, origin: str) -> None:
    """Raises `StoreCorrupt` for a table that is not ours, `ModelMismatch` for vectors of another dimension."""
    if (found.metadata or {}).get(_FORMAT_KEY) != _FORMAT or "vector" not in found.names:
        raise StoreCorrupt(f"{origin}: not a corpus of this version of winnow")
    stored = found.field("vector").type.list_size
    if stored != dimension:
        raise ModelMismatch(f"{origin} holds vectors of {stored} dimensions, the model makes {dimension}")


def table_of(documents: Sequence[EmbeddedDocument], *, first_number: int, dimension: int) -> pa.Table:
    """One row for each chunk, numbered in the order given."""
    schema = schema_of(dimension)
    columns: dict[str, list[Any]] = {name: [] for name in schema.names if name not in {"number", "vector"}}
    for embedded in documents:
        document = embedded.document
        metadata = json.dumps(document.metadata)
        for ordinal, span in enumerate(embedded.spans):
            columns["document_id"].append(document.id)
            columns["ordinal"].append(ordinal)
            columns["start"].append(span.start)
            columns["end"].append(span.end)
            columns["title"].append(document.title)
            columns["text"].append(document.text[span.start : span.end])
            columns["url"].append(document.url)
            columns["metadata"].append(metadata)
            columns["content_hash"].append(document.content_hash if ordinal == 0 else None)
    vectors = np.concatenate([embedded.vectors for embedded in documents]).astype(np.float32, copy=False)
    assert vectors.shape[1] == dimension, "vectors of the collection's dimension. This is a bug."
    arrays = {
        **columns,
        "number": np.arange(first_number, first_number + len(vectors), dtype=np.int64),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimension),
    }
    return pa.table({name: pa.array(arrays[name], schema.field(name).type) for name in schema.names}, schema=schema)


def chunk_of(row: dict[str, Any]) -> Chunk:
    """`row` has the `CHUNK_COLUMNS`."""
    return Chunk(**{**row, "metadata": json.loads(row["metadata"])})


def document_of(chunks: Sequence[Chunk]) -> Document:
    """All chunks of one document, in order, put together again."""
    first = chunks[0]
    return Document(
        id=first.document_id,
        title=first.title,
        text="".join(chunk.text for chunk in chunks),
        url=first.url,
        metadata=first.metadata,
    )


def is_text(value: str) -> bool:
    """Half of a surrogate pair is a character to Python, but not to UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def require_text(document: Document) -> None:
    """Raises `InvalidRequest`."""
    if not all(is_text(value) for value in (document.id, document.title, document.text, document.url or "")):
        raise InvalidRequest(f"document {document.id!r} holds half of a surrogate pair, which is no text")
