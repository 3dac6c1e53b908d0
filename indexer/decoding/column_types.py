"""Infers the types of text columns: a column has a type if all its values agree.

    number    -7, 2020, 19.90     64-bit integers, and decimals of up to 15 digits, which are exact in a float
    boolean   true, False
    text      everything else

A value that a number would spell differently makes its column text: 007, +1, 1e5, a decimal with more digits. Trailing
zeros are allowed if all decimals of the column have the same length: 19.90 and 5.00 are prices, 1.9 and 1.10 are
versions. An empty value agrees with every type, and is null in a column that is not text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.filters.grammar import INTEGER_MAX, INTEGER_MIN
from winnow.retrieval.records import JsonValue

DIGITS_MAX: Final = 15  # decimal digits that any float keeps
_SPELT: Final = re.compile(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
_READABLE: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_TRUTH: Final = {"true": True, "false": False}


class ColumnType(StrEnum):
    """Type of the values in a column."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedTypes:
    """Types requested by the user."""

    of_column: Mapping[str, ColumnType] = field(default_factory=dict)
    of_others: ColumnType | None = None  # None: inferred from the values


def parse_types(spellings: Iterable[str]) -> RequestedTypes:
    """Parse `COLUMN=TYPE` for one column, `TYPE` for all others. Raises `InvalidRequest`."""
    of_column: dict[str, ColumnType] = {}
    of_others: ColumnType | None = None
    for spelling in spellings:
        column, _, name = spelling.rpartition("=")
        try:
            kind = ColumnType(name.strip().lower())
        except ValueError as error:
            raise InvalidRequest(
                f"--types takes COLUMN=TYPE, or TYPE for all other columns, where TYPE is {', '.join(ColumnType)}; "
                f"got {spelling!r}"
            ) from error
        if column:
            of_column[column.strip()] = kind
        else:
            of_others = kind
    return RequestedTypes(of_column=of_column, of_others=of_others)


def convert_cell(cell: str, kind: ColumnType) -> JsonValue:
    """Convert a cell. Raises ValueError if it is not of this type."""
    if kind is ColumnType.TEXT:
        return cell
    bare = cell.strip()
    if not bare:
        return None
    if kind is ColumnType.BOOLEAN:
        if bare.lower() not in _TRUTH:
            raise ValueError(f"{bare[:40]!r} is neither true nor false")
        return _TRUTH[bare.lower()]
    readable = _READABLE.fullmatch(bare)
    if readable is None:
        raise ValueError(f"{bare[:40]!r} is not a number")
    return int(bare) if readable[1] is readable[2] is None else float(bare)


class _Column:
    """What the values of a column have in common so far."""

    def __init__(self) -> None:
        self._may_be_number = True
        self._may_be_boolean = True
        self._decimals: set[int] = set()  # numbers of decimal places
        self._has_zeros_at_the_end = False
        self._has_values = False

    def add(self, cell: str) -> None:
        bare = cell.strip()
        if not bare:
            return
        self._has_values = True
        self._may_be_boolean = self._may_be_boolean and bare.lower() in _TRUTH
        if self._may_be_number:
            self._may_be_number = self._agrees(bare)

    @property
    def kind(self) -> ColumnType:
        if not self._has_values:
            return ColumnType.TEXT
        if self._may_be_boolean:
            return ColumnType.BOOLEAN
        are_alike = len(self._decimals) == 1 or not self._has_zeros_at_the_end
        return ColumnType.NUMBER if self._may_be_number and are_alike else ColumnType.TEXT

    def _agrees(self, bare: str) -> bool:
        spelt = _SPELT.fullmatch(bare)
        if spelt is None:
            return False
        whole, decimals = spelt[1], spelt[2] or ""
        self._decimals.add(len(decimals))
        self._has_zeros_at_the_end = self._has_zeros_at_the_end or decimals.endswith("0")
        if decimals:
            return len((whole + decimals).lstrip("0")) <= DIGITS_MAX
        return len(whole) <= 20 and INTEGER_MIN <= int(bare) <= INTEGER_MAX


def infer_types(names: Sequence[str], rows: Iterable[Sequence[str]]) -> dict[str, ColumnType]:
    """Infer the type of each column from all rows."""
    columns = [_Column() for _ in names]
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            column.add(cell)
    return {name: column.kind for name, column in zip(names, columns, strict=True)}
