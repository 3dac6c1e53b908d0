"""Attributes in a Lance dataset: columns that are added when a document first has such an attribute.

An empty column is added by a commit of its own that changes no row, and the write that needs it follows. A dataset of
the format before has no columns: until its next write, attributes are read from the metadata, which takes two seconds
for 100,000 documents; that write then creates the columns. Callers pass Lance's datasets; this module does not import
Lance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.retrieval.filters.attributes import attribute_of
from winnow.retrieval.filters.masks import AttributeColumns
from winnow.retrieval.store.rows import attribute_table, has_attributes, known_attributes, metadata_with_attributes

_COLUMNS_KEPT: Final = 4  # columns; one of a million rows takes 1 to 24 MB, and 4 to 40 ms to read again


def columns_of(schema: pa.Schema, read: Callable[[str], Any], *, rows: int) -> AttributeColumns:
    """Return the attributes of all rows; `read` returns a column of the dataset."""
    if has_attributes(schema):
        known = known_attributes(schema)
        return AttributeColumns(rows=rows, known=known, read=lru_cache(_COLUMNS_KEPT)(lambda each: read(each.column)))
    table = attribute_table(read("metadata").to_pylist())
    attributes = [attribute_of(name) for name in table.column_names]
    known = frozenset(each for each in attributes if each is not None)
    return AttributeColumns(rows=rows, known=known, read=lambda each: table[each.column])


def differing(schema: pa.Schema, read: Callable[[str], Any]) -> NDArray[np.bool_]:
    """Return which rows have different attributes in their columns than in their metadata."""
    mask = np.zeros(len(read("number")), dtype=np.bool_)
    if not has_attributes(schema):
        return mask  # then the columns are not read
    known = known_attributes(schema)
    expected = attribute_table(read("metadata").to_pylist(), known)
    for column in sorted(attribute.column for attribute in known):
        stored = read(column).to_pylist()
        right = expected[column].to_pylist() if column in expected.column_names else [None] * len(stored)
        mask |= np.fromiter((one != other for one, other in zip(stored, right, strict=True)), np.bool_, len(stored))
    return mask


def upgrade(dataset: Any, *, written: Callable[[], None]) -> None:
    """Create attribute columns from the metadata of every row, in a dataset of the format before.

    After an interruption it starts again: until the format changes, which comes last, nothing reads the new columns.
    Before that, `written` brings them to the disk and refuses files that Lance has truncated.
    """
    begun = [each.column for each in known_attributes(dataset.schema)]
    if begun:
        dataset.drop_columns(begun)
    metadata = dataset.to_table(columns=["metadata"], scan_in_order=True)["metadata"]
    table = attribute_table(metadata.to_pylist())
    if table.num_columns and table.num_rows:
        dataset.add_columns(table.to_reader())
        written()
    dataset.update_schema_metadata(_text(metadata_with_attributes(dataset.schema.metadata)), replace=True)


def _text(metadata: dict[bytes, bytes]) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in metadata.items()}
