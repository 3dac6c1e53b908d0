"""retrieval/filters/masks.py: columns and a filter give what the rules say, value for value."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.filter_oracle import kind_of, matches
from winnow.retrieval.filters.grammar import parse_filter
from winnow.retrieval.filters.masks import AttributeColumns, mask_of
from winnow.retrieval.records import JsonValue
from winnow.retrieval.store.rows import attribute_table, known_attributes

WHOLE = [0, 1, -1, 2, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 2, 2**63 - 1, -(2**63), -(2**63) + 1]
REAL = [0.5, -0.5, 1.5, -0.0, 1.0, 2.0**53, 2.0**62, 2.0**63, -(2.0**63), 2.0**64, -(2.0**64), 1e300, -1e300, 5e-324]
NUMBERS = st.one_of(st.sampled_from([*WHOLE, *REAL]), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
FINITE = NUMBERS.filter(lambda value: value - value == 0)
TEXTS = st.sampled_from(["", "a", "b", "ab", "民", "😀", "\uffff"])
VALUES = st.one_of(FINITE, FINITE, TEXTS, st.booleans(), st.none(), st.lists(TEXTS, min_size=1, max_size=3))
SCALARS = st.one_of(FINITE, FINITE, TEXTS, st.booleans())
COMPARISONS = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne"]), st.one_of(SCALARS, st.none())),
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte"]), st.one_of(FINITE, TEXTS)),
    st.tuples(st.sampled_from(["in", "nin"]), st.lists(SCALARS, max_size=4)),
)
EVERY_KIND: list[JsonValue] = [True, 1, 0.5, "a", ["a"]]  # so that no comparison is of the wrong type


def columns_of(values: list[JsonValue]) -> AttributeColumns:
    """In two pieces, as a dataset of two fragments gives them."""
    whole = attribute_table([json.dumps({"k": value}) for value in values])
    half = len(values) // 2
    table = pa.concat_tables([whole.slice(0, half), whole.slice(half)])
    return AttributeColumns(
        rows=len(values), known=known_attributes(table.schema), read=lambda each: table[each.column]
    )


@settings(max_examples=600, deadline=None)
@given(values=st.lists(VALUES, max_size=8), asked=COMPARISONS)
@example(values=[2.0**63, 2**63 - 1], asked=("gt", 2**63 - 1))
@example(values=[1, 2], asked=("lt", 1.5))
@example(values=[1, -1], asked=("lte", -1e300))
def test_a_comparison_is_that_of_the_values_themselves(values: list[JsonValue], asked: tuple[str, Any]) -> None:
    """Python compares a whole number with a real one exactly; so do the columns, to the last of 64 bits."""
    rows = [*values, *EVERY_KIND, *values]
    where = parse_filter({"type": asked[0], "key": "k", "value": asked[1]})
    assert mask_of(where, columns_of(rows)).tolist() == [matches(where, {"k": value}) for value in rows]


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(VALUES, max_size=6),
    asked=st.lists(COMPARISONS, min_size=1, max_size=4),
    joints=st.lists(st.sampled_from(["and", "or"]), min_size=2, max_size=2),
)
def test_several_comparisons_are_joined_as_truth_values(
    values: list[JsonValue], asked: list[tuple[str, Any]], joints: list[str]
) -> None:
    """Within each other too."""
    rows = [*values, *EVERY_KIND]
    below = [{"type": op, "key": "k", "value": value} for op, value in asked]
    where = parse_filter({"type": joints[0], "filters": [{"type": joints[1], "filters": below}, below[0]]})
    assert mask_of(where, columns_of(rows)).tolist() == [matches(where, {"k": value}) for value in rows]


def test_the_oracle_and_the_columns_agree_on_what_is_an_attribute() -> None:
    """Every kind has a column, and what is only carried has none."""
    carried: list[JsonValue] = [None, {}, [], [1], ["a", None], 2**63, float("inf"), "x" * 513, ["x" * 513]]
    assert [kind_of(value) for value in carried] == [None] * len(carried)
    assert columns_of(carried).known == frozenset()
    assert len(columns_of(EVERY_KIND).known) == len(EVERY_KIND)
