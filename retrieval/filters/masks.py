"""Evaluates filters: columns of attributes and a filter in, one boolean per row out.

    absent, null, or not filterable  matches `ne`, `nin` and `eq null`, and nothing else
    eq, in                           the value is one of those given; a list of texts contains one of them
    ne, nin                          the exact negation
    gt gte lt lte                    numbers by size, texts by code point; values of another type do not match
    and, or                          of two truth values; there is no third

Runs pyarrow's kernels over columns in memory; a value is only ever an argument. Lance accepts expressions too, but
cannot compile one over such a table (it fails at large_string), and has none for lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.filters.attributes import ARROW_TYPES, Attribute, Kind, number_kind
from winnow.retrieval.filters.grammar import (
    INTEGER_MAX,
    INTEGER_MIN,
    ORDERED,
    Comparison,
    Filter,
    Joint,
    Op,
    Scalar,
    describe_value,
    quote,
)
from winnow.retrieval.limits import ATTRIBUTE_COLUMNS_MAX

Mask = NDArray[np.bool_]

PARAM: Final = "filter"  # the field of every request that has one
_ATTRIBUTES_NAMED_MAX: Final = 10  # attributes named in a message
_WORDS: Final = {
    Kind.BOOLEAN: "boolean",
    Kind.INTEGER: "number",
    Kind.REAL: "number",
    Kind.TEXT: "text",
    Kind.TEXTS: "list of texts",
}
_NUMBERS: Final = frozenset({Kind.INTEGER, Kind.REAL})
_KERNELS: Final = {Op.GT: pc.greater, Op.GTE: pc.greater_equal, Op.LT: pc.less, Op.LTE: pc.less_equal}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeColumns:
    """The attributes of some rows."""

    rows: int
    known: frozenset[Attribute]
    read: Callable[[Attribute], Any]  # returns the column of a known attribute: a ChunkedArray with one value per row


def mask_of(where: Filter, columns: AttributeColumns) -> Mask:
    """Return the matching rows. Raises `InvalidRequest` for an unknown attribute, or a value of another type."""
    if isinstance(where, Comparison):
        return _compare(where, columns)
    joined = np.logical_and if where.joint is Joint.AND else np.logical_or
    mask: Mask = reduce(joined, (mask_of(each, columns) for each in where.filters))
    return mask


def describe_attributes(known: frozenset[Attribute]) -> dict[str, str]:
    """Return every key with its types in words, by name."""
    kinds: dict[str, set[str]] = {}
    for attribute in known:
        kinds.setdefault(attribute.key, set()).add(_WORDS[attribute.kind])
    return {key: " or ".join(sorted(kinds[key])) for key in sorted(kinds)}


def _compare(comparison: Comparison, columns: AttributeColumns) -> Mask:
    kinds = {attribute.kind: attribute for attribute in columns.known if attribute.key == comparison.key}
    if not kinds:
        raise _unknown(comparison.key, columns.known)
    for value in comparison.values:
        _require_kind(comparison, value, kinds.keys())
    mask = np.zeros(columns.rows, dtype=np.bool_)
    if comparison.op in {Op.EQ, Op.NE} and not comparison.values:
        for attribute in kinds.values():
            mask |= _to_mask(pc.is_valid(columns.read(attribute)))
        return mask if comparison.op is Op.NE else ~mask
    for kind, attribute in kinds.items():
        if comparison.op in ORDERED:
            mask |= _compare_order(comparison.op, comparison.values[0], kind, columns.read(attribute))
        else:
            mask |= _equals_any(comparison.values, kind, columns.read(attribute))
    return ~mask if comparison.op in {Op.NE, Op.NIN} else mask


def _equals_any(values: Sequence[Scalar], kind: Kind, column: Any) -> Mask:
    """Return where the column has one of these values, as far as they are of its kind."""
    own = [int(value) if kind is Kind.INTEGER else value for value in values if _may_be_in(kind, value)]
    if not own:
        return np.zeros(len(column), dtype=np.bool_)
    if kind is Kind.TEXTS:
        return _contains_any(pa.array(own, pa.large_string()), column)
    if len(own) == 1:  # ten times faster than a set of one
        return _to_mask(pc.fill_null(pc.equal(column, pa.scalar(own[0], ARROW_TYPES[kind])), False))  # noqa: FBT003
    return _to_mask(pc.is_in(column, pa.array(own, ARROW_TYPES[kind])))


def _contains_any(wanted: Any, column: Any) -> Mask:
    """Return where a list contains one of the wanted texts."""
    mask = np.zeros(len(column), dtype=np.bool_)
    first = 0
    for chunk in column.chunks:
        hits = _to_mask(pc.is_in(pc.list_flatten(chunk), wanted))
        mask[first + pc.list_parent_indices(chunk).to_numpy()[hits]] = True
        first += len(chunk)
    return mask


def _compare_order(op: Op, value: Scalar, kind: Kind, column: Any) -> Mask:
    """Return where the column is on that side of the value; nowhere if their kinds differ."""
    if isinstance(value, bool) or kind is Kind.TEXTS or kind not in _comparable(value):
        return np.zeros(len(column), dtype=np.bool_)
    if isinstance(value, str):
        return _compare_bound(op, value, kind, column)
    if kind is Kind.REAL:
        return _compare_bound(op, _nearest_real(value), kind, column)
    bound = math.floor(value) if op in {Op.GT, Op.LTE} else math.ceil(value)  # x > 1.5 is x > 1, x < 1.5 is x < 2
    if INTEGER_MIN <= bound <= INTEGER_MAX:
        return _compare_bound(op, bound, kind, column)
    is_beyond = (bound > INTEGER_MAX) == (op in {Op.LT, Op.LTE})  # then all whole numbers are on that side
    return _to_mask(pc.is_valid(column)) & is_beyond


def _nearest_real(value: float) -> float:
    """Return a number that every real of the column is on the same side of as of `value`.

    Reals are not whole numbers of 64 bits, so none lies between such a number and its rounding towards zero.
    """
    rounded = float(value)
    outside = isinstance(value, int) and abs(rounded) > INTEGER_MAX
    return math.nextafter(rounded, 0.0) if outside else rounded


def _compare_bound(op: Op, bound: Scalar, kind: Kind, column: Any) -> Mask:
    return _to_mask(pc.fill_null(_KERNELS[op](column, pa.scalar(bound, ARROW_TYPES[kind])), False))  # noqa: FBT003


def _to_mask(column: Any) -> Mask:
    """Convert a column of booleans without nulls."""
    mask: Mask = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    return mask.astype(np.bool_, copy=False)


def _comparable(value: Scalar) -> frozenset[Kind]:
    """Return the kinds of column that this value can be compared with."""
    match value:
        case bool():
            return frozenset({Kind.BOOLEAN})
        case str():
            return frozenset({Kind.TEXT, Kind.TEXTS})
        case _:
            return _NUMBERS


def _may_be_in(kind: Kind, value: Scalar) -> bool:
    """Whether a column of this kind may contain the value: of the two number kinds only one can."""
    if kind in _NUMBERS and not isinstance(value, bool | str):
        return number_kind(value) is kind
    return kind in _comparable(value)


def _require_kind(comparison: Comparison, value: Scalar, kinds: Collection[Kind]) -> None:
    if _comparable(value).isdisjoint(kinds):
        words = " or ".join(sorted({_WORDS[kind] for kind in kinds}))
        raise InvalidRequest(
            f"the attribute {quote(comparison.key)} is a {words} and cannot be compared with {describe_value(value)}",
            param=PARAM,
        )
    if comparison.op in ORDERED and isinstance(value, str) and Kind.TEXT not in kinds:
        raise InvalidRequest(
            f"the attribute {quote(comparison.key)} is a list of texts without order; {comparison.op} does not apply",
            param=PARAM,
        )


def _unknown(key: str, known: frozenset[Attribute]) -> InvalidRequest:
    named = [f"{quote(name)} ({kinds})" for name, kinds in describe_attributes(known).items()]
    beyond = f" and {len(named) - _ATTRIBUTES_NAMED_MAX} more" if len(named) > _ATTRIBUTES_NAMED_MAX else ""
    there = f"its attributes are {', '.join(named[:_ATTRIBUTES_NAMED_MAX])}{beyond}" if named else "there are none yet"
    full = (
        f"; it has reached the limit of {ATTRIBUTE_COLUMNS_MAX} attributes"
        if len(known) >= ATTRIBUTE_COLUMNS_MAX
        else ""
    )
    return InvalidRequest(f"the collection has no attribute {quote(key)}; {there}{full}", param=PARAM)
