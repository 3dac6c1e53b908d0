"""Filters: conditions on the attributes of documents. Parses what callers send.

    {"type": "gte", "key": "year", "value": 2020}
    {"type": "and", "filters": [{"type": "eq", "key": "lang", "value": "zh"}, ...]}

The grammar is that of OpenAI's vector stores. A filter is parsed into a small tree of frozen records and stays one: no
part of it becomes text that something else parses, so a value from outside stays a value.

This module checks that a filter is valid. Whether a collection has such attributes, of such types, is checked by its
store (retrieval/filters/masks.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, Union

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import (
    ATTRIBUTE_TEXT_CHARACTERS_MAX,
    FILTER_CONDITIONS_MAX,
    FILTER_DEPTH_MAX,
    FILTER_VALUES_MAX,
)
from winnow.retrieval.records import JsonValue, is_text

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
_SHOWN_CHARACTERS: Final = 64  # characters of a given value in a message

Scalar: TypeAlias = bool | int | float | str


class Op(StrEnum):
    """A comparison operator. `ne` and `nin` are the exact negations of `eq` and `in`."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NIN = "nin"


LISTED: Final = frozenset({Op.IN, Op.NIN})  # these take several values
ORDERED: Final = frozenset({Op.GT, Op.GTE, Op.LT, Op.LTE})  # these need an order


class Joint(StrEnum):
    """How several filters are combined."""

    AND = "and"
    OR = "or"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One attribute, compared with given values."""

    key: str
    op: Op
    values: tuple[Scalar, ...]  # several only if `op` takes a list; none for a comparison with null


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Several filters combined. There is at least one: an empty combination would silently match everything."""

    joint: Joint
    filters: tuple[Filter, ...]


Filter: TypeAlias = Union[Comparison, Combination]  # noqa: UP007  it names itself

_OPS: Final = {op.value: op for op in Op}
_JOINTS: Final = {joint.value: joint for joint in Joint}


def parse_filter(value: JsonValue) -> Filter:
    """Parse a filter. Raises `InvalidRequest`, naming the place in it, what was given and what is allowed."""
    return _Parser().filter(value, at=())


class _Parser:
    """Parses one filter. Counts while it reads, so that a hostile one is rejected early."""

    def __init__(self) -> None:
        self._conditions = 0
        self._values = 0

    def filter(self, value: JsonValue, *, at: tuple[str, ...]) -> Filter:
        if not isinstance(value, Mapping):
            raise _refused(at, f"a filter must be an object with a type, not {describe_value(value)}")
        kind = value.get("type")
        if isinstance(kind, str) and kind in _JOINTS:
            return self._combination(_JOINTS[kind], value, at)
        if isinstance(kind, str) and kind in _OPS:
            return self._comparison(_OPS[kind], value, at)
        raise _refused(at, f"the type must be one of {', '.join((*_OPS, *_JOINTS))}, not {describe_value(kind)}")

    def _combination(self, joint: Joint, value: Mapping[str, JsonValue], at: tuple[str, ...]) -> Combination:
        _require_fields(value, {"type", "filters"}, at)
        filters = value["filters"]
        if not isinstance(filters, list) or not filters:
            raise _refused(at, f"{joint} takes a list of at least one filter, not {describe_value(filters)}")
        if len(at) // 2 + 1 >= FILTER_DEPTH_MAX:  # a level is two steps: "filters", and the index in the list
            raise _refused((), f"the filter is nested more than {FILTER_DEPTH_MAX} levels deep")
        below = tuple(self.filter(each, at=(*at, "filters", str(place))) for place, each in enumerate(filters))
        return Combination(joint=joint, filters=below)

    def _comparison(self, op: Op, value: Mapping[str, JsonValue], at: tuple[str, ...]) -> Comparison:
        _require_fields(value, {"type", "key", "value"}, at)
        self._conditions += 1
        if self._conditions > FILTER_CONDITIONS_MAX:
            raise _refused((), f"the filter has more than {FILTER_CONDITIONS_MAX} comparisons")
        key = value["key"]
        if not isinstance(key, str) or not key:
            raise _refused((*at, "key"), f"the key must be the name of an attribute, not {describe_value(key)}")
        given = value["value"]
        if op in LISTED:
            return Comparison(key=key, op=op, values=self._parse_list(op, given, (*at, "value")))
        if given is None and op in {Op.EQ, Op.NE}:
            return Comparison(key=key, op=op, values=())
        return Comparison(key=key, op=op, values=(_parse_scalar(op, given, (*at, "value")),))

    def _parse_list(self, op: Op, given: JsonValue, at: tuple[str, ...]) -> tuple[Scalar, ...]:
        if not isinstance(given, list):
            raise _refused(at, f"{op} takes a list of values, not {describe_value(given)}")
        self._values += len(given)
        if self._values > FILTER_VALUES_MAX:
            raise _refused((), f"the filter's lists have more than {FILTER_VALUES_MAX} values")
        return tuple(_parse_scalar(op, each, (*at, str(place))) for place, each in enumerate(given))


def _parse_scalar(op: Op, given: JsonValue, at: tuple[str, ...]) -> Scalar:
    match given:
        case bool():
            if op in ORDERED:
                raise _refused(at, f"{op} takes a number or a text, not {describe_value(given)}")
            return given
        case int():
            if not INTEGER_MIN <= given <= INTEGER_MAX:
                raise _refused(at, "a whole number may have up to 64 bits; this one is larger")
            return given
        case float():
            if not math.isfinite(given):
                raise _refused(at, f"{describe_value(given)} cannot be compared with")
            return given
        case str():
            return _parse_text(given, at)
    hint = "; only eq and ne take null" if given is None else ""
    kinds = "a number or a text" if op in ORDERED else "a boolean, a number or a text"
    raise _refused(at, f"{op} takes {kinds}, not {describe_value(given)}{hint}")


def _parse_text(given: str, at: tuple[str, ...]) -> str:
    if len(given) > ATTRIBUTE_TEXT_CHARACTERS_MAX:
        raise _refused(
            at, f"a text may have up to {ATTRIBUTE_TEXT_CHARACTERS_MAX} characters; this one has {len(given)}"
        )
    if not is_text(given):
        raise _refused(at, "the text contains half of a surrogate pair")
    return given


def _require_fields(value: Mapping[str, JsonValue], fields: set[str], at: tuple[str, ...]) -> None:
    for name in sorted(fields - value.keys()):
        raise _refused(at, f"a filter of type {value['type']} needs a field {name!r}")
    for name in sorted(value.keys() - fields):
        raise _refused(at, f"a filter of type {value['type']} has no field {quote(name)}")


def _refused(at: Sequence[str], reason: str) -> InvalidRequest:
    return InvalidRequest(f"at {'.'.join(at)}: {reason}" if at else reason)


def describe_value(given: JsonValue) -> str:
    """Describe a given value for a message: short, and printable whatever it contains."""
    match given:
        case None | bool():
            said = {None: "null", True: "true", False: "false"}[given]
        case int() if not INTEGER_MIN <= given <= INTEGER_MAX:
            said = "a number of more than 64 bits"
        case int() | float():
            said = f"the number {given}"
        case str():
            said = f"the text {quote(given)}"
        case list():
            said = f"a list of {len(given)}"
        case _:
            said = "an object"
    return said


def quote(text: str) -> str:
    """Return the start of a text in quotes, with unprintable characters escaped."""
    cut = text[:_SHOWN_CHARACTERS]
    return repr(cut) + ("..." if len(text) > len(cut) else "")
