"""retrieval/filters/grammar.py: what is a filter, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.filters.attributes import Attribute, Kind, attribute_of
from winnow.retrieval.filters.grammar import Combination, Comparison, Joint, Op, parse_filter
from winnow.retrieval.limits import FILTER_CONDITIONS_MAX, FILTER_DEPTH_MAX, FILTER_VALUES_MAX

EQ = {"type": "eq", "key": "k", "value": 1}


def nested(levels: int) -> dict[str, Any]:
    written: dict[str, Any] = EQ
    for _ in range(levels - 1):
        written = {"type": "and", "filters": [written]}
    return written


def both(*filters: Any) -> dict[str, Any]:
    return {"type": "and", "filters": list(filters)}


def compared(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": "k", "value": value}


def refusal(written: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        parse_filter(written)
    orjson.dumps(refused.value.message)  # it can be told, whatever was in the filter
    return refused.value.detail


def test_a_filter_is_read_as_it_is_written() -> None:
    """All ten types, nested; null stands for no value."""
    written = {"type": "or", "filters": [both(compared("in", ["a", 1, True]), compared("ne", None)), EQ]}
    assert parse_filter(written) == Combination(
        joint=Joint.OR,
        filters=(
            Combination(
                joint=Joint.AND,
                filters=(
                    Comparison(key="k", op=Op.IN, values=("a", 1, True)),
                    Comparison(key="k", op=Op.NE, values=()),
                ),
            ),
            Comparison(key="k", op=Op.EQ, values=(1,)),
        ),
    )
    for op in ("eq", "ne", "gt", "gte", "lt", "lte"):
        assert parse_filter(compared(op, 0.5)) == Comparison(key="k", op=Op(op), values=(0.5,))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "a filter must be an object with a type, not null"),
        ([EQ], "a filter must be an object with a type, not a list of 1"),
        ("k = 1", "a filter must be an object with a type, not the text 'k = 1'"),
        ({"key": "k", "value": 1}, "the type must be one of eq, ne, gt, gte, lt, lte, in, nin, and, or, not null"),
        ({"type": "like", "key": "k", "value": 1}, "not the text 'like'"),
        ({"type": ["eq"], "key": "k", "value": 1}, "not a list of 1"),
        ({"type": "eq", "key": "k"}, "a filter of type eq needs a field 'value'"),
        ({**EQ, "filters": []}, "a filter of type eq has no field 'filters'"),
        ({**both(EQ), "\ud800": 1}, r"a filter of type and has no field '\ud800'"),
        ({**EQ, "key": 3}, "at key: the key must be the name of an attribute, not the number 3"),
        ({**EQ, "key": ""}, "at key: the key must be the name of an attribute, not the text ''"),
        (both(), "and takes a list of at least one filter, not a list of 0"),
        ({"type": "or", "filters": EQ}, "or takes a list of at least one filter, not an object"),
        (both(EQ, both(EQ, 3)), "at filters.1.filters.1: a filter must be an object with a type, not the number 3"),
        (compared("eq", {"$ne": 1}), "at value: eq takes a boolean, a number or a text, not an object"),
        (compared("eq", [1]), "not a list of 1"),
        (
            compared("gt", None),
            "gt takes a number or a text, not null; only eq and ne take null",
        ),
        (compared("gte", True), "at value: gte takes a number or a text, not true"),
        (compared("in", "a"), "at value: in takes a list of values, not the text 'a'"),
        (compared("nin", ["a", None]), "at value.1: nin takes a boolean"),
        (compared("eq", float("nan")), "the number nan cannot be compared with"),
        (compared("lt", float("-inf")), "the number -inf cannot be compared with"),
        (compared("eq", 2**63), "a whole number may have up to 64 bits"),
        (compared("eq", 10**4000), "a whole number may have up to 64 bits"),
        ({**EQ, "key": 10**4000}, "not a number of more than 64 bits"),
        (compared("eq", "x" * 513), "a text may have up to 512 characters; this one has 513"),
        (compared("eq", "\udc00"), "the text contains half of a surrogate pair"),
    ],
)
def test_what_is_no_filter_is_refused_by_its_place_and_by_what_was_given(written: Any, said: str) -> None:
    """So that a caller can mend it without guessing."""
    assert said in refusal(written)


def test_depth_conditions_and_values_are_bounded() -> None:
    """The largest that is allowed is allowed; one more is refused, also where it is a hundred thousand more."""
    parse_filter(nested(FILTER_DEPTH_MAX))
    parse_filter(both(*[EQ] * FILTER_CONDITIONS_MAX))
    parse_filter(compared("in", list(range(FILTER_VALUES_MAX))))
    for levels in (FILTER_DEPTH_MAX + 1, 100_000):
        assert refusal(nested(levels)) == "the filter is nested more than 8 levels deep"
    for count in (FILTER_CONDITIONS_MAX + 1, 100_000):
        assert refusal(both(*[EQ] * count)) == "the filter has more than 64 comparisons"
    half = list(range(FILTER_VALUES_MAX // 2 + 1))
    assert refusal(both(compared("in", half), compared("nin", half))) == "the filter's lists have more than 1000 values"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(["eq", "and", "in"])),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(["type", "key", "value", "filters"]), st.text()), below, max_size=4),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        JSON, st.fixed_dictionaries({"type": st.sampled_from(["eq", "in", "or", "gt"]), "key": JSON, "value": JSON})
    )
)
def test_any_json_is_a_filter_or_a_refusal_that_can_be_told(written: Any) -> None:
    """Never another error, and never a filter that was not written."""
    try:
        parse_filter(written)
    except InvalidRequest as refused:
        orjson.dumps(refused.message)


@given(st.text(min_size=1, max_size=64).filter(lambda key: key.isprintable()), st.sampled_from(Kind))
def test_a_column_is_one_attribute_and_no_other(key: str, kind: Kind) -> None:
    """Its name can be read back, and holds nothing but letters, digits and underscores."""
    attribute = Attribute(key=key, kind=kind)
    assert attribute_of(attribute.column) == attribute
    assert attribute.column.isascii()
    assert attribute.column.replace("_", "").isalnum()
    assert attribute_of("document_id") is None
