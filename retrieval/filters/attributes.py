"""Attributes: the part of a document's metadata that filters can use. A key, a type, and one value or several texts.

    true, false                      boolean
    -7, 2020, 2020.0, 0.5            number   (whole numbers of 64 bits are exact; 2020.0 is 2020)
    "zh"                             text
    ["a", "b"]                       list of texts
    null, objects, other lists,      none: stored with the document, but missing for filters
    [], NaN, long keys and texts

Rule 1: the type is that of the value, never of the first value seen. If one document has 2020 and another "2020", the
key has both types: a number matches the first, a text the second, and results do not depend on which came first.
Rule 2: no document is rejected for its metadata here (indexer/corpus.py rejects whole numbers beyond 64 bits). Rule 3:
an attribute that any document had stays known to the collection, with its types.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

import pyarrow as pa

from winnow.retrieval.filters.grammar import INTEGER_MAX, INTEGER_MIN, Scalar
from winnow.retrieval.limits import ATTRIBUTE_COLUMNS_MAX, ATTRIBUTE_KEY_CHARACTERS_MAX, ATTRIBUTE_TEXT_CHARACTERS_MAX
from winnow.retrieval.records import JsonValue, Metadata, is_text

Value: TypeAlias = Scalar | list[str]


class Kind(StrEnum):
    """How a value is stored. Numbers have two kinds, because none holds all of both exactly."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    REAL = "real"  # finite, and not a whole number of 64 bits
    TEXT = "text"
    TEXTS = "texts"


ARROW_TYPES: Final[Mapping[Kind, Any]] = {
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGER: pa.int64(),
    Kind.REAL: pa.float64(),
    Kind.TEXT: pa.large_string(),
    Kind.TEXTS: pa.list_(pa.large_string()),
}
_COLUMN_PREFIX: Final = "attribute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A key and a kind, with a column in the store."""

    key: str
    kind: Kind

    @property
    def column(self) -> str:
        """Return a column name without special characters: the key may contain dots, quotes or mixed case."""
        return f"{_COLUMN_PREFIX}_{self.kind}_{self.key.encode().hex()}"


def attribute_of(column: str) -> Attribute | None:
    """Invert `Attribute.column`; None for any other column."""
    prefix, _, rest = column.partition("_")
    kind, _, key = rest.partition("_")
    if prefix != _COLUMN_PREFIX:
        return None
    return Attribute(key=bytes.fromhex(key).decode(), kind=Kind(kind))


def attributes_of(metadata: Metadata) -> dict[Attribute, Value]:
    """Return the attributes of a document, in the order of its metadata."""
    found: dict[Attribute, Value] = {}
    for key, value in metadata.items():
        kind = _kind_of(value)
        if kind is not None and 0 < len(key) <= ATTRIBUTE_KEY_CHARACTERS_MAX and is_text(key):
            assert not isinstance(value, dict | None), "values without a kind were skipped. This is a bug."
            found[Attribute(key=key, kind=kind)] = value  # type: ignore[assignment]  # a list with a kind contains texts
    return found


def select_attributes(known: Collection[Attribute], rows: Sequence[Mapping[Attribute, Value]]) -> list[Attribute]:
    """Return the attributes of these rows that have a column, or room for a new one."""
    occurring = dict.fromkeys(attribute for row in rows for attribute in row)
    room = max(0, ATTRIBUTE_COLUMNS_MAX - len(known))
    new = [attribute for attribute in occurring if attribute not in known][:room]
    return [attribute for attribute in occurring if attribute in known] + new


def attribute_arrays(rows: Iterable[Mapping[Attribute, Value]], attributes: Iterable[Attribute]) -> dict[str, Any]:
    """Return one column per attribute, with a value or null for each row."""
    listed = list(rows)
    return {
        attribute.column: pa.array([row.get(attribute) for row in listed], ARROW_TYPES[attribute.kind])
        for attribute in attributes
    }


def _kind_of(value: JsonValue) -> Kind | None:
    match value:
        case bool():
            return Kind.BOOLEAN
        case int() | float():
            return number_kind(value)
        case str():
            return Kind.TEXT if _is_short_text(value) else None
        case list():
            return (
                Kind.TEXTS if value and all(isinstance(each, str) and _is_short_text(each) for each in value) else None
            )
    return None


def number_kind(value: float) -> Kind | None:
    """Return the kind of a number; None for NaN, infinity, and whole numbers beyond 64 bits."""
    if isinstance(value, int):
        return Kind.INTEGER if INTEGER_MIN <= value <= INTEGER_MAX else None
    if not math.isfinite(value):
        return None
    return Kind.INTEGER if value.is_integer() and INTEGER_MIN <= value <= INTEGER_MAX else Kind.REAL


def _is_short_text(value: str) -> bool:
    return len(value) <= ATTRIBUTE_TEXT_CHARACTERS_MAX and is_text(value)
