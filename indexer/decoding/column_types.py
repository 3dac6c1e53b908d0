"""Which columns of a table of texts hold numbers, and which truth values? Those in which every value agrees.

    number    -7, 2020, 19.90     whole numbers of 64 bits, and decimals of up to 15 digits, which a float keeps
    boolean   true, False
    text      everything else

A value that a number would spell otherwise makes its column text: 007, +1, 1e5, a decimal of more digits. Zeros at the
end of a decimal are allowed where all decimals of the column are equally long: 19.90 and 5.00 are prices, 1.9 and 1.10
are versions. An empty value agrees with everything, and is null in a column that is not text.
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

DIGITS_MAX: Final = 15  # digits of a decimal that any float keeps
_SPELT: Final = re.compile(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
_READABLE: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_TRUTH: Final = {"true": True, "false": False}


class ColumnType(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTypes:
    """The types that somebody insists on."""

    of_column: Mapping[str, ColumnType] = field(default_factory=dict)
    of_others: ColumnType | None = None  # None: as their values agree


def asked_types(spellings: Iterable[str]) -> AskedTypes:
    """`COLUMN=TYPE` for one column, `TYPE` for all others. Raises `InvalidRequest`."""
    of_column: dict[str, ColumnType] = {}
    of_others: ColumnType | None = None
    for spelling in spellings:
        column, _, name = spelling.rpartition("=")
        try:
            kind = ColumnType(name.strip().lower())
        except ValueError as error:
            raise InvalidRequest(
                f"--types takes COLUMN=TYPE, or one TYPE for all columns; a type is {', '.join(ColumnType)}; "
                f"{spelling!r} was given"
            ) from error
        if column:
            of_column[column.strip()] = kind
        else:
            of_others = kind
    return AskedTypes(of_column=of_column, of_others=of_others)


def typed(cell: str, kind: ColumnType) -> JsonValue:
    """The value of a cell. Raises ValueError where it is not of this type."""
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
        self._decimals: set[int] = set()  # lengths of what is behind the point
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


def agreed_types(names: Sequence[str], rows: Iterable[Sequence[str]]) -> dict[str, ColumnType]:
    """The type of each column, by its name, after all rows."""
    columns = [_Column() for _ in names]
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            column.add(cell)
    return {name: column.kind for name, column in zip(names, columns, strict=True)}
