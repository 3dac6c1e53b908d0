"""Arrays in .json files: every value a record with its line, memory bounded, a torn file an error."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.indexer.corpus import Record, Reject, check_entries
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.json_array import JsonValuesCorpus, _Splitter, json_corpus
from winnow.indexer.readers.jsonl import JsonLinesCorpus
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.retrieval.errors import CorpusUnreadable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1, 3]), st.integers(1, 40))
def test_an_array_is_taken_apart_at_any_block(values: list[object], indent: int | None, block: int):
    """What comes out is what the standard library finds in it, wherever the blocks of the file end."""
    content = json.dumps(values, indent=indent, ensure_ascii=False).encode()
    splitter = _Splitter(bytes_max=10_000)
    found = [
        each for start in range(0, len(content), block) for each in splitter.split_block(content[start : start + block])
    ]
    assert [orjson.loads(value or b"") for _, value in found] == json.loads(content)
    assert not splitter.is_open


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), min_size=1, max_size=4), st.integers(1, 40))
def test_objects_one_after_the_other(values: list[object], block: int):
    """Over several lines each."""
    content = "\n".join(json.dumps(value, indent=2) for value in values).encode()
    splitter = _Splitter(bytes_max=10_000)
    found = [
        each for start in range(0, len(content), block) for each in splitter.split_block(content[start : start + block])
    ]
    assert [orjson.loads(value or b"") for _, value in found] == values
    assert not splitter.is_open


def test_records_have_the_line_they_begin_on(tmp_path: Path):
    """Good, without text, no object: as in JSON lines; compressed as well."""
    path = tmp_path / "a.json.gz"
    path.write_bytes(
        gzip.compress(b'\n[\n  {"id": "a",\n   "text": "t, ]"},\n {"id": "b"},\n 5, {"id": "c", "text": "u"}\n]\n')
    )
    first, second, third, fourth = check_entries(open_corpus(str(path)).entries())
    assert isinstance(first, Record)
    assert (first.place.line, first.document.text) == (3, "t, ]")
    assert isinstance(second, Reject)
    assert (second.place.line, second.reason) == (5, "no text (field 'text')")
    assert isinstance(third, Reject)
    assert (third.place.line, third.reason) == (6, "not a JSON object")
    assert isinstance(fourth, Record)
    assert fourth.place.line == 6


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"id": "a", "text": "t"}\n{"id": "b", "text": "t"}\n', JsonLinesCorpus),
        (b'\n {"id": "a", "text": broken}\n', JsonLinesCorpus),
        (b'{\n"id": "a", "text": "t"}\n', JsonValuesCorpus),
        (b'[{"id": "a", "text": "t"}]', JsonValuesCorpus),
        (b"\xef\xbb\xbf[\n]", JsonValuesCorpus),
        (b"", JsonLinesCorpus),
    ],
)
def test_the_form_is_told_by_the_first_line(tmp_path: Path, content: bytes, kind: type):
    """Lines of JSON stay lines of JSON."""
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert isinstance(json_corpus(path, fields=Fields()), kind)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"id": "a", "text": "t"}', "in the middle of a value"),
        (b'[{"id": "a", "text": "t', "in the middle of a value"),
        (b'[{"id": "a", "text": "t"}] {"id": "b"}', "unexpected content after the end"),
        (b'[{"id": "a", "text": "t"}]]', "unexpected content after the end"),
        (b'{\n"id": "a"}}', "has no opening one"),
    ],
)
def test_a_torn_array_is_an_error(tmp_path: Path, content: bytes, said: str):
    """It is no short corpus."""
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(CorpusUnreadable, match=said):
        list(open_corpus(str(path)).entries())


def test_a_long_record_is_rejected_and_the_next_one_read(tmp_path: Path):
    """Without being held."""
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"id": "a", "text": "' + b"x" * 200_000 + b'"},\n{"id": "b", "text": "t"}]')
    corpus = JsonValuesCorpus(path=path, fields=Fields(), record_bytes_max=100_000)
    first, second = corpus.entries()
    assert isinstance(first, Reject)
    assert first.reason == "the record is longer than 100000 bytes"
    assert isinstance(second, Record)
    assert second.place.line == 2
