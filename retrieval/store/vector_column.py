"""The column of vectors. Only this module knows how numbers are stored: every reader gets float32.

float16 values are float32 values as well, so everything that is computed from a store with them (indexes, checksums,
similarities) is computed from the rounded vectors, in float32, and is the same however often it is read.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from winnow.retrieval.records import Vectors
from winnow.retrieval.vector_format import VectorFormat

VECTOR_COLUMN: Final = "vector"

_ARROW: Final = {VectorFormat.FLOAT32: pa.float32(), VectorFormat.FLOAT16: pa.float16()}
_NUMPY: Final = {VectorFormat.FLOAT32: np.float32, VectorFormat.FLOAT16: np.float16}


def vector_field(dimension: int, stored_as: VectorFormat) -> pa.Field:
    return pa.field(VECTOR_COLUMN, pa.list_(_ARROW[stored_as], dimension), nullable=False)


def vector_format(schema: pa.Schema) -> VectorFormat:
    """Return how a table of this schema keeps its vectors."""
    return VectorFormat.FLOAT16 if schema.field(VECTOR_COLUMN).type.value_type == pa.float16() else VectorFormat.FLOAT32


def vector_array(vectors: Vectors, stored_as: VectorFormat) -> pa.FixedSizeListArray:
    """Return the column of these rows (n, dimension)."""
    rounded = vectors.astype(_NUMPY[stored_as], copy=False)
    return pa.FixedSizeListArray.from_arrays(pa.array(rounded.ravel()), vectors.shape[1])


def vectors_in(column: Any) -> Vectors:
    """Return the vectors of an array that was read, (n, dimension) float32."""
    values = column.flatten().to_numpy().reshape(len(column), -1)
    vectors: Vectors = values.astype(np.float32, copy=False)
    return vectors


def cosine_loss(vectors: Vectors, stored_as: VectorFormat) -> float | None:
    """Return by how much storing these unit vectors can change their cosine with any query; None if nothing is rounded.

    That is the greatest distance between a vector and the stored one: a query in this direction has it.
    """
    if stored_as is VectorFormat.FLOAT32:
        return None
    lost = vectors.astype(np.float64) - vectors.astype(_NUMPY[stored_as])
    return float(np.linalg.norm(lost, axis=1).max(initial=0.0))
