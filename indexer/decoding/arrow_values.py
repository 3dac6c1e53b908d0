"""Converts every Arrow type to JSON by a stated rule, or refuses the value with a reason.

    booleans, integers                the same, exactly
    floats                            the same; NaN is null, infinity is refused
    decimals                          a number up to 15 digits (exact in a float), beyond that a string
    strings                           the same
    binary                            a string if it is UTF-8 without NUL, else refused
    dates                             2020-01-02
    timestamps                        2020-01-02T03:04:05.25; with a time zone, in UTC with the suffix +00:00
    times of day                      03:04:05.25
    durations                         a number of seconds
    lists of any kind                 an array
    structs                           an object
    maps                              an object if all keys are strings, else an array of [key, value]
    dictionaries, run-ends            their values
    UUIDs, other extensions           a string; their storage type
    intervals, unions                 refused

Years beyond 9999 and before 0 have a sign, as in ISO 8601. No value passes through `str()`.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from winnow.retrieval.records import JsonValue

DECIMAL_DIGITS_MAX: Final = 15  # decimal digits that any float keeps
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_SECONDS: Final = 86_400
_YEAR: Final = re.compile(r"(-?)([0-9]+)(-.*)", re.DOTALL)
_NO_TIME: Final = np.iinfo(np.int64).min  # numpy's "not a time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A value that JSON cannot represent."""

    reason: str


class _Refusal(Exception):
    pass


def convert_rows(batch: pa.RecordBatch) -> Iterator[tuple[dict[str, JsonValue], Unfit | None]]:
    """Yield each row without its unfit columns, and the first of these."""
    columns = [list(_column(batch.column(place))) for place in range(batch.num_columns)]
    names = batch.schema.names
    for values in zip(*columns, strict=True):
        row: dict[str, JsonValue] = {}
        unfit: Unfit | None = None
        for name, value in zip(names, values, strict=True):
            if isinstance(value, Unfit):
                unfit = unfit or Unfit(reason=f"column {name!r}: {value.reason}")
            else:
                row[name] = value
        yield row, unfit


def _column(array: Any) -> Iterator[JsonValue | Unfit]:
    convert = _conversion(array.type)
    for scalar in array:
        try:
            yield _value(convert, scalar)
        except _Refusal as refusal:
            yield Unfit(reason=str(refusal))


Conversion = Callable[[Any], JsonValue]


def _value(convert: Conversion, scalar: Any) -> JsonValue:
    return convert(scalar) if scalar.is_valid else None


def _conversion(kind: Any) -> Conversion:
    """Choose the conversion for valid (non-null) scalars of this type."""
    if isinstance(kind, pa.BaseExtensionType):
        return _uuid if kind.extension_name == "arrow.uuid" else partial(_of_value, _conversion(kind.storage_type))
    for is_of_kind, convert in _SIMPLE:
        if is_of_kind(kind):
            return convert
    for is_of_kind, convert_of_unit in _OF_UNIT:
        if is_of_kind(kind):
            return partial(convert_of_unit, kind)
    if pa.types.is_decimal(kind):
        return _decimal_number if max(kind.precision, kind.scale) <= DECIMAL_DIGITS_MAX else _decimal_text
    return _nested_conversion(kind)


def _nested_conversion(kind: Any) -> Conversion:
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return partial(_of_value, _conversion(kind.value_type))
    if types.is_map(kind):
        return partial(_map, _conversion(kind.key_type), _conversion(kind.item_type))
    if types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        if len(set(names)) < len(names):
            return partial(_refuse, "two fields of the struct have the same name")
        return partial(_struct, {name: _conversion(kind.field(name).type) for name in names})
    if any(is_list(kind) for is_list in _LISTS):
        return partial(_list, _conversion(kind.value_type))
    return partial(_refuse, f"JSON cannot represent values of type {kind}")


def _refuse(reason: str, _scalar: Any) -> JsonValue:
    raise _Refusal(reason)


def _same(scalar: Any) -> JsonValue:
    value: JsonValue = scalar.as_py()
    return value


def _null(_scalar: Any) -> JsonValue:
    return None


def _real(scalar: Any) -> JsonValue:
    value = float(scalar.as_py())
    if math.isinf(value):
        raise _Refusal("JSON cannot represent infinity")
    return None if math.isnan(value) else value


def _text(scalar: Any) -> JsonValue:
    try:
        return bytes(scalar.as_buffer()).decode()
    except UnicodeDecodeError as error:
        raise _Refusal(f"the text is not UTF-8: {error.reason} at byte {error.start}") from error


def _bytes(scalar: Any) -> JsonValue:
    try:
        text = bytes(scalar.as_buffer()).decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _Refusal("the bytes are not UTF-8 text; store them as text, or drop the column")
    return text


def _uuid(scalar: Any) -> JsonValue:
    return f"{uuid.UUID(bytes=bytes(scalar.value.as_buffer()))}"


def _decimal_number(scalar: Any) -> JsonValue:
    value: Decimal = scalar.as_py()
    return int(value) if value == value.to_integral_value() else float(value)


def _decimal_text(scalar: Any) -> JsonValue:
    value: Decimal = scalar.as_py()
    return format(value, "f")


def _date32(scalar: Any) -> JsonValue:
    return _iso(scalar.value, "D")


def _date64(scalar: Any) -> JsonValue:
    return _iso(scalar.value // (_DAY_SECONDS * 1_000), "D")


def _timestamp(kind: Any, scalar: Any) -> JsonValue:
    return _iso(scalar.value, kind.unit) + ("+00:00" if kind.tz else "")


def _iso(value: int, unit: Literal["D", "s", "ms", "us", "ns"]) -> str:
    """Format the moment this many units after 1970, without trailing zeros in the fraction."""
    if value == _NO_TIME:
        raise _Refusal("the timestamp is out of range")
    written = np.datetime_as_string(np.datetime64(value, unit)).item()
    sign, year, rest = _YEAR.fullmatch(written).groups()  # type: ignore[union-attr]  # numpy always writes one
    if len(year) > 4 and not sign:
        sign = "+"
    return f"{sign}{year:0>4}{_without_zeros(rest)}"


def _time_of_day(kind: Any, scalar: Any) -> JsonValue:
    per_second = _PER_SECOND[kind.unit]
    seconds, fraction = divmod(scalar.value, per_second)
    if not 0 <= seconds < _DAY_SECONDS:
        raise _Refusal("the time of day is out of range")
    digits = f".{fraction:0{len(str(per_second)) - 1}}" if per_second > 1 else ""
    return _without_zeros(f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{digits}")


def _without_zeros(written: str) -> str:
    return written.rstrip("0").rstrip(".") if "." in written else written


def _seconds(kind: Any, scalar: Any) -> JsonValue:
    whole, fraction = divmod(scalar.value, _PER_SECOND[kind.unit])
    return int(whole) if not fraction else float(scalar.value / _PER_SECOND[kind.unit])


def _of_value(convert: Conversion, scalar: Any) -> JsonValue:
    """Convert a scalar that wraps another: of a dictionary, a run, or an extension."""
    return _value(convert, scalar.value)


def _list(convert: Conversion, scalar: Any) -> JsonValue:
    return [_value(convert, each) for each in scalar.values]


def _struct(conversions: dict[str, Conversion], scalar: Any) -> JsonValue:
    return {name: _value(convert, scalar[name]) for name, convert in conversions.items()}


def _map(convert_key: Conversion, convert: Conversion, scalar: Any) -> JsonValue:
    keys, values = scalar.values.field(0), scalar.values.field(1)
    pairs: Sequence[tuple[JsonValue, JsonValue]] = [
        (_value(convert_key, key), _value(convert, value)) for key, value in zip(keys, values, strict=True)
    ]
    named = {key: value for key, value in pairs if isinstance(key, str)}
    return named if len(named) == len(pairs) else [[key, value] for key, value in pairs]


_TYPES: Final = pa.types
_SIMPLE: Final[tuple[tuple[Callable[[Any], bool], Conversion], ...]] = (
    (_TYPES.is_null, _null),
    (_TYPES.is_boolean, _same),
    (_TYPES.is_integer, _same),
    (_TYPES.is_floating, _real),
    (_TYPES.is_string, _text),
    (_TYPES.is_large_string, _text),
    (_TYPES.is_string_view, _text),
    (_TYPES.is_binary, _bytes),
    (_TYPES.is_large_binary, _bytes),
    (_TYPES.is_binary_view, _bytes),
    (_TYPES.is_fixed_size_binary, _bytes),
    (_TYPES.is_date32, _date32),
    (_TYPES.is_date64, _date64),
)
_OF_UNIT: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any, Any], JsonValue]], ...]] = (
    (_TYPES.is_timestamp, _timestamp),
    (_TYPES.is_time, _time_of_day),
    (_TYPES.is_duration, _seconds),
)
_LISTS: Final[tuple[Callable[[Any], bool], ...]] = (
    _TYPES.is_list,
    _TYPES.is_large_list,
    _TYPES.is_fixed_size_list,
    _TYPES.is_list_view,
    _TYPES.is_large_list_view,
)
