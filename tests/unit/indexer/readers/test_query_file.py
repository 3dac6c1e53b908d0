"""Queries are read from the forms that people have, and what is none is named with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from winnow.indexer.readers.query_file import read_query_file
from winnow.retrieval.errors import CorpusUnreadable


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.jsonl", '{"_id": "a", "text": "one"}\n\n{"id": 2, "text": "二\\t2", "metadata": {}}\n'),
        ("q.tsv", "\ufeffa\tone\n2\t二 2\n"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_both_forms(tmp_path: Path, name: str, content: str, ending: str) -> None:
    """Plain or compressed, in the file's order."""
    file = tmp_path / f"{name}{ending}"
    file.write_bytes(gzip.compress(content.encode()) if ending else content.encode())
    found = read_query_file(file)
    assert list(found) == ["a", "2"]
    assert found["a"] == "one"
    assert " ".join(found["2"].split()) == "二 2"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", '{"_id": "a", "text": "one"}\n{"_id": "b"}\n', "line 2"),
        ("q.jsonl", '{"_id": "a", "text": 1}\n', "line 1"),
        ("q.jsonl", "[]\n", "line 1"),
        ("q.jsonl", "{\n", "line 1"),
        ("q.tsv", "a\tone\nb\n", "line 2"),
        ("q.tsv", "a\tone\ta third\n", "line 1"),
        ("q.tsv", "a\tone\na\ttwo\n", "line 2.* twice"),
        ("q.csv", "a,one\n", r"named \.jsonl or \.tsv"),
    ],
)
def test_what_is_no_query_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(CorpusUnreadable, match=message):
        read_query_file(tmp_path / name)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_bytes(b"a\tone\nb\t\xff\xfe\n")
    with pytest.raises(CorpusUnreadable, match=r"q\.tsv"):
        read_query_file(tmp_path / "q.tsv")
