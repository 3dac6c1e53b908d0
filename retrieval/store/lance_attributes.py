"""Where are the attributes in a Lance dataset? In columns that are added when a document first has such an attribute.

A column is added empty, by a commit of its own that changes no row, and the write that needed it follows. A dataset of
the format before had none: until its next write, its attributes are read out of the metadata, which takes two seconds
for 100,000 documents; that write then makes columns of them. Lance's datasets are handed in, it is not named here.
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
from winnow.retrieval.store.rows import attribute_table, has_attributes, known_attributes, upgraded

_COLUMNS_KEPT: Final = 4  # columns; of a million rows one takes 1 to 24 MB, and 4 to 40 ms to read again


def columns_of(schema: pa.Schema, read: Callable[[str], Any], *, rows: int) -> AttributeColumns:
    """The attributes of all rows; `read` gives a column of the dataset."""
    if has_attributes(schema):
        known = known_attributes(schema)
        return AttributeColumns(rows=rows, known=known, read=lru_cache(_COLUMNS_KEPT)(lambda each: read(each.column)))
    table = attribute_table(read("metadata").to_pylist())
    attributes = [attribute_of(name) for name in table.column_names]
    known = frozenset(each for each in attributes if each is not None)
    return AttributeColumns(rows=rows, known=known, read=lambda each: table[each.column])


def differing(schema: pa.Schema, read: Callable[[str], Any]) -> NDArray[np.bool_]:
    """Which rows have other attributes in their columns than in their metadata."""
    mask = np.zeros(len(read("number")), dtype=np.bool_)
    if not has_attributes(schema):
        return mask  # then nobody reads the columns
    known = known_attributes(schema)
    expected = attribute_table(read("metadata").to_pylist(), known)
    for column in sorted(attribute.column for attribute in known):
        stored = read(column).to_pylist()
        right = expected[column].to_pylist() if column in expected.column_names else [None] * len(stored)
        mask |= np.fromiter((one != other for one, other in zip(stored, right, strict=True)), np.bool_, len(stored))
    return mask


def upgrade(dataset: Any, *, written: Callable[[], None]) -> None:
    """Makes columns of what the metadata of every row says, in a dataset of the format before.

    Interrupted, it begins again: until the format is changed, which comes last, nobody reads what it has added. Before
    that `written` brings it to the disk, and refuses what Lance has cut short.
    """
    begun = [each.column for each in known_attributes(dataset.schema)]
    if begun:
        dataset.drop_columns(begun)
    metadata = dataset.to_table(columns=["metadata"], scan_in_order=True)["metadata"]
    table = attribute_table(metadata.to_pylist())
    if table.num_columns and table.num_rows:
        dataset.add_columns(table.to_reader())
        written()
    dataset.update_schema_metadata(_text(upgraded(dataset.schema.metadata)), replace=True)


def _text(metadata: dict[bytes, bytes]) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in metadata.items()}
