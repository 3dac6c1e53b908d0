"""Filters of frameworks say the same in the service's grammar, or are refused."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow_client.adapters.filters import from_haystack, from_llama_index

COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
KEYS: Final = st.sampled_from(("a", "b"))
DOCUMENTS: Final = st.dictionaries(KEYS, st.integers(0, 3))
COMPARISONS: Final = st.one_of(
    st.tuples(st.sampled_from(("==", "!=", ">", ">=", "<", "<=")), KEYS, st.integers(0, 3)),
    st.tuples(st.sampled_from(("in", "not in")), KEYS, st.lists(st.integers(0, 3), min_size=1, max_size=3)),
)
HAYSTACK: Final = st.recursive(
    COMPARISONS.map(lambda each: {"operator": each[0], "field": f"meta.{each[1]}", "value": each[2]}),
    lambda below: st.builds(
        lambda joint, conditions: {"operator": joint, "conditions": conditions},
        st.sampled_from(("AND", "OR", "NOT")),
        st.lists(below, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


def matches(filters: Mapping[str, Any], document: Mapping[str, int]) -> bool:
    """Apply the service's grammar: an absent value matches ne and nin only."""
    match filters["type"]:
        case "and":
            return all(matches(each, document) for each in filters["filters"])
        case "or":
            return any(matches(each, document) for each in filters["filters"])
        case "ne" | "nin" as negative:
            return not matches({**filters, "type": "eq" if negative == "ne" else "in"}, document)
        case "in":
            return document.get(filters["key"]) in filters["value"]
        case other:
            value = document.get(filters["key"])
            return value is not None and COMPARED[other](value, filters["value"])


def matches_haystack(filters: Mapping[str, Any], document: Mapping[str, int]) -> bool:
    """Apply Haystack's grammar, as its in-memory store does: an absent value is in no order."""
    if "conditions" in filters:
        found = [matches_haystack(each, document) for each in filters["conditions"]]
        return {"AND": all(found), "OR": any(found), "NOT": not all(found)}[filters["operator"]]
    value, wanted = document.get(filters["field"].removeprefix("meta.")), filters["value"]
    match filters["operator"]:
        case "==":
            return value == wanted
        case "!=":
            return value != wanted
        case "in":
            return value in wanted
        case "not in":
            return value not in wanted
        case other:
            compared = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}[other]
            return value is not None and bool(compared(value, wanted))


@given(filters=HAYSTACK, document=DOCUMENTS)
def test_a_translation_matches_the_same_documents(filters: Mapping[str, Any], document: Mapping[str, int]) -> None:
    """Any filter of Haystack, over any document; only the negation of an order has no translation."""
    try:
        translated = from_haystack(filters)
    except ValueError:
        translated = None
    if translated is None:
        assert "NOT" in repr(filters)
        assert ">" in repr(filters) or "<" in repr(filters)
        return
    assert matches(translated, document) == matches_haystack(filters, document)


@pytest.mark.parametrize("translate", [from_haystack, from_llama_index])
def test_the_services_own_grammar_stays(translate: Callable[[Any], Any]) -> None:
    own = {"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}, {"type": "ne", "key": "b", "value": None}]}
    assert translate(own) == own
    assert translate({}) is None
    assert translate(None) is None


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (("contains", "tags", "a"), {"type": "eq", "key": "tags", "value": "a"}),
        (("any", "tags", ["a", "b"]), {"type": "in", "key": "tags", "value": ["a", "b"]}),
        (
            ("all", "tags", ["a", "b"]),
            {"type": "and", "filters": [{"type": "eq", "key": "tags", "value": each} for each in "ab"]},
        ),
        (("is_empty", "tags", None), {"type": "eq", "key": "tags", "value": None}),
        (("nin", "tags", ["a"]), {"type": "nin", "key": "tags", "value": ["a"]}),
    ],
)
def test_llama_indexs_operators_on_lists(given_: tuple[str, str, Any], wanted: Mapping[str, Any]) -> None:
    """The service compares lists by what they contain."""
    name, key, value = given_
    filters = {"filters": [{"operator": name, "key": key, "value": value}], "condition": "and"}
    assert from_llama_index(filters) == wanted


def test_llama_indexs_not_means_none_of_them() -> None:
    filters = {"filters": [{"operator": "==", "key": each, "value": 1} for each in "ab"], "condition": "not"}
    negated = [{"type": "ne", "key": each, "value": 1} for each in "ab"]
    assert from_llama_index(filters) == {"type": "and", "filters": negated}
    assert from_llama_index({"filters": [], "condition": "and"}) is None


def test_what_the_service_cannot_filter_is_refused() -> None:
    with pytest.raises(ValueError, match="text_match"):
        from_llama_index({"operator": "text_match", "key": "a", "value": "b"})
    with pytest.raises(ValueError, match="'~'"):
        from_haystack({"operator": "~", "field": "meta.a", "value": 1})
    with pytest.raises(ValueError, match="at least one"):
        from_haystack({"operator": "OR", "conditions": []})
