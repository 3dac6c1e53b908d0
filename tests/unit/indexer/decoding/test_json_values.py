"""Whole numbers: exact as far as the grammar of filters says, refused beyond, never rounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.api.collections.ingest import records_of_lines
from winnow.indexer.corpus import Record, Refused, Reject, check_entries
from winnow.indexer.decoding.json_values import parse_record
from winnow.indexer.readers.open_corpus import open_corpus

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(JSON)
def test_every_json_is_read_exactly(value: object):
    """As the standard library reads it, whatever the length of its numbers."""
    assert parse_record(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("beyond", [2**63, 2**64, -(2**63) - 1, 10**80])
@pytest.mark.parametrize("shape", ['{"id": "a", "text": "t", "n": %d}', '{"id": "a", "text": "t", "n": {"m": [%d]}}'])
def test_a_number_beyond_64_bits_is_refused_by_the_name_of_its_field(tmp_path: Path, beyond: int, shape: str):
    """In a file as over HTTP: it would be found by another number, or by none."""
    path = tmp_path / "a.jsonl"
    path.write_text(shape % beyond, encoding="utf-8")
    (entry,) = check_entries(open_corpus(str(path)).entries())
    assert isinstance(entry, Reject)
    assert entry.reason.startswith("field 'n': an integer of ")
    assert entry.id == "a"


@pytest.mark.parametrize("exact", [2**63 - 1, -(2**63), 0])
def test_a_number_of_64_bits_is_kept_exactly(tmp_path: Path, exact: int):
    """To the last unit."""
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"id": {2**64 + 1}, "text": "t", "n": {exact}}}', encoding="utf-8")
    (entry,) = check_entries(open_corpus(str(path)).entries())
    assert isinstance(entry, Record)
    assert entry.document.id == str(2**64 + 1)
    assert entry.document.metadata == {"n": exact}


def test_numbers_without_end_are_refused():
    """Over HTTP as in a file; the next record is taken."""
    first, second = records_of_lines(b'{"n": ' + b"9" * 5_000 + b'}\n{"n": 1}\n')
    assert isinstance(first[1], Refused)
    assert second == (2, {"n": 1})


def test_depth_is_a_refusal():
    """Also where a long number makes the standard library read it."""
    for depth in (900, 1_000, 1_023, 5_000):
        value = parse_record(b"[" * depth + b"1" * 25 + b"]" * depth)
        assert isinstance(value, list | Refused)


def test_a_nul_is_no_text(tmp_path: Path):
    """It is what another encoding looks like."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a", "text": "a\\u0000b"}', encoding="utf-8")
    (entry,) = check_entries(open_corpus(str(path)).entries())
    assert isinstance(entry, Reject)
    assert entry.reason.startswith("the text contains a NUL character")
