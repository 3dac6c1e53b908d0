"""Writes rows, and marks rows as deleted, for a later commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import lance
import numpy as np
import pyarrow as pa
from lance.fragment import write_fragments
from numpy.typing import NDArray

FRAGMENT_ROWS_MAX: Final = 65_536  # rows; a removal reads the places of its fragment again, in about 1 ms


def write_rows(rows: pa.Table, dataset: lance.LanceDataset) -> list[lance.FragmentMetadata]:
    """Write new fragments, which no version names yet."""
    return write_fragments(rows, dataset, schema=rows.schema, mode="append", max_rows_per_file=FRAGMENT_ROWS_MAX)


def mark_deleted(
    dataset: lance.LanceDataset, gone: Mapping[int, NDArray[np.uint32]]
) -> dict[int, lance.FragmentMetadata | None]:
    """Return the fragments without these rows, given by fragment as offsets; None for one that is empty then."""
    return {number: _fragment(dataset, number).delete_rows(offsets) for number, offsets in gone.items()}


def _fragment(dataset: lance.LanceDataset, number: int) -> lance.LanceFragment:
    fragment = dataset.get_fragment(number)
    assert fragment is not None, "rows lie in fragments of their version. This is a bug."
    return fragment
