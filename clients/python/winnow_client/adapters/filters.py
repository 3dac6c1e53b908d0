"""Filters of frameworks in the grammar of the service. Raises `ValueError` for what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

Filter: TypeAlias = Mapping[str, Any]

_COMPARISONS: Final = {
    "==": "eq", "!=": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "in": "in", "not in": "nin", "nin": "nin",
}  # fmt: skip
_OPPOSITES: Final = {"eq": "ne", "ne": "eq", "in": "nin", "nin": "in", "and": "or", "or": "and"}
_FIELD_PREFIX: Final = "meta."


def from_haystack(filters: Filter | None) -> Filter | None:
    """Translate a filter of Haystack; one in the service's own grammar stays."""
    if not filters or "type" in filters:
        return filters or None
    operator = filters.get("operator")
    if operator in {"AND", "OR", "NOT"}:
        parts = [from_haystack(each) for each in filters["conditions"]]
        joined = _joined("or" if operator == "OR" else "and", [each for each in parts if each is not None])
        return _negated(joined) if operator == "NOT" else joined
    return _compared(operator, str(filters["field"]).removeprefix(_FIELD_PREFIX), filters["value"])


def from_llama_index(filters: Filter | None) -> Filter | None:
    """Translate the `model_dump` of LlamaIndex's MetadataFilters; a filter in the service's own grammar stays."""
    if not filters or "type" in filters:
        return filters or None
    if "filters" not in filters:
        return _from_llama_index_one(filters["operator"], filters["key"], filters["value"])
    parts = [from_llama_index(each) for each in filters["filters"]]
    present = [each for each in parts if each is not None]
    if not present:
        return None
    condition = str(getattr(filters["condition"], "value", filters["condition"]) or "and")
    if condition == "not":  # none of them
        return _negated(_joined("or", present))
    return _joined(condition, present)


def _from_llama_index_one(operator: Any, key: str, value: Any) -> Filter:
    """Lists in metadata match where they contain the value."""
    name = str(getattr(operator, "value", operator))
    match name:
        case "contains":
            return _comparison("eq", key, value)
        case "any":
            return _comparison("in", key, value)
        case "all":
            return _joined("and", [_comparison("eq", key, each) for each in value])
        case "is_empty":
            return _comparison("eq", key, None)
        case _:
            return _compared(name, key, value)


def _compared(operator: Any, key: str, value: Any) -> Filter:
    if operator not in _COMPARISONS:
        raise ValueError(f"winnow has no filter for the operator {operator!r}; it has {', '.join(_COMPARISONS)}")
    return _comparison(_COMPARISONS[operator], key, value)


def _comparison(kind: str, key: str, value: Any) -> Filter:
    return {"type": kind, "key": key, "value": value}


def _joined(joint: str, filters: Sequence[Filter]) -> Filter:
    if not filters:
        raise ValueError(f"a filter with {joint!r} needs at least one condition")
    return filters[0] if len(filters) == 1 else {"type": joint, "filters": list(filters)}


def _negated(filters: Filter) -> Filter:
    """Return the exact opposite. Order comparisons have none: neither they nor their reverse match an absent value."""
    kind = filters["type"]
    if kind not in _OPPOSITES:
        raise ValueError(f"winnow cannot negate {kind!r}; write the condition that should hold instead")
    if "filters" in filters:
        return {"type": _OPPOSITES[kind], "filters": [_negated(each) for each in filters["filters"]]}
    return {**filters, "type": _OPPOSITES[kind]}
