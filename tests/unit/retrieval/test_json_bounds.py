"""What a JSON text holds is counted as the parser would build it, before it does."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval import json_bounds
from winnow.retrieval.errors import LimitExceeded
from winnow.retrieval.json_bounds import SMALL_JSON, JsonBounds, parse_json, require_within

TEXTS = st.text(st.sampled_from(['"', "\\", ",", "[", "]", "{", "}", ":", "a", "\n", "\u4e2d"]), max_size=12)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)


def held(value: Any) -> tuple[int, int, int]:
    """Values, keys and levels; an empty list is counted with one value too many, which no bound minds."""
    if not isinstance(value, list | dict):
        return 1, 0, 0
    inner = list(value.values()) if isinstance(value, dict) else value
    parts = [held(each) for each in inner]
    return (
        1 + max(1, sum(values for values, _, _ in parts)),
        (len(value) if isinstance(value, dict) else 0) + sum(keys for _, keys, _ in parts),
        1 + max((levels for _, _, levels in parts), default=0),
    )


def is_within(content: bytes, bounds: JsonBounds) -> bool:
    with contextlib.suppress(LimitExceeded):
        require_within(content, bounds)
        return True
    return False


@given(tree=TREES, slice_bytes=st.integers(1, 9), pretty=st.booleans())
def test_values_keys_and_levels_are_those_of_the_value(tree: Any, slice_bytes: int, *, pretty: bool) -> None:
    """To the last one, wherever the slices end and whatever the strings hold."""
    content = orjson.dumps(tree, option=orjson.OPT_INDENT_2 if pretty else 0)
    values, keys, levels = held(tree)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_bounds, "_SLICE_BYTES", slice_bytes)
        assert is_within(content, JsonBounds(values=values, keys=keys, depth=levels))
        assert values == 1 or not is_within(content, JsonBounds(values=values // 2 - 1, keys=keys, depth=levels))
        assert not keys or not is_within(content, JsonBounds(values=values, keys=keys - 1, depth=levels))
        assert not levels or not is_within(content, JsonBounds(values=values, keys=keys, depth=levels - 1))
    assert parse_json(content, JsonBounds(values=values, keys=keys, depth=levels)) == tree


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 50_000_000, "values"),
        (b"[[]," * 5_000_000, "values"),
        (b"{" + b'"a":1,' * 2_000, "keys"),
        (b"[" * 100 + b"]" * 100, "levels"),
        (b'"' + b"\\\\" * 1_000_000 + b'",' + b"[]," * 5_000, "values"),
    ],
)
def test_what_would_fill_the_memory_is_refused_in_milliseconds(content: bytes, said: str) -> None:
    """Also where it never becomes JSON."""
    began = time.process_time()
    with pytest.raises(LimitExceeded, match=f"more than [0-9]+ {said}"):
        parse_json(content, SMALL_JSON)
    assert time.process_time() - began < 1


def test_prose_is_not_counted() -> None:
    """A long text full of commas and brackets is one value."""
    text = 'one, two (three) [four], {five: six}; \\" ' * 50_000
    assert parse_json(orjson.dumps([text]), SMALL_JSON) == [text]


@given(content=st.binary(max_size=60) | st.text(st.sampled_from('[]{}",:\\1 '), max_size=40).map(str.encode))
def test_whatever_comes_the_parser_decides_or_it_is_too_much(content: bytes) -> None:
    """No other error, and the same value as without the count."""
    with contextlib.suppress(orjson.JSONDecodeError):
        assert parse_json(content, SMALL_JSON) == orjson.loads(content)
